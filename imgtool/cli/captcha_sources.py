"""What readers of captchas are trained on and tried on: levels and styles that draw, or labelled pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgtool.cli.sources import exists
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.options.captcha import CAPTCHA_LEVELS, CaptchaOptions

if TYPE_CHECKING:
    from imgtool.tasks.captcha import Captchas

STYLE, LABELLED = "style", "labelled"  # names of places: style-1, style-2, … or a set
SUFFIXES = (".toml", ".json")  # of styles


def places_of(given: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Path]]:
    """Levels, and places by name: styles, or one labelled set.

    Raises:
        click.UsageError: something that is neither, or a set beside other things.
    """
    levels = tuple(text for text in given if text in CAPTCHA_LEVELS)
    paths = [Path(text) for text in given if text not in CAPTCHA_LEVELS]
    for path in paths:
        if not exists(path):
            known = ", ".join(CAPTCHA_LEVELS)
            raise click.UsageError(f"{printable(path)} is no level ({known}), and no such file or folder.")
    styles = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    sets = [path for path in paths if path not in styles]
    if len(sets) > 1 or (sets and len(given) > 1):
        raise click.UsageError("a labelled set stands alone; several styles and levels can be mixed.")
    if sets:
        return (), {LABELLED: sets[0]}
    return levels, {f"{STYLE}-{number}": path for number, path in enumerate(styles, start=1)}


def styles_of(levels: Sequence[str], places: Mapping[str, Path]) -> list[CaptchaOptions]:
    """Levels, then the styles of files.

    Raises:
        OptionError: a file that is no style.
    """
    from imgtool.cli.captcha_gen import captcha_gen_command
    from imgtool.cli.captcha_style import config_of, options_of, texts_file, words_of

    context = click.Context(captcha_gen_command)
    styles = [CaptchaOptions.of_level(level) for level in levels]
    for name, path in places.items():
        if name.startswith(STYLE):
            found = config_of(str(path), context).fields
            words = words_of(texts_file(found["text_file"])) if "text_file" in found else ()
            styles.append(replace(options_of(found), words=words))
    return styles


def drawn_by(style: CaptchaOptions, *, seed: int) -> Captchas:
    """What draws captchas of a style with a seed of its own.

    Raises:
        OptionError: a font, a background or a text that cannot be had.
    """
    from imgtool.cli.captcha_gen_work import look_of

    return look_of(replace(style, seed=seed)).style()


def as_json(style: CaptchaOptions) -> dict[str, Any]:
    """A style as a run remembers it: with fonts that are found from any folder."""
    fonts = [str(Path(font).absolute()) if exists(font) else font for font in style.fonts]
    found: dict[str, Any] = json.loads(json.dumps({**asdict(style), "fonts": fonts}))
    return found


def from_json(found: Mapping[str, Any]) -> CaptchaOptions:
    """A style as a run remembers it.

    Raises:
        DataError: it is of another version.
    """
    from imgtool.cli.training import with_tuples

    known = {field.name for field in fields(CaptchaOptions)}
    try:
        if strange := found.keys() - known:
            raise ValueError(f"{min(strange)} is unknown")
        return CaptchaOptions(**with_tuples(found))
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the run's style is of another version: {error}") from error
