"""Recipes: what an output carries about its making, `inspect` to see it, `rerun` to make it again."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from imgtool import __version__
from imgtool.cli import params
from imgtool.cli.console import console
from imgtool.errors import RecipeError

PACKAGES = ("torch", "numpy", "pillow")
FORMAT = 1


@dataclass(frozen=True)
class Ingredient:
    """A file that went into an output.

    Attributes:
        param: the parameter of the command that named it.
        path: where it is.
        sha256: of its bytes.
        weight: as in `--style FILE:weight`; None where files have no weight.
    """

    param: str
    path: Path
    sha256: str
    weight: float | None = None


def make_recipe(
    command: str,
    ingredients: Sequence[Ingredient],
    options: Mapping[str, Any],
    weights: Mapping[str, str],
) -> dict[str, Any]:
    """All that is needed to make the output again to the byte, and nothing that changes between two runs.

    Args:
        command: the command's name.
        ingredients: the input files.
        options: by parameter name, as resolved: no "auto", no default left open.
        weights: name -> SHA-256.
    """
    recorded = (click.get_current_context().obj or {}).get("paths", {})
    return {
        "imgtool": __version__,
        "format": FORMAT,
        "command": command,
        "inputs": [
            {"param": item.param, "path": recorded.get(item.sha256) or shown_path(item.path), "sha256": item.sha256}
            | ({} if item.weight is None else {"weight": item.weight})
            for item in ingredients
        ],
        "options": dict(options),
        "weights": [{"name": name, "sha256": sha256} for name, sha256 in weights.items()],
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }


def shown_path(path: Path) -> str:
    """A path as a recipe tells it: from the current folder; one that lies elsewhere keeps only its name.

    Pictures are passed on, and the folders of a home are nobody's business.
    """
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    inside = path.resolve().is_relative_to(Path.cwd())
    return path.resolve().relative_to(Path.cwd()).as_posix() if inside else path.name


@click.command("inspect")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE…")
@params.talk
def inspect_command(pictures: tuple[str, ...]) -> None:
    """Show how PICTURE was made: command, options, inputs and weights with their SHA-256.

    \b
    Examples:
      imgtool inspect out.png
      imgtool inspect out.png | jq .options.seed
    """
    from imgtool.imaging.io import read_recipe

    for picture in pictures:
        console.data(json.dumps(read_recipe(Path(picture)), indent=None if console.json else 2, ensure_ascii=False))


@click.command("rerun")
@click.argument("picture")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the new picture goes; - for stdout.")
@click.option("-f", "--force", is_flag=True, help="Replace an existing output.")
@click.option("--find", multiple=True, metavar="FOLDER", help="Look for the inputs here too; may be repeated.")
@params.talk
def rerun_command(picture: str, output: str, force: bool, find: tuple[str, ...]) -> Any:
    """Make PICTURE again from its recipe: the same bytes on the same machine.

    The inputs are looked for where they were, beside PICTURE and in --find, and must have the recorded SHA-256.

    \b
    Examples:
      imgtool rerun out.png -o again.png
      imgtool rerun out.png -o again.png --find ~/photos --find paintings
    """
    from imgtool.cli.main import cli
    from imgtool.imaging.io import read_recipe

    recipe = read_recipe(Path(picture))
    command = cli.commands.get(recipe.get("command", ""))
    if command is None or recipe.get("format") != FORMAT:
        raise RecipeError(f"{picture}: made by imgtool {recipe.get('imgtool')}, which this version cannot repeat")
    for change in _changes(recipe):
        console.warn(change)
    folders = [Path(), Path(picture).parent, *map(Path, find)]
    arguments = _arguments(command, recipe, folders)
    arguments = ["-o", output, *(["--force"] if force else []), *arguments]
    console.detail(f"imgtool {recipe['command']} {' '.join(arguments)}")
    paths = {item["sha256"]: item["path"] for item in recipe["inputs"]}
    # A context of its own: neither settings nor environment may speak for options of the recipe.
    with command.make_context(recipe["command"], arguments, obj={"paths": paths}) as ctx:
        return command.invoke(ctx)


def _changes(recipe: Mapping[str, Any]) -> Iterator[str]:
    """What differs from the machine that made it, and may change the bytes."""
    now = {"imgtool": __version__, "python": platform.python_version()}
    now |= {name: metadata.version(name) for name in PACKAGES}
    for name, then in {"imgtool": recipe["imgtool"], **recipe.get("versions", {})}.items():
        if now.get(name) != then:
            yield f"made with {name} {then}, here is {now.get(name)}: the bytes may differ"


def _arguments(command: click.Command, recipe: Mapping[str, Any], folders: Sequence[Path]) -> list[str]:
    """The recipe as a command line, options first."""
    known = {param.name: param for param in command.params}
    words, positional = [], []
    for item in recipe["inputs"]:
        param = known.get(item["param"])
        path = str(_found(item, folders))
        if isinstance(param, click.Option):
            weight = item.get("weight")
            words.append(f"{param.opts[-1]}={path if weight is None else f'{path}:{weight!r}'}")
        else:
            positional.append(path)
    for name, value in recipe["options"].items():
        param = known.get(name)
        # A stranger's recipe says how a picture is made, never what is written where.
        if not isinstance(param, click.Option) or name in params.OUTPUT:
            raise RecipeError(f"the recipe's option {name!r} is unknown to {recipe['command']}")
        words += _words(param, value)
    return [*words, "--", *positional]


def _words(option: click.Option, value: Any) -> list[str]:
    """An option with its value as they are typed."""
    if isinstance(value, bool):
        return [option.opts[-1]] if value else []
    if value is None:
        return []
    if isinstance(value, dict):
        value = ",".join(f"{name}:{weight!r}" for name, weight in value.items())
    elif isinstance(value, list):
        value = ",".join(str(item) for item in value)
    return [f"{option.opts[-1]}={value}"]


def _found(item: Mapping[str, Any], folders: Sequence[Path]) -> Path:
    """The file of an ingredient: at its path or by its name in one of the folders, else by its bytes there."""
    from imgtool.files import sha256_file

    path = Path(item["path"])
    named = [place for folder in folders for place in (folder / path, folder / path.name) if place.is_file()]
    others = (place for folder in folders[2:] for place in sorted(folder.iterdir()) if place.is_file())
    for place in [*named, *others]:
        if sha256_file(place) == item["sha256"]:
            return place
    if named:
        raise RecipeError(f"{named[0]} has changed: its SHA-256 is not {item['sha256'][:12]}…", hint="--find FOLDER")
    raise RecipeError(f"the input {path.name} (SHA-256 {item['sha256'][:12]}…) is not here", hint="--find FOLDER")
