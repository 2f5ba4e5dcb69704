"""What `imgtool sheet` does: read all pictures, draw, write, tell."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imgtool.cli.console import console
from imgtool.cli.recipes import Ingredient, make_recipe, require_same_input
from imgtool.cli.sources import Source
from imgtool.files import printable, sha256_file
from imgtool.imaging.io import Picture, read_picture, write_picture
from imgtool.imaging.sheet import draw_sheet


def make_sheet(
    sources: Sequence[Source], titles: Sequence[str], output: Path, values: dict[str, Any]
) -> None:
    """Make a sheet; all pictures have to be there.

    Raises:
        BadImage: a picture cannot be read.
        OutputError: the sheet cannot be written.
    """
    began = time.monotonic()
    panels, ingredients = [], []
    with console.progress("Sheet") as on_progress:
        for done, (source, title) in enumerate(zip(sources, titles, strict=True)):
            on_progress(done, len(sources), "")
            panels.append((title, _read(source, values["max_pixels"])))
            ingredients.append(Ingredient("pictures", source.path, sha256_file(source.path)))
            require_same_input(str(source), "pictures", ingredients[-1].sha256)
        sheet = draw_sheet(panels, panel_px=values["height"], columns=values["columns"])
    options = {name: values[name] for name in ("columns", "height", "max_pixels")}
    recipe = make_recipe("sheet", ingredients, {**options, "title": list(titles)}, {})
    for note in write_picture(output, sheet, recipe=recipe, overwrite=values["force"]):
        console.warn(note)
    seconds = time.monotonic() - began
    console.say(f"{printable(output)}: {len(panels)} pictures, {sheet.width}x{sheet.height}, {seconds:.1f} s")
    told = {"width": sheet.width, "height": sheet.height, "seconds": round(seconds, 3)}
    console.record({"input": [str(source.path) for source in sources], "output": str(output), **told})


def _read(source: Source, max_pixels: int) -> Picture:
    picture = read_picture(source.path, name=str(source), max_pixels=max_pixels)
    for note in picture.notes:
        console.warn(f"{source}: {note}")
    return picture
