"""What `imgtool stylize` in one pass does for each photo: read, call the task, write, tell."""

import time
from dataclasses import asdict, replace
from typing import Any

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.fast_style import BESIDE
from imgtool.cli.session import Session
from imgtool.cli.video_work import Painted, frame_before, frame_typed
from imgtool.imaging.picture import Picture, Samples, to_8_bits
from imgtool.imaging.tensors import fit, resize, to_image, to_picture, to_pixels
from imgtool.options.fast_style import FastStyleOptions
from imgtool.runtime.device import memory_told, require_memory
from imgtool.runtime.registry import registry
from imgtool.tasks.fast_style import fast_style, memory_needed
from imgtool.tasks.load import load_painter
from imgtool.tasks.video import Before, carried, steadied


class FastStyleWork:
    """The network, loaded once; called with a job, it repaints one photo.

    Args:
        options: of the task.
        values: the command's other values by parameter name.
    Raises:
        WeightsError, DeviceError: nothing can be done for any photo.
        OptionError: a style that the network does not know.
    """

    def __init__(self, options: FastStyleOptions, values: dict[str, Any]) -> None:
        self.values = values
        self.session = Session("stylize", values)
        self.painter = load_painter(self.session.find_weights(values["weights"]), self.session.device)
        self.painter.mix(options.blend)
        if not options.blend and len(self.painter.styles) > 1:
            first, *others = self.painter.styles
            console.say(f"style {first}; --blend takes {', '.join(others)} too")
        self.options = replace(options, blend=options.blend or {self.painter.styles[0]: 1.0})

    def __call__(self, job: Job) -> dict[str, Any]:
        """Repaint one photo and write it; the fields of its `--json` line."""
        began = time.monotonic()
        picture, ingredient = self.session.read(job.source, "pictures")
        before, ingredients = frame_before(self.session, job, picture, self.values)
        painted = self.paint(picture, before, title=job.source.stem)
        recipe = self.session.recipe(ingredient, {**painted.typed, **frame_typed(job)}, also=ingredients)
        self.session.write(job, painted.picture, recipe, sidecar=self.values["sidecar"])
        if self.values["sheet"]:
            self._write_sheet(job, picture, painted.picture)
        seconds = time.monotonic() - began
        width, height = painted.picture.width, painted.picture.height
        console.say(f"{job}: {width}x{height}, {seconds:.2f} s")
        return {
            "width": width,
            "height": height,
            "seconds": round(seconds, 3),
            **self.session.about(),
        }

    def paint(self, picture: Picture, before: Before | None, *, title: str) -> Painted:
        """A photo repainted, after the frame before if it is known."""
        size = fit((picture.height, picture.width), self.options.size)
        smaller = f"--size {max(size) // 2}"
        require_memory(self.session.device.torch, memory_needed(size, self.painter), hint=smaller)
        with memory_told("out of memory", hint=smaller), console.progress(title) as on_progress:
            pixels = fast_style(
                picture.pixels,
                self.options,
                painter=self.painter,
                on_strip=lambda done, total: on_progress(done, total, ""),
            )
        if before is not None:
            last = carried(before, to_image(picture.pixels), size)
            pixels = to_pixels(steadied(to_image(pixels), last, self.options.temporal_weight))
        typed = resolved(self.options, self.values["weights"])
        return Painted(Picture(pixels, _alpha(picture, size)), typed, {}, None, None)

    def _write_sheet(self, job: Job, photo: Picture, painted: Picture) -> None:
        from imgtool.imaging.sheet import draw_sheet

        same = to_picture(resize(to_image(photo.pixels), (painted.height, painted.width)))
        self.session.write_beside(job, BESIDE["sheet"], draw_sheet([("content", same), ("result", painted)]))


def resolved(options: FastStyleOptions, weights: str) -> dict[str, Any]:
    """The options by parameter name, as they would have to be typed for the same result."""
    named = {"weights": weights} if weights in registry() else {}
    return {**asdict(options), "size": options.size or "full", **named}


def _alpha(picture: Picture, size: tuple[int, int]) -> Samples | None:
    """The photo's alpha at the result's size, (H, W) uint8."""
    if picture.alpha is None:
        return None
    if picture.alpha.shape == size:
        return to_8_bits(picture.alpha)
    return to_pixels(resize(to_image(picture.alpha), size))[..., 0]
