"""`imgtool captcha-gen`: a style, and a picture or a set of them."""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, settings, value_types
from imgtool.cli.captcha_style import Config, config_of, merged, options_of, save_style
from imgtool.cli.sources import READABLE, STREAM
from imgtool.errors import OptionError
from imgtool.files import printable
from imgtool.options.captcha import (
    BACKGROUNDS,
    CAPTCHA_FORMATS,
    CAPTCHA_LAYOUTS,
    CAPTCHA_LEVELS,
    COLORS,
    DEFAULT_FAMILIES,
    INKS,
    CaptchaOptions,
)

# Of its options, those that say how a set is stored.
EXTRAS = (
    "count",
    "layout",
    "truth",
    "masks",
    "split",
    "sheet",
    "workers",
    "shard",
    "shard_size",
    "ray",
    "save_config",
)
OF_SETS = ("layout", "quality", "truth", "masks", "split", "sheet", "workers", "shard", "shard_size", "ray")
MAX_START = 1 << 40
STYLE = CaptchaOptions()


class _Families(Collection[str]):
    """The names that a family of fonts may have, as `fontpkg` calls them; all that look like one."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name))

    def __iter__(self) -> Iterator[str]:
        return iter(DEFAULT_FAMILIES)

    def __len__(self) -> int:
        return len(DEFAULT_FAMILIES)


# An option of the style, with the default of the level "medium".
knob = partial(params.knob, STYLE)

look = params.together(
    click.option(
        "--level",
        type=click.Choice(tuple(CAPTCHA_LEVELS)),
        help=f"Where the defaults of the look come from.  [default: {STYLE.level}]",
    ),
    click.option(
        "--config",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="A saved style, or a set's manifest.json.",
    ),
    click.option("--text", help="The same text in every picture."),
    click.option(
        "--text-file", type=click.Path(dir_okay=False), metavar="FILE", help="Choose texts from its lines."
    ),
    knob("--length", type=value_types.Span(int), help="Characters of a random text."),
    knob("--alphabet", type=str, help="What random texts are made of; look-alikes are left out of it."),
    knob(
        "--look-alike", type=float, help="Distance of glyphs, in their heights, below which they look alike."
    ),
    knob("--size", type=value_types.Size(), help="Of the picture in pixels."),
    click.option(
        "--font",
        multiple=True,
        type=click.Path(),
        metavar="FILE|DIR|FAMILY",
        help="May be repeated.  [default: eight families of the extra captcha, else Pillow's own]",
    ),
    knob("--font-size", type=value_types.Span(), help="Of the em, in heights of the picture."),
    knob("--rotation", type=float, help="Degrees to either side."),
    knob("--shear", type=float, help="Horizontal shift for one unit of height."),
    knob(
        "--overlap", type=value_types.Span(), help="Of neighbours, in widths of the narrower; below 0 a gap."
    ),
    knob("--jitter", type=float, help="Share of the free height that glyphs move in."),
    knob("--ink", type=click.Choice(INKS), help="Against the background."),
    knob("--colors", type=click.Choice(COLORS), help="One ink for all, or one for each glyph."),
    knob(
        "--background", type=click.Path(), metavar="|".join(BACKGROUNDS) + "|FILE|DIR", help="What is behind."
    ),
    knob("--min-contrast", type=float, help="Of each glyph against its background, as WCAG counts."),
    knob("--min-visible", type=float, help="Share of each glyph's ink that nothing covers."),
    knob("--wave", type=value_types.Span(), help="Amplitude, in heights of the picture."),
    knob("--wave-length", type=value_types.Span(), help="In heights of the picture."),
    knob("--lines", type=int, help="Bezier curves across the text."),
    knob("--line-width", type=value_types.Span(), help="In heights of the picture."),
    knob("--line-degree", type=int, help="Of the curves."),
    knob("--dots", type=int, help="How many."),
    knob("--noise", type=float, help="Standard deviation, in levels of 255."),
)


@click.command(
    "captcha-gen",
    cls=params.Repeatable,
    files={"font": _Families(), "text_file": (), "background": BACKGROUNDS, "config": ()},
    extras=EXTRAS,
    short_help="Draw captchas, with their truth.",
)
@click.option("-n", "--count", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="A folder for a set; for a single picture also a file, or - for stdout.  [default: captcha.png]",
)
@look
@knob("--seed", type=int, help="Picture i depends on it and on i alone.")
@click.option(
    "--start",
    type=click.IntRange(0, MAX_START),
    default=0,
    show_default=True,
    help="Number of the first picture.",
)
@click.option("--secure", is_flag=True, help="Texts that no seed can tell, to protect something.")
@click.option(
    "--format",
    type=click.Choice(CAPTCHA_FORMATS),
    default="png",
    show_default=True,
    help="Of pictures in a set.",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), default=90, show_default=True, help="Of JPEG and WebP."
)
@click.option(
    "--layout",
    type=click.Choice(CAPTCHA_LAYOUTS),
    default="files",
    show_default=True,
    help="A file each, WebDataset tars, or arrays.",
)
@click.option(
    "--truth", is_flag=True, help="Tell every glyph's place, font, colour, contrast, in truth.jsonl."
)
@click.option("--masks", is_flag=True, help="Save which pixel belongs to which glyph.")
@click.option(
    "--split",
    type=value_types.Weighted("="),
    metavar="NAME=SHARE,…",
    help="Divide the set, no text in two parts: train=0.8,val=0.1,test=0.1.",
)
@click.option("--sheet", is_flag=True, help="Save the first 40 on a sheet, sheet.png.")
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes.")
@click.option(
    "--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Pictures in a shard."
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Draw each N-th shard alone, from the I-th on: for batch queues.",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Spread shards over a Ray cluster with a common disk: its address, or auto, or local.",
)
@click.option("--save-config", type=click.Path(dir_okay=False), metavar="FILE", help="Save the style alone.")
@click.option("-f", "--force", is_flag=True, help="Replace what is there.")
@params.talk
def captcha_gen_command(save_config: str | None, **values: Any) -> int:
    """Draw captchas: pictures of a text that bends, for training OCR and for measuring how strong they are.

    A set holds labels.jsonl and labels.csv, and a manifest from which any picture can be made again with --config and
    --start. The same command goes on with a set that was interrupted. Text captchas are weak: imgtool captcha-audit
    tells how weak.

    \b
    Examples:
      imgtool captcha-gen --text HELLO -o hello.png
      imgtool captcha-gen -n 10000 -o set --level medium --truth --workers 2
      imgtool captcha-gen -n 100000 -o shards --layout tar --split train=0.8,val=0.1,test=0.1
      imgtool captcha-gen --level hard --lines 3 --save-config mine.toml
      imgtool captcha-gen -n 1 --config set/manifest.json --start 1234 -o again.png
    """
    context = click.get_current_context()
    with settings.origins_told(context):
        config = config_of(values["config"], context) if values["config"] else Config({})
        typed = {str(param.name) for param in params.on_command_line(context)}
        style = merged(values, config.fields, typed)
        options = options_of(style)
        if save_config:
            if values["output"] is not None:
                raise click.UsageError("--save-config draws nothing; leave -o away.")
            save_style(Path(save_config), options, force=values["force"])
            return 0
        single = _is_single(values)
        part = _part(values["shard"], force=values["force"])
        values |= _as_in(config, typed) | {"text_file": style.get("text_file")}
    from imgtool.cli import captcha_gen_work as work

    if single:
        return work.draw_one(options, values["output"] or "captcha.png", values, config.manifest)
    return work.draw_set(options, values, config.manifest, part=part)


def _as_in(config: Config, typed: Collection[str]) -> dict[str, Any]:
    """Format and quality of the set that a manifest is of, unless they are typed: for the same bytes again."""
    found = (config.manifest or {}).get("set")
    shape: dict[str, Any] = found if isinstance(found, dict) else {}
    kinds = {"format": str, "quality": int}
    return {
        name: shape[name]
        for name, kind in kinds.items()
        if name not in typed and isinstance(shape.get(name), kind)
    }


def _is_single(values: Mapping[str, Any]) -> bool:
    """Whether one picture is asked for rather than a set."""
    output = values["output"]
    if output == "":
        raise click.UsageError("-o is empty.")
    suffix = Path(output or "").suffix[1:].lower()
    if values["count"] == 1 and (output in (None, STREAM) or suffix in (*CAPTCHA_FORMATS, "jpeg")):
        for param in params.on_command_line(click.get_current_context()):
            if param.name in OF_SETS:
                raise click.UsageError(f"{param.opts[-1]} is of a set; -o takes a folder for one.")
        return True
    if output in (None, STREAM):
        raise click.UsageError("a set needs a folder: -o DIR.")
    if suffix in READABLE:
        what = (
            f"is one file for {values['count']} pictures"
            if values["count"] > 1
            else "has a format unknown here"
        )
        raise click.UsageError(
            f"{printable(output)} {what}; -o takes a folder for a set, or .png, .jpg, .webp."
        )
    return False


def _part(text: str | None, *, force: bool) -> tuple[int, int] | None:
    """Which shards: the remainder, from 0 on, and the divisor; None for all."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise OptionError("shard", f"{text!r} is no part of a whole; write 1/4 to 4/4")
    if force:
        raise OptionError("shard", "does not go with --force, which would delete the other parts")
    return int(found[1]) - 1, int(found[2])
