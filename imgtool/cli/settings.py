"""Settings from files: `./imgtool.toml`, then the user's own; a flag or an environment variable goes before both."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

PROJECT_FILE = Path("imgtool.toml")


def user_file() -> Path:
    """The user's settings: `imgtool.toml` in `IMGTOOL_CONFIG_DIR` or in the platform's configuration folder."""
    if folder := os.environ.get("IMGTOOL_CONFIG_DIR"):
        return Path(folder) / "imgtool.toml"
    import platformdirs

    return platformdirs.user_config_path("imgtool") / "imgtool.toml"


def files() -> list[Path]:
    """The settings files that exist, the strongest last."""
    return [path for path in (user_file(), PROJECT_FILE) if path.is_file()]


def load(commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Defaults by command and parameter, for Click's `default_map`.

    Raises:
        click.UsageError: a file that is not TOML, or names a command or option that does not exist.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in files():
        for command, values in read(path, commands).items():
            merged.setdefault(command, {}).update(values)
    return merged


def read(path: Path, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """The settings of one file, by command and parameter name, checked against the commands."""
    import tomllib

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}.") from error
    settings = {}
    for command, table in tables.items():
        if command not in commands or not isinstance(table, dict):
            raise click.UsageError(f"{path}: [{command}] is no command.{_guess(command, commands)}")
        known = {param.name: param for param in commands[command].params if param.name}
        settings[command] = {key.replace("-", "_"): value for key, value in table.items()}
        for key in settings[command]:
            if key not in known:
                raise click.UsageError(f"{path}: [{command}] has no option {key!r}.{_guess(key, known)}")
    return settings


def _guess(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
