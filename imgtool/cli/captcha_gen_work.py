"""What `imgtool captcha-gen` does: one picture with its recipe, or a set shard by shard."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import joblib

from imgtool import __version__
from imgtool.cli.captcha_style import style_of
from imgtool.cli.console import console
from imgtool.cli.recipes import Ingredient, make_recipe, versions
from imgtool.cli.sources import READABLE, STREAM
from imgtool.data.captcha_set import (
    MANIFEST,
    Drawn,
    SetShape,
    is_whole,
    remove_set,
    write_labels,
    write_shard,
)
from imgtool.errors import OptionError, OutputError
from imgtool.files import atomic_write, check_writable, printable, sha256_file
from imgtool.imaging.fonts import Font, find_fonts
from imgtool.imaging.io import read_picture, write_picture
from imgtool.imaging.picture import Picture, to_8_bits
from imgtool.imaging.sheet import draw_sheet
from imgtool.options.captcha import BACKGROUNDS, DEFAULT_FAMILIES, CaptchaOptions
from imgtool.tasks.captcha import Captcha, Captchas, Pixels

SHEET, ON_SHEET = "sheet.png", 40
PANEL = 240  # pixels


@dataclass(frozen=True)
class Look:
    """All that the pictures of a set depend on, to be sent to other processes.

    Attributes:
        options: style and seed.
        fonts: their files.
        alphabet: of random texts; None before it is known.
        scenes: pictures to take backgrounds from.
        secure: texts from the system's randomness.
    """

    options: CaptchaOptions
    fonts: tuple[Font, ...]
    alphabet: str | None
    scenes: tuple[Path, ...]
    secure: bool

    def style(self) -> Captchas:
        """What draws them."""
        cv2.setNumThreads(1)  # pictures are too small to share
        scenes = [_scene(path) for path in self.scenes]
        return Captchas(self.options, self.fonts, alphabet=self.alphabet, scenes=scenes, secure=self.secure)


def draw_one(options: CaptchaOptions, output: str, values: Mapping[str, Any]) -> int:
    """Draw a single picture into a file or stdout; the exit code."""
    began = time.monotonic()
    path = Path(output)
    if output != STREAM:
        if path.exists() and not values["force"]:
            raise OutputError(f"{printable(path)} exists", hint="--force replaces it")
        check_writable(path)
    elif sys.stdout.isatty() or console.json:
        raise OptionError("output", "stdout is a terminal or has --json", hint="-o captcha.png")
    look = _look(options, values)
    captcha = look.style().draw(values["start"])
    picture, recipe = Picture(pixels=captcha.pixels), _recipe(look, captcha, values)
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
    options: CaptchaOptions, folder: Path, values: Mapping[str, Any], *, shard: tuple[int, int]
) -> int:
    """Draw a set, or those shards of it that are still to be drawn; the exit code.

    Args:
        options: the style.
        folder: of the set.
        values: the command's, by parameter name.
        shard: which of the shards: remainder and divisor.
    """
    look, shape = _look(options, values), _shape(options, values)
    style = look.style()
    look = Look(look.options, look.fonts, style.alphabet, look.scenes, look.secure)
    folder = folder.absolute()  # for processes that are elsewhere
    _take_folder(folder, _manifest(look, style, shape), shape, force=values["force"])
    if style.look_alikes:
        console.say(f"Left out for looking like another: {' '.join(style.look_alikes)}")
    mine = range(shard[0], shape.shards, shard[1])
    left = [each for each in mine if not is_whole(folder, shape, each)]
    pictures = sum(len(shape.indices(each)) for each in left)
    try:
        _draw_shards(look, shape, folder, left, values)
    except KeyboardInterrupt:
        console.say("What is whole is kept; the same command goes on.")
        raise
    if all(is_whole(folder, shape, each) for each in range(shape.shards)):
        write_labels(folder, shape)
        if values["sheet"]:
            _write_sheet(folder / SHEET, style, shape)
    skipped = sum(len(shape.indices(each)) for each in mine) - pictures
    console.say(f"{printable(values['output'])}: {pictures} done, {skipped} skipped, 0 failed")
    console.record({"summary": {"done": pictures, "skipped": skipped, "failed": 0}})
    return 0


def draw_shard(look: Look, shape: SetShape, folder: Path, shard: int, *, truth: bool, masks: bool) -> int:
    """Draw and store one shard, in whatever process; its number."""
    style = _styles(look)
    write_shard(folder, shape, shard, _drawn(style, shape.indices(shard), truth=truth, masks=masks))
    return shard


def _drawn(style: Captchas, indices: range, *, truth: bool, masks: bool) -> Iterator[Drawn]:
    for index in indices:
        captcha = style.draw(index, truth=truth, mask=masks)
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
    wanted = {"truth": values["truth"], "masks": values["masks"]}
    tasks = (joblib.delayed(draw_shard)(look, shape, folder, shard, **wanted) for shard in shards)
    with _cluster(values["ray"]) as jobs, console.progress("Drawing") as on_progress:
        on_progress(0, len(shards), "")
        told = "list" if jobs else "generator_unordered"  # Ray's backend tells at the end alone
        parallel = joblib.Parallel(n_jobs=jobs or values["workers"], return_as=told)
        for done, shard in enumerate(parallel(tasks), start=1):
            on_progress(done, len(shards), f"{done * shape.shard} pictures")
            console.record({"output": str(folder), "shard": shard, "pictures": len(shape.indices(shard))})


@contextmanager
def _cluster(address: str | None) -> Iterator[int | None]:
    """Joblib's tasks on a Ray cluster, as many as it has processors; without an address, here."""
    if address is None:
        yield None
        return
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise OptionError("ray", "Ray is not installed", hint="pip install 'imgtool[ray]'") from error
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OptionError(
            "ray", f"no cluster at {printable(address)}: {str(error).splitlines()[0]}"
        ) from error
    register_ray()
    with joblib.parallel_config("ray"):
        yield -1


