"""A set of pictures, read with what is said about it."""

from pathlib import Path

from imgtool.cli.console import console
from imgtool.data.picture_set import PictureSet, read_picture_set
from imgtool.files import printable

TOLD = 5  # pictures left out that are named


def pictures_told(path: Path, size: int, fit: str, *, classes: bool = False) -> PictureSet:
    """The pictures of a set, with a progress bar, and words about those that are left out.

    Raises:
        DataError: there are none.
    """
    with console.progress("Reading") as on_progress:
        shown = printable(path)
        found = read_picture_set(
            path,
            size=size,
            fit=fit,
            classes=classes,
            on_picture=lambda done, count: on_progress(done, count, shown),
        )
    for left_out in found.left_out[:TOLD]:
        console.warn(left_out)
    for left_out in found.left_out[TOLD:]:
        console.detail(left_out)
    if found.left_out:
        names = "" if len(found.left_out) <= TOLD else "; -v names them all"
        console.warn(f"{len(found.left_out)} pictures are left out{names}")
    return found
