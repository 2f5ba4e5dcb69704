"""Moving pictures: GIF, and WebP without losses."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.errors import OutputError
from imgtool.files import atomic_write
from imgtool.imaging.encode import FORMATS, recipe_options
from imgtool.imaging.recipes import sidecar_path, to_json

SUFFIXES = ("gif", "webp")


def write_animation(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    seconds: float,
    recipe: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> None:
    """Write frames that are shown over and over; whole or not at all.

    Args:
        path: its suffix, one of `SUFFIXES`, says the format.
        frames: (H, W, 3) each, of one size.
        seconds: that a frame is shown.
        recipe: embedded in WebP; beside a GIF, which has no place for it.
        overwrite: whether an existing file may be replaced.
    Raises:
        OutputError: the file cannot be written, or the format cannot hold the frames.
    """
    fmt = FORMATS[path.suffix[1:].lower()]
    first, *others = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    carried = {} if recipe is None else recipe_options(fmt, to_json(recipe))
    buffer = io.BytesIO()
    try:
        first.save(
            buffer,
            fmt.pillow,
            save_all=True,
            append_images=others,
            duration=round(seconds * 1000),
            loop=0,
            **fmt.options,
            **carried,
        )
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise OutputError(f"cannot write it as {fmt.pillow}: {error}", hint="write a .png") from error
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(buffer.getvalue())
    if recipe is not None and not carried:
        with atomic_write(sidecar_path(path), overwrite=overwrite) as file:
            file.write(to_json(recipe).encode() + b"\n")
