"""Recipes: what an output carries about its making, `inspect` to see it, `rerun` to make it again."""

import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import click

from imgtool import __version__
from imgtool.cli import batch, params
from imgtool.cli.console import console, to_json
from imgtool.cli.sources import READABLE, STREAM, Source, is_file, opened
from imgtool.errors import OptionError, RecipeError
from imgtool.files import printable

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

    def as_dict(self) -> dict[str, Any]:
        """As a recipe holds it."""
        fields = {"param": self.param, "path": shown_path(self.path), "sha256": self.sha256}
        return fields if self.weight is None else {**fields, "weight": self.weight}


def make_recipe(
    command: str,
    ingredients: Sequence[Ingredient],
    options: Mapping[str, Any],
    weights: Mapping[str, str],
    *,
    unfinished: bool = False,
) -> dict[str, Any]:
    """All that is needed to make the output again to the byte, and nothing that changes between two runs.

    Args:
        command: the command's name.
        ingredients: the input files.
        options: by parameter name, as resolved: no "auto", no default left open.
        weights: name -> SHA-256.
        unfinished: whether a signal cut the work short, so that `--skip-existing` does not take it for done.
    Raises:
        RecipeError: it is not what the recipe that is being run again says.
    """
    inputs = [item.as_dict() for item in ingredients]
    if repeated := running_again():
        if [_bytes_of(item) for item in inputs] != [_bytes_of(item) for item in repeated["inputs"]]:
            raise RecipeError("the inputs are not those that the recipe names")
        inputs = repeated["inputs"]  # with the paths they had then
        unfinished = unfinished or repeated.get("unfinished") is True
    return {
        "imgtool": __version__,
        "format": FORMAT,
        "command": command,
        **({"unfinished": True} if unfinished else {}),
        "inputs": inputs,
        "options": dict(options),
        "weights": [{"name": name, "sha256": sha256} for name, sha256 in weights.items()],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What the bytes of a result depend on besides this program."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def running_again() -> dict[str, Any] | None:
    """The recipe that `rerun` repeats, if that is what is going on."""
    context = click.get_current_context(silent=True)
    return context.obj if context and isinstance(context.obj, dict) else None


def require_same_input(name: str, param: str, sha256: str) -> None:
    """Refuse an input that the recipe being run again does not name.

    Raises:
        RecipeError: it has another SHA-256.
    """
    recipe = running_again()
    if recipe and (param, sha256) not in [(item["param"], item["sha256"]) for item in recipe["inputs"]]:
        raise RecipeError(f"{name} is not the picture that the recipe names, its SHA-256 is {sha256[:12]}…")


def require_same_weights(name: str, sha256: str) -> None:
    """Refuse weights that the recipe being run again does not name.

    Raises:
        RecipeError: they have another SHA-256.
    """
    recipe = running_again()
    known = {item["name"]: item["sha256"] for item in recipe["weights"]} if recipe else {}
    if recipe and sha256 not in known.values():
        expected = known.get(name) or ", ".join(known.values()) or "none"
        raise RecipeError(
            f"weights {name} have SHA-256 {sha256[:12]}…, the picture was made with {expected[:12]}…",
            hint="the version of imgtool that made it",
        )


def shown_path(path: Path) -> str:
    """A path as a recipe tells it: from the current folder; one that lies elsewhere keeps only its name.

    Pictures are passed on, and the folders of a home are nobody's business.
    """
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    inside = path.resolve().is_relative_to(Path.cwd())
    return path.resolve().relative_to(Path.cwd()).as_posix() if inside else path.name


def _bytes_of(item: Mapping[str, Any]) -> tuple[object, ...]:
    return item["param"], item["sha256"], item.get("weight")


@click.command("inspect", short_help="Show how a picture was made.", epilog="Try: imgtool inspect out.png")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE…", type=click.Path())
@params.talk
def inspect_command(pictures: tuple[str, ...]) -> None:
    """Show how PICTURE was made: command, options, inputs and weights with their SHA-256.

    Of a picture in a set of captchas it shows the manifest, and the command that makes this picture again.

    \b
    Examples:
      imgtool inspect out.png
      imgtool inspect out.png | jq .options.seed
      imgtool edges photo.jpg -o - | imgtool inspect -
    """
    failures: list[RecipeError] = []
    for picture in pictures:
        try:
            found = _recipe_of(picture)
        except RecipeError as error:
            if not (of_set := _in_a_set(picture)):
                failures.append(error)
                continue
            found = of_set
        console.data(to_json(found, indent=None if console.json else 2))
    for failure in failures[1:]:
        console.error(failure.message, hint=failure.hint)
    if failures:
        raise failures[0]


def _in_a_set(picture: str) -> dict[str, Any] | None:
    """How a picture that carries no recipe is made again with the manifest of its set, if it is of one."""
    from imgtool.cli.captcha_manifest import made_with

    return made_with(Path(picture)) if is_file(picture) else None


def _recipe_of(picture: str) -> dict[str, Any]:
    """The recipe of a picture, which may come from stdin."""
    from imgtool.imaging.io import read_recipe

    if picture != STREAM:
        return read_recipe(Path(picture))
    with tempfile.TemporaryDirectory() as folder, opened(Source(Path(STREAM))) as given:
        path = Path(folder) / "stdin"
        path.write_bytes(given.read())
        try:
            return read_recipe(path)
        except RecipeError as error:
            error.message = error.message.replace(printable(path), "stdin")
            raise


@click.command(
    "rerun",
    short_help="Make a picture again from its recipe.",
    epilog="Try: imgtool rerun out.png -o again.png",
)
@click.argument("picture", type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="Where the new picture goes; - for stdout.",
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing output.")
@click.option(
    "--find",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    metavar="FOLDER",
    help="Look for the inputs here too; may be repeated.",
)
@params.talk
def rerun_command(picture: str, output: str, force: bool, find: tuple[str, ...]) -> Any:
    """Make PICTURE again from its recipe: the same bytes on the same machine.

    The inputs are looked for in the current folder, beside PICTURE and in --find, and must have the recorded
    SHA-256: a recipe does not tell the folders of the machine that made it. One that came from stdin is looked
    for by its bytes, and else is read from stdin again.

    \b
    Examples:
      imgtool rerun out.png -o again.png
      imgtool rerun out.png -o again.png --find ~/photos --find paintings
    """
    from imgtool.imaging.io import read_recipe

    name = printable(picture)
    if output != STREAM and is_file(output) and not force:
        raise click.UsageError(f"{printable(output)} exists. Use --force to replace it.")
    try:
        recipe = read_recipe(Path(picture))
    except RecipeError as error:
        if of_set := _in_a_set(picture):
            error.hint = of_set["again"]
        raise
    command = _command(recipe.get("command"))
    fault = _fault(recipe) or (None if command else f"there is no making again of {recipe.get('command')!r}")
    if fault or not command:
        raise RecipeError(f"{name}: its recipe cannot be run: {fault}")
    for change in _changes(recipe):
        console.warn(change)
    folders = [Path(), Path(picture).parent, *map(Path, find)]
    made = (name.lower().removesuffix(batch.SIDECAR)).rpartition(".")[2]
    if output != STREAM and Path(output).suffix[1:].lower() != made:
        console.warn(f"{name} is not a .{Path(output).suffix[1:]} file, so the bytes will differ")
    writing = [f"--output={output}", *(["--force"] if force else []), *_talk()]
    writing += [f"--format={made}"] if made in _formats(command) else []
    try:
        arguments = [*writing, *_arguments(command, recipe, folders)]
        console.detail(f"imgtool {recipe['command']} {printable(' '.join(arguments))}")
        # A context of its own: neither settings nor environment may speak for options of the recipe.
        context = command.make_context(recipe["command"], arguments, obj=recipe)
    except click.UsageError as error:
        raise RecipeError(f"{name}: its recipe cannot be run: {error.format_message()}") from error
    with context:
        try:
            return command.invoke(context)
        except OptionError as error:
            raise RecipeError(f"{name}: its recipe cannot be run: {error.message}") from error


def _command(name: object) -> params.Repeatable | None:
    """The command of a recipe, which a stranger may have written; None if it makes nothing again."""
    from imgtool.cli.main import cli

    command = cli.commands.get(name) if isinstance(name, str) else None
    return command if isinstance(command, params.Repeatable) else None


def _formats(command: click.Command) -> Sequence[str]:
    """What the command can write."""
    kinds = [param.type for param in command.params if param.name == "format"]
    return [str(choice) for kind in kinds if isinstance(kind, click.Choice) for choice in kind.choices]


def _talk() -> list[str]:
    """How this command was told to talk, for the one that it calls."""
    flags = {"--quiet": console.quiet, "--json": console.json, "--json-progress": console.json_progress}
    words = [name for name, wanted in flags.items() if wanted]
    return [*words, *["-v"] * console.verbosity]


def _fault(recipe: Mapping[str, Any]) -> str | None:
    """What is wrong with a recipe, which a stranger may have written; None if it can be run."""
    if recipe.get("format") != FORMAT or not isinstance(recipe.get("imgtool"), str):
        return f"it is of format {recipe.get('format')!r}, this version repeats format {FORMAT}"
    options, made_with = recipe.get("options"), recipe.get("versions")
    if not isinstance(options, dict) or not isinstance(made_with, dict):
        return "its options or versions are no objects"
    for field, needed in (("inputs", ("param", "path", "sha256")), ("weights", ("name", "sha256"))):
        items = recipe.get(field)
        if not isinstance(items, list) or not all(_is_item(item, needed) for item in items):
            return f"its {field} are not objects with {', '.join(needed)}"
    for item in recipe["inputs"]:
        path = PurePosixPath(item["path"])
        if path.is_absolute() or ".." in path.parts or "\0" in item["path"] or not path.name:
            return f"{item['path']!r} is not a path inside a folder"
        if not isinstance(item.get("weight", 1.0), int | float):
            return f"{item['weight']!r} is not a weight"
    return None


def _is_item(item: Any, fields: tuple[str, ...]) -> bool:
    return isinstance(item, dict) and all(isinstance(item.get(field), str) for field in fields)


def _changes(recipe: Mapping[str, Any]) -> Iterator[str]:
    """What differs from the machine that made it, and may change the bytes."""
    now = {"imgtool": __version__, **versions()}
    then = {"imgtool": recipe["imgtool"], **recipe["versions"]}
    for name, version in now.items():
        if then.get(name) != version:
            made_with = printable(str(then.get(name)))
            yield f"made with {name} {made_with}, here is {version}: the bytes may differ"


def _arguments(command: params.Repeatable, recipe: Mapping[str, Any], folders: Sequence[Path]) -> list[str]:
    """The recipe as a command line, options first."""
    known = {str(param.name): param for param in command.params}
    words, positional = [], []
    for item in recipe["inputs"]:
        param = known.get(item["param"])
        if isinstance(param, click.Argument):
            positional.append(_found(item, folders))
        elif isinstance(param, click.Option) and param.name in command.files:
            weight = f":{item['weight']!r}" if "weight" in item else ""
            words.append(f"{param.opts[-1]}={_found(item, folders)}{weight}")
        else:
            raise RecipeError(f"the recipe's input {item['param']!r} is unknown to {recipe['command']}")
    for name, value in recipe["options"].items():
        param = known.get(name)
        if not isinstance(param, click.Option) or not command.is_knob(param, value):
            raise RecipeError(f"the recipe's option {name!r} is unknown to {recipe['command']}")
        try:
            for each in value if param.multiple and isinstance(value, list) else [value]:
                words += params.typed(param, each)
        except TypeError as error:
            raise RecipeError(f"the recipe's option {name!r} has a value that cannot be typed") from error
    return [*words, "--", *positional]


def _found(item: Mapping[str, Any], folders: Sequence[Path]) -> str:
    """The file of an ingredient: at its path or by its name in one of the folders, else by its bytes there.

    Raises:
        RecipeError: it is not there, or has changed.
    """
    from imgtool.files import sha256_file

    path, expected = Path(item["path"]), item["sha256"]
    is_stream = item["path"] == STREAM
    named = [place for folder in folders for place in (folder / path, folder / path.name) if is_file(place)]
    searched = folders if is_stream else folders[2:]
    others = (place for folder in searched for place in sorted(folder.iterdir()) if _may_be(place, is_stream))
    for place in [*named, *others]:
        try:
            if sha256_file(place) == expected:
                return str(place.absolute() if str(place) == STREAM else place)
        except OSError:  # not for us to read
            continue
    if is_stream:
        return STREAM  # whose bytes are compared when they are read
    if named:
        reason = f"{printable(named[0])} has changed: its SHA-256 is not {printable(expected)[:12]}…"
    else:
        reason = f"the input {printable(path.name)} (SHA-256 {printable(expected)[:12]}…) is not here"
    raise RecipeError(reason, hint="--find FOLDER")


def _may_be(place: Path, is_picture: bool) -> bool:
    """Whether a file is worth reading in search for an ingredient."""
    return is_file(place) and (not is_picture or place.suffix[1:].lower() in READABLE)