def _look(options: CaptchaOptions, values: Mapping[str, Any]) -> Look:
    return Look(options, find_fonts(options.fonts), None, _scenes(options.background), values["secure"])


def _scenes(background: str) -> tuple[Path, ...]:
    """The pictures behind the text.

    Raises:
        OptionError: there is none.
    """
    if background in BACKGROUNDS:
        return ()
    path = Path(background).expanduser()
    shown = printable(path)
    if path.is_file():
        return (path,)
    if not path.is_dir():
        known = ", ".join(BACKGROUNDS)
        raise OptionError("background", f"{shown} is neither {known} nor a picture or a folder of them")
    found = tuple(sorted(each for each in path.iterdir() if each.suffix[1:].lower() in READABLE))
    if not found:
        raise OptionError("background", f"{shown} holds no pictures")
    return found


@lru_cache(maxsize=256)
def _scene(path: Path) -> Pixels:
    return to_8_bits(read_picture(path).pixels)


def _shape(options: CaptchaOptions, values: Mapping[str, Any]) -> SetShape:
    splits = values["split"] or {}
    for name, share in splits.items():
        if not name.isidentifier() or not 0 < share < float("inf"):
            raise OptionError(
                "split", f"{name!r} with a share of {share:g}", hint="train=0.8,val=0.1,test=0.1"
            )
    return SetShape(
        count=values["count"],
        start=values["start"],
        shard=values["shard_size"],
        layout=values["layout"],
        format=values["format"],
        quality=values["quality"],
        splits=splits,
        seed=options.seed,
    )


def _manifest(look: Look, style: Captchas, shape: SetShape) -> dict[str, Any]:
    """How a set is made. Words are told by their number and SHA-256, for they may be many."""
    return {
        "imgtool": __version__,
        "command": "captcha-gen",
        "versions": {**versions(), "opencv": cv2.__version__},
        "seed": look.options.seed,
        "secure": look.secure,
        "style": style_of(look.options) | {"text": look.options.text, "words": list(look.options.words)},
        "alphabet": style.alphabet,
        "look_alikes": style.look_alikes,
        "fonts": [{"name": font.name, "sha256": font.sha256} for font in look.fonts],
        "scenes": [{"name": path.name, "sha256": sha256_file(path)} for path in look.scenes],
        "set": asdict(shape),
    }


def _take_folder(folder: Path, manifest: Mapping[str, Any], shape: SetShape, *, force: bool) -> None:
    """Make sure that a folder is new, or holds the beginning of the same set, and write its manifest.

    Raises:
        OutputError: it holds something else, or cannot be written.
    """
    path = folder / MANIFEST
    check_writable(path)
    new = json.loads(json.dumps(manifest))
    if path.exists():
        old = _read_manifest(path)
        differs = [
            key for key in new if key not in ("versions", "set", "imgtool") and old.get(key) != new[key]
        ]
        then = dict(old.get("set") or {})
        differs += [key for key, value in new["set"].items() if key != "count" and then.get(key) != value]
        if not differs and then.get("count", 0) > shape.count:
            differs = ["count"]
        if differs and not force:
            raise OutputError(
                f"{printable(folder)} holds another set, it differs in {', '.join(differs)}",
                hint="--force replaces it, or another -o",
            )
        if differs or force:
            remove_set(folder, SetShape(**then) if then else shape)
        elif old["versions"] != new["versions"]:
            console.warn(
                "the set was begun with other versions: further pictures may differ in a level or two"
            )
    elif folder.is_dir() and any(folder.iterdir()) and not force:
        raise OutputError(
            f"{printable(folder)} is not empty, and holds no set", hint="another -o, or --force"
        )
    with atomic_write(path) as file:
        file.write(json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        reason = "it is no object"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise OutputError(f"{printable(path)} cannot be read: {reason}", hint="another -o")


def _write_sheet(path: Path, style: Captchas, shape: SetShape) -> None:
    """The first pictures with their texts."""
    first = range(shape.start, shape.start + min(shape.count, ON_SHEET))
    drawn = [style.draw(index, truth=False) for index in first]
    panels = [(each.text, Picture(pixels=each.pixels)) for each in drawn]
    write_picture(path, draw_sheet(panels, panel_px=PANEL), overwrite=True)


def _recipe(look: Look, captcha: Captcha, values: Mapping[str, Any]) -> dict[str, Any]:
    """How a single picture was made: its text, for a secure one cannot be drawn again by its seed."""
    options = look.options
    knobs = style_of(options) | {"text": captcha.text, "seed": options.seed, "start": captcha.index}
    families = [font.origin for font in look.fonts if font.origin in DEFAULT_FAMILIES]
    files = [font for font in look.fonts if font.origin and font.origin not in DEFAULT_FAMILIES]
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
