"""`imgtool sheet`: pictures in, one picture out that shows them all."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params
from imgtool.cli.batch import FORMATS, identity
from imgtool.cli.naming import require_place
from imgtool.cli.rehearsal import answer
from imgtool.cli.sources import Source, find_sources
from imgtool.files import printable

MIN_HEIGHT = 32


@click.command(
    "sheet", cls=params.Repeatable, files={}, short_help="Put pictures side by side on a contact sheet."
)
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE…", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="sheet.png",
    show_default=True,
    metavar="FILE",
    help="The sheet.",
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing sheet.")
@click.option("-r", "--recursive", is_flag=True, help="Look into sub-folders of folders.")
@click.option(
    "--columns",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Pictures in a row.  [default: as many as fit]",
)
@click.option(
    "--height",
    type=click.IntRange(MIN_HEIGHT, 4096),
    default=256,
    show_default=True,
    help="Pixels of each picture.",
)
@click.option(
    "--title",
    multiple=True,
    metavar="TEXT",
    help="Above each picture, in their order.  [default: their names]",
)
@params.max_pixels
@params.talk
def sheet_command(pictures: tuple[str, ...], **values: Any) -> None:
    """Put PICTURE… side by side, each with its title, at one height.

    PICTURE is a file, a folder or a pattern.

    \b
    Examples:
      imgtool sheet photos/ -o contact.png
      imgtool sheet photo.jpg edges.png painted.png --title photo --title edges --title painted
      imgtool sheet photos/*.jpg -o contact.jpg --columns 5 --height 200
    """
    output = Path(values["output"])
    answer(("sheet",), "png", joins=True)
    sources = find_sources(pictures, recursive=values["recursive"], leave_out=None)
    titles = list(values["title"]) or titles_of([source.path for source in sources])
    if len(titles) != len(sources):
        raise click.UsageError(
            f"{len(titles)} --title for {len(sources)} pictures; give one for each, or none."
        )
    _require_size(len(sources), values["height"], values["max_pixels"])
    _require_place(output, sources, force=values["force"])
    from imgtool.cli.sheet_work import make_sheet

    make_sheet(sources, titles, output, values)


def titles_of(paths: Sequence[Path]) -> list[str]:
    """Names without suffix, with their folders before them where names alone do not tell them apart."""
    alone = Counter(path.stem for path in paths)
    folders = [f"{path.parent.name}/" if path.parent.name else "" for path in paths]
    return [
        path.stem if alone[path.stem] == 1 else f"{folder}{path.stem}"
        for folder, path in zip(folders, paths, strict=True)
    ]


def _require_size(count: int, height: int, max_pixels: int) -> None:
    """Refuse a sheet that nobody could open."""
    if count * height**2 > max_pixels:
        most = math.isqrt(max_pixels // count)
        cure = f"use --height {most}" if most >= MIN_HEIGHT else "use fewer pictures"
        raise click.UsageError(
            f"{count} pictures of {height} px make a sheet of more than {max_pixels} pixels; {cure}."
        )


def _require_place(output: Path, sources: Sequence[Source], *, force: bool) -> None:
    """Refuse an output that is no picture's name, exists, or is one of the inputs."""
    shown = printable(output)
    if output.suffix[1:].lower() not in FORMATS:
        raise click.UsageError(f"{shown} has no suffix of a picture; use one of .{' .'.join(FORMATS)}.")
    if any(source.is_stream for source in sources):
        raise click.UsageError("a sheet takes files, not stdin.")
    if identity(output) in {identity(source.path) for source in sources}:
        raise click.UsageError(f"{shown} would replace an input; choose another output.")
    require_place(output, force=force)
