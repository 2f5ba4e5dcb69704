"""`imgtool rerun`: a picture made again from what it carries."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import click

from imgtool import __version__
from imgtool.cli import batch, params
from imgtool.cli.console import console
from imgtool.cli.inspect import in_a_set
from imgtool.cli.naming import require_new
from imgtool.cli.recipes import FORMAT, versions
from imgtool.cli.sources import READABLE, STREAM, is_file
from imgtool.errors import OptionError, RecipeError
from imgtool.files import printable, sha256_file


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
    if output != STREAM and not force:
        require_new(output)
    try:
        recipe = read_recipe(Path(picture))
    except RecipeError as error:
        if of_set := in_a_set(picture):
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
