"""`imgtool inspect`: how a picture was made, from what it carries."""

import tempfile
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params
from imgtool.cli.console import console, to_json
from imgtool.cli.sources import STREAM, Source, is_file, opened
from imgtool.errors import RecipeError
from imgtool.files import printable


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
            if not (of_set := in_a_set(picture)):
                failures.append(error)
                continue
            found = of_set
        console.data(to_json(found, indent=None if console.json else 2))
    for failure in failures[1:]:
        console.error(failure.message, hint=failure.hint)
    if failures:
        raise failures[0]


def in_a_set(picture: str) -> dict[str, Any] | None:
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
