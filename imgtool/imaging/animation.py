"""Moving pictures: GIF, and WebP without losses."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtool.errors import BadImage, OutputError
from imgtool.files import atomic_write, printable, system_reason
from imgtool.imaging.decode import pillow_settings, sniff, too_large
from imgtool.imaging.encode import FORMATS, recipe_options
from imgtool.imaging.recipes import sidecar_path, to_json
from imgtool.imaging.suffixes import MAX_PIXELS

SUFFIXES = ("gif", "webp")
CLEAR = 255  # the number of the colour of a GIF that stands for transparent
HALF = 128  # alpha from which a pixel is opaque there
SEEN = 1024  # side of the square of pixels, of all frames together, in which colours are looked for


@dataclass(frozen=True)
class Timing:
    """How an animation is shown.

    Attributes:
        seconds: that each frame is shown.
        loop: how often it is shown, or of a GIF how often again; 0 for ever, None for once.
    """

    seconds: tuple[float, ...]
    loop: int | None


def read_timing(path: Path) -> Timing:
    """The times of an animation; a still picture is one of a single frame.

    Raises:
        BadImage: it cannot be read.
    """
    name = printable(path)
    try:
        with path.open("rb") as file:
            formats, called = sniff(file.read(64), name)
            with pillow_settings(MAX_PIXELS), Image.open(file, formats=formats) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise too_large(name, image.width * image.height, MAX_PIXELS)
                seconds = []
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()  # of a WebP the times are known only then
                    seconds.append(image.info.get("duration", 0) / 1000)
                loop = image.info.get("loop", None if called == "GIF" else 0)
    except BadImage:
        raise
    except OSError as error:
        raise BadImage(name, system_reason(error)) from error
    except Exception as error:  # whatever a decoder raises for bytes it does not like
        raise BadImage(name, f"damaged {called} file") from error
    return Timing(tuple(seconds), loop)


def write_animation(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    seconds: float | Sequence[float],
    loop: int | None = 0,
    recipe: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> tuple[str, ...]:
    """Write frames that are shown one after the other, whole or not at all, and return notes.

    Args:
        path: its suffix, one of `SUFFIXES`, says the format.
        frames: (H, W, 3) each, of one size; or (H, W, 4) with alpha.
        seconds: that a frame is shown, or each of them.
        loop: see `Timing`; over and over unless told otherwise.
        recipe: embedded in WebP; beside a GIF, which has no place for it.
        overwrite: whether an existing file may be replaced.
    Raises:
        OutputError: the file cannot be written, or the format cannot hold the frames.
    """
    fmt = FORMATS[path.suffix[1:].lower()]
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    notes: tuple[str, ...] = ()
    if fmt.pillow == "GIF":
        images = _in_the_same_colors(images)
        notes = (f"GIF: at most {CLEAR + 1} colours, the same in all frames",)
    first, *others = images
    shown = [seconds] * len(frames) if isinstance(seconds, int | float) else seconds
    repeats = {"loop": 1 if loop is None else loop} if loop is not None or fmt.pillow == "WEBP" else {}
    # Where it is transparent, a GIF would show what the frame before had there.
    cleared = {"disposal": 2, "transparency": CLEAR} if "transparency" in first.info else {}
    carried = {} if recipe is None else recipe_options(fmt, to_json(recipe))
    buffer = io.BytesIO()
    try:
        first.save(
            buffer,
            fmt.pillow,
            save_all=True,
            append_images=others,
            duration=[round(each * 1000) for each in shown],
            **repeats,
            **cleared,
            **fmt.options,
            **carried,
        )
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise OutputError(f"cannot write it as {fmt.pillow}: {error}", hint="write a .png") from error
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(buffer.getvalue())
    if recipe is None or carried:
        return notes
    with atomic_write(sidecar_path(path), overwrite=overwrite) as file:
        file.write(to_json(recipe).encode() + b"\n")
    return (*notes, f"recipe written to {printable(sidecar_path(path))}")


def _in_the_same_colors(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Frames in 256 colours that all of them share, without dithering: what stands still does so in a GIF too."""
    clear = frames[0].mode == "RGBA"
    opaque = [frame.convert("RGB") for frame in frames]
    palette = _common(opaque).quantize(CLEAR if clear else CLEAR + 1, Image.Quantize.MEDIANCUT)
    found = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in opaque]
    if clear:
        for image, frame in zip(found, frames, strict=True):
            image.paste(CLEAR, mask=frame.getchannel("A").point(lambda alpha: 255 * (alpha < HALF)))
            image.info["transparency"] = CLEAR
    return found


def _common(frames: Sequence[Image.Image]) -> Image.Image:
    """A picture with the colours of all frames, each made so small that many fit."""
    side = max(1, round(SEEN / len(frames) ** 0.5))
    small = [
        frame.resize((min(side, frame.width), min(side, frame.height)), Image.Resampling.NEAREST)
        for frame in frames
    ]
    together = Image.new("RGB", (small[0].width, small[0].height * len(small)))
    for number, image in enumerate(small):
        together.paste(image, (0, number * image.height))
    return together
