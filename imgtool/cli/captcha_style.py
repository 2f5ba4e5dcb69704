"""Styles of captchas in files: TOML that people write, and the manifest of a set."""

import json
import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from imgtool.cli import settings
from imgtool.cli.console import console
from imgtool.cli.naming import require_place
from imgtool.cli.sources import is_file
from imgtool.errors import OptionError
from imgtool.files import atomic_write, printable
from imgtool.options.captcha import CaptchaOptions, require_drawable

# What a style says: not which texts, nor the seed.
STYLE_FIELDS = tuple(
    field.name for field in fields(CaptchaOptions) if field.name not in ("text", "words", "seed", "fonts")
)
OTHER_FIELDS = ("fonts", "text", "text_file", "seed")  # that a saved style may have all the same
TEXTS = {"text", "text_file"}
MOST_WORDS = 1_000_000


@dataclass(frozen=True)
class Config:
    """A saved style.

    Attributes:
        fields: of `CaptchaOptions` by name, and "text_file".
        manifest: of the set that it is of; None for a style alone.
    """

    fields: Mapping[str, Any]
    manifest: Mapping[str, Any] | None = None


def config_of(path: str, context: click.Context) -> Config:
    """What a saved style or a set's manifest says.

    Raises:
        OptionError: it cannot be read, or says what is no option.
    """
    shown = printable(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.lower().endswith(".json") else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OptionError("config", f"{shown} cannot be read: {reason}") from error
    if not isinstance(found, dict):
        raise OptionError("config", f"{shown} holds no options")
    if not isinstance(found.get("style"), dict):
        return Config(_typed(found, shown, context))
    if found.get("secure") and context.params.get("text") is None:
        raise OptionError("config", f"{shown}: no seed tells its secure texts", hint="--text TEXT")
    return Config(_typed({**found["style"], "seed": found.get("seed", 0)}, shown, context), found)


def _typed(found: Mapping[str, Any], shown: str, context: click.Context) -> dict[str, Any]:
    """Values as their options would take them from the command line."""
    params = {str(param.name): param for param in context.command.params}
    known = (*STYLE_FIELDS, *OTHER_FIELDS)
    typed: dict[str, Any] = {}
    for key, value in found.items():
        if value is None:
            continue
        name = key.replace("-", "_")
        if name not in known:
            cure = settings.guess(name, known) or f" Choose from {', '.join(known)}."
            raise OptionError("config", f"{shown}: no option is called {printable(key)}.{cure}")
        if name == "fonts":
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise OptionError("config", f"{shown}: {key} must be a list of strings")
            typed[name] = tuple(value)
            continue
        is_text = name in TEXTS or isinstance(getattr(CaptchaOptions, name, None), str)
        whole = name == "seed" and not isinstance(value, int)
        if isinstance(value, bool) or whole or (is_text and not isinstance(value, str)):
            raise OptionError("config", f"{shown}: {key}: {value!r} is of another kind")
        try:
            typed[name] = params[name].type_cast_value(context, value)
        except click.BadParameter as error:
            raise OptionError("config", f"{shown}: {key}: {error.message}") from error
        except TypeError as error:
            raise OptionError("config", f"{shown}: {key}: {value!r} is of another kind") from error
    return typed


def merged(values: Mapping[str, Any], config: Mapping[str, Any], typed: Collection[str]) -> dict[str, Any]:
    """A style by fields: what is typed goes before a saved style, and that before the environment and settings.

    Texts come from one place: the strongest that names any.

    Args:
        values: the command's, by parameter name; None or () for what is not given.
        config: the fields of a saved style.
        typed: the parameters that stood on the command line.
    Raises:
        OptionError: two things contradict each other.
    """
    by_name = {**values, "fonts": values.get("font")}
    given = {name: by_name.get(name) for name in (*STYLE_FIELDS, *OTHER_FIELDS)}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    by_hand = {name: given[name] for name in given if (name if name != "fonts" else "font") in typed}
    if "level" in by_hand and config:
        raise OptionError("level", "does not go with --config, which has one", hint="leave one of them away")
    texts = next((found for each in (by_hand, config, given) if (found := TEXTS & each.keys())), set())
    if texts == TEXTS:
        raise OptionError("text", "does not go with --text-file", hint="leave one of them away")
    style = {**given, **config, **by_hand}
    return {name: value for name, value in style.items() if name not in TEXTS - texts}


def options_of(style: Mapping[str, Any]) -> CaptchaOptions:
    """The task's options of a style by fields, but for the words of its "text_file", which may be a million."""
    given = {name: value for name, value in style.items() if name != "text_file"}
    if "text" in given:
        given["text"] = unicodedata.normalize("NFC", given["text"])
    return CaptchaOptions.of_level(given.pop("level", CaptchaOptions.level), **given)


def texts_file(text: str) -> Path:
    """The path of a file of texts, for processes elsewhere too.

    Raises:
        OptionError: it is not there.
    """
    if not is_file(text):
        reason = f"{printable(text)} cannot be read: there is no such file"
        raise OptionError("text_file", reason, hint="--text-file FILE")
    return Path(text).absolute()


def words_of(path: Path) -> tuple[str, ...]:
    """The lines of a file that are not empty.

    Raises:
        OptionError: it cannot be read, or has none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise OptionError("text_file", f"{printable(path)} cannot be read: {reason}") from error
    words: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if word := unicodedata.normalize("NFC", line.strip()):
            require_drawable("text_file", word, where=f"{printable(path)}, line {number}: ")
            words[word] = None
    if not words:
        raise OptionError("text_file", f"{printable(path)} has no text")
    if len(words) > MOST_WORDS:
        raise OptionError(
            "text_file", f"{printable(path)} has {len(words)} texts, expected at most {MOST_WORDS}"
        )
    return tuple(words)


def style_of(options: CaptchaOptions) -> dict[str, Any]:
    """The fields of a style as a file holds them."""
    return {name: getattr(options, name) for name in (*STYLE_FIELDS, "fonts")}


def save_style(path: Path, options: CaptchaOptions, *, force: bool) -> None:
    """Write a style that `--config` reads.

    Raises:
        click.UsageError: it exists.
        OutputError: it cannot be written.
    """
    require_place(path, force=force)
    # JSON's strings, numbers and lists are TOML's too.
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in style_of(options).items()]
    with atomic_write(path) as file:
        file.write(("# imgtool captcha-gen --config THIS\n" + "\n".join(lines) + "\n").encode())
    console.say(printable(path))
