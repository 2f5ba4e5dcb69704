"""What `imgtool captcha-gen` does: one picture with its recipe, or a set shard by shard."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import joblib

from imgtool.cli.batch import require_stream
from imgtool.cli.captcha_manifest import Manifest, locked, take_folder
from imgtool.cli.captcha_style import style_of, texts_file, words_of
from imgtool.cli.cluster import connected
from imgtool.cli.console import console
from imgtool.cli.naming import require_place
from imgtool.cli.recipes import Ingredient, make_recipe
from imgtool.cli.sources import READABLE, STREAM
from imgtool.data.captcha_labels import write_labels
from imgtool.data.captcha_set import read_captcha_set
from imgtool.data.captcha_shards import SHEET, Drawn, SetShape, is_whole, missing, write_shard
from imgtool.errors import OptionError
from imgtool.files import printable, sha256_file
from imgtool.imaging.fonts import Font, find_fonts
from imgtool.imaging.io import read_picture, write_picture
from imgtool.imaging.picture import Picture, to_8_bits
from imgtool.imaging.sheet import draw_sheet
from imgtool.options.captcha import BACKGROUNDS, CaptchaOptions
from imgtool.tasks.captcha import MOST_COMPARED, Captcha, Captchas

ON_SHEET, PANEL = 40, 240  # pictures, pixels
LARGEST_SHARD = 1 << 30  # bytes of an array that is written at once


@dataclass(frozen=True)
class Look:
    """All that the pictures of a set depend on, to be sent to other processes.

    Attributes:
        options: style and seed.
        fonts: their files.
        alphabet: of random texts; None before it is known.
        scenes: pictures to take backgrounds from.
        texts: the file whose lines are the texts to choose from; every process reads it for itself.
        secure: texts from the system's randomness.
    """

    options: CaptchaOptions
    fonts: tuple[Font, ...]
    alphabet: str | None
    scenes: tuple[Path, ...]
    texts: Path | None
    secure: bool

    def style(self) -> Captchas:
        """What draws them."""
        cv2.setNumThreads(1)  # pictures are too small to share
        scenes = (to_8_bits(read_picture(path).pixels) for path in self.scenes)
        options = replace(self.options, words=words_of(self.texts)) if self.texts else self.options
        return Captchas(options, self.fonts, alphabet=self.alphabet, scenes=scenes, secure=self.secure)


def look_of(
    options: CaptchaOptions,
    *,
    text_file: str | None = None,
    secure: bool = False,
    like: Mapping[str, Any] | None = None,
) -> Look:
    """A style with its fonts and backgrounds found.

    Args:
        options: the style.
        text_file: see `Look`.
        secure: see `Look`.
        like: the manifest of a set whose pictures shall be made again.
    Raises:
        OptionError: one is not there, or is not that of the set.
    """
    fonts, scenes = find_fonts(options.fonts), _scenes(options.background)
    texts = None if text_file is None else texts_file(text_file)
    if like is not None:
        Manifest.require_same(like, fonts, scenes, texts)
    return Look(options, fonts, None, scenes, texts, secure)


def draw_one(
    options: CaptchaOptions, output: str, values: Mapping[str, Any], like: Mapping[str, Any] | None
) -> int:
    """Draw a single picture into a file or stdout; the exit code."""
    began = time.monotonic()
    path = Path(output)
    if output != STREAM:
        require_place(path, force=values["force"])
    else:
        require_stream(alone=True)
    look = look_of(options, text_file=values["text_file"], secure=values["secure"], like=like)
    captcha = look.style().draw(values["start"])
    # A recipe tells the text, and who is to be kept out can read it too.
    recipe = None if look.secure else _recipe(look, captcha)
    picture = Picture(pixels=captcha.pixels)
    if output == STREAM:
        write_picture(sys.stdout.buffer, picture, format=values["format"], recipe=recipe)
    else:
        write_picture(path, picture, recipe=recipe, overwrite=values["force"])
    about = {"text": captcha.text, "glyphs": [asdict(glyph) for glyph in captcha.glyphs]}
    height, width = captcha.pixels.shape[:2]
    seconds = time.monotonic() - began
    console.record({"output": output, "width": width, "height": height, "seconds": seconds, **about})
    console.say(f"{'stdout' if output == STREAM else printable(path)}: {captcha.text}")
    return 0


def draw_set(
    options: CaptchaOptions,
    values: Mapping[str, Any],
    like: Mapping[str, Any] | None,
    *,
    part: tuple[int, int] | None,
) -> int:
    """Draw a set, or those shards of it that are still to be drawn; the exit code.

    Args:
        options: the style.
        values: the command's, by parameter name.
        like: the manifest of a set whose pictures shall be made again.
        part: of the shards: remainder and divisor; None for all.
    """
    shape, folder = _shape(options, values), Path(values["output"]).absolute()  # for processes elsewhere
    look = look_of(options, text_file=values["text_file"], secure=values["secure"], like=like)
    style = look.style()
    look = replace(look, alphabet=style.alphabet)
    manifest = Manifest.of(options, style, look.fonts, look.scenes, values["text_file"], shape)
    remainder, divisor = part or (0, 1)
    mine = range(remainder, shape.shards, divisor)
    if not mine:
        console.warn(
            f"of {shape.shards} shards none is in part {remainder + 1}; a smaller --shard-size makes more"
        )
    with locked(folder, None if part is None else f"{remainder + 1}-{divisor}"):
        take_folder(folder, manifest, force=values["force"])
        _say_left_out(style)
        left = [each for each in mine if not is_whole(folder, shape, each)]
        try:
            _draw_shards(look, shape, folder, left, values)
        except KeyboardInterrupt:
            console.say("What is whole is kept; the same command goes on.")
            raise
        if to_come := missing(folder, shape, set(range(shape.shards)) - set(mine)):
            console.say(
                f"{len(to_come)} of {shape.shards} shards are to come; labels are written when all are there."
            )
        else:
            write_labels(folder, shape)
            if values["sheet"]:
                _write_sheet(folder, shape)
    pictures, in_all = (sum(len(shape.indices(each)) for each in shards) for shards in (left, mine))
    console.say(f"{printable(values['output'])}: {pictures} done, {in_all - pictures} skipped, 0 failed")
    console.record({"summary": {"done": pictures, "skipped": in_all - pictures, "failed": 0}})
    return 0


def _say_left_out(style: Captchas) -> None:
    if style.look_alikes:
        console.say(f"Left out for looking like another: {' '.join(style.look_alikes)}")
    if len(style.alphabet) > MOST_COMPARED and style.options.text is None and not style.options.words:
        console.warn(f"among more than {MOST_COMPARED} characters look-alikes are not searched for")


def draw_shard(look: Look, shape: SetShape, folder: Path, shard: int) -> int:
    """Draw and store one shard, in whatever process; its number."""
    write_shard(folder, shape, shard, _drawn(_styles(look), shape, shard))
    return shard


def _drawn(style: Captchas, shape: SetShape, shard: int) -> Iterator[Drawn]:
    for index in shape.indices(shard):
        captcha = style.draw(index, truth=shape.truth, mask=shape.masks)
        glyphs = [_rounded(asdict(glyph)) for glyph in captcha.glyphs]
        yield Drawn(index, captcha.text, captcha.pixels, glyphs, captcha.mask)


@lru_cache(maxsize=1)
def _styles(look: Look) -> Captchas:
    """The style of the shards that this process draws, prepared once."""
    return look.style()


def _draw_shards(
    look: Look, shape: SetShape, folder: Path, shards: Sequence[int], values: Mapping[str, Any]
) -> None:
    """One task a shard, in this process, in several, or on a cluster."""
    draws = ((look, shape, folder, shard) for shard in shards)
    pictures = 0
    with _drawn_shards(draws, values) as drawn, console.progress("Drawing") as on_progress:
        on_progress(0, len(shards), "")
        for done, shard in enumerate(drawn, start=1):
            pictures += len(shape.indices(shard))
            on_progress(done, len(shards), f"{pictures} pictures")
            console.record({"output": str(folder), "shard": shard, "pictures": len(shape.indices(shard))})


@contextmanager
def _drawn_shards(draws: Iterable[tuple[Any, ...]], values: Mapping[str, Any]) -> Iterator[Iterator[int]]:
    """The numbers of shards, each when it is drawn."""
    if values["ray"] is None:
        tasks = (joblib.delayed(draw_shard)(*each) for each in draws)
        yield joblib.Parallel(n_jobs=values["workers"], return_as="generator_unordered")(tasks)
        return
    with connected(values["ray"]) as cluster:
        yield (result() for result in cluster.each(draw_shard, draws))


def _scenes(background: str) -> tuple[Path, ...]:
    """The pictures behind the text.

    Raises:
        OptionError: there is none.
    """
    if background in BACKGROUNDS:
        return ()
    path = Path(background).expanduser().absolute()
    shown = printable(background)
    if path.is_file():
        return (path,)
    if not path.is_dir() or not background:
        known = ", ".join(BACKGROUNDS)
        raise OptionError("background", f"{shown!r} is neither {known} nor a picture or a folder of them")
    found = tuple(sorted(each for each in path.iterdir() if each.suffix[1:].lower() in READABLE))
    if not found:
        raise OptionError("background", f"{shown} holds no pictures")
    return found


def _shape(options: CaptchaOptions, values: Mapping[str, Any]) -> SetShape:
    splits = values["split"] or {}
    try:
        shape = SetShape(
            count=values["count"],
            start=values["start"],
            shard=values["shard_size"],
            layout=values["layout"],
            format=values["format"],
            quality=values["quality"],
            truth=values["truth"],
            masks=values["masks"],
            splits=splits,
            seed=options.seed,
        )
    except ValueError as error:
        raise OptionError("split", str(error), hint="train=0.8,val=0.1,test=0.1") from error
    width, height = options.size
    if shape.layout == "npy" and width * height * 3 * min(shape.shard, shape.count) > LARGEST_SHARD:
        raise OptionError("shard_size", f"arrays of {shape.shard} pictures take more than 1 GB")
    return shape


def _write_sheet(folder: Path, shape: SetShape) -> None:
    """The first pictures of each part with their texts, as they were written."""
    items = [item for split in shape.splits or ("",) for item in read_captcha_set(folder / split)[:ON_SHEET]]
    panels = [(each.text, Picture(pixels=each.read())) for each in items[:ON_SHEET]]
    write_picture(folder / SHEET, draw_sheet(panels, panel_px=PANEL), overwrite=True)


def _recipe(look: Look, captcha: Captcha) -> dict[str, Any]:
    """How a single picture was made."""
    options = look.options
    knobs = style_of(options) | {"text": captcha.text, "seed": options.seed, "start": captcha.index}
    files = [font for font in look.fonts if Path(font.origin).is_file()]
    families = [font.origin for font in look.fonts if font.origin and font not in files]
    ingredients = [Ingredient("font", Path(font.origin), font.sha256) for font in files]
    del knobs["fonts"]
    if look.scenes:
        scene = look.scenes[captcha.index % len(look.scenes)]
        ingredients.append(Ingredient("background", scene, sha256_file(scene)))
        del knobs["background"]
    return make_recipe("captcha-gen", ingredients, {**knobs, "font": families}, {})


def _rounded(value: Any) -> Any:
    """Numbers with as many places as mean anything."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
