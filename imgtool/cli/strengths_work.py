"""What `imgtool stylize --kind strengths` does for each photo: every style at every strength, on one sheet."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from torch import Tensor

from imgtool.cli import fast_style_work
from imgtool.cli.batch import Job
from imgtool.cli.console import OnProgress, console
from imgtool.cli.session import Session
from imgtool.cli.strengths import STRENGTHS, USELESS
from imgtool.cli.stylize_work import StylizeWork, resolved
from imgtool.imaging.picture import Picture
from imgtool.imaging.sheet import draw_sheet
from imgtool.imaging.tensors import fit, resize, to_image, to_picture
from imgtool.options.fast_style import FastStyleOptions
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.device import memory_told
from imgtool.tasks.fast_style import fast_style
from imgtool.tasks.load import load_painter
from imgtool.tasks.stylize import Step, stylize

PANEL = 256  # pixels that a picture on the sheet is high, at least

Panels = Iterator[tuple[str, Picture]]


class StrengthsWork(StylizeWork):
    """`StylizeWork` for a sheet: a row for each style, which begins with the style picture itself."""

    def __init__(
        self, options: StylizeOptions, styles: Sequence[tuple[str, float]], values: dict[str, Any]
    ) -> None:
        super().__init__(options, styles, values)
        self.names = [Path(path).stem for path, _ in styles]

    def __call__(self, job: Job) -> dict[str, Any]:
        """Make the sheet of one photo; the fields of its `--json` line."""
        options = resolved(self.options, self.options.steps_per_scale)
        return _make_sheet(self.session, job, self._panels, options, sidecar=self.values["sidecar"])

    def _panels(self, photo: Picture, on_progress: OnProgress) -> Panels:
        content, size = to_image(photo.pixels), fit((photo.height, photo.width), self.options.size)
        done, steps = 0, sum(self.options.steps_per_scale)
        total = steps * len(self.styles) * len(STRENGTHS)
        for name, style in zip(self.names, self.styles, strict=True):
            # A style file has no picture.
            title, shown = ("photo", content) if style.image is None else (name, style.image)
            yield title, to_picture(_covering(shown, size))
            for strength in STRENGTHS:

                def on_step(step: Step, _: object, done: int = done, name: str = name) -> None:
                    on_progress(done + step.number, total, name)

                options = replace(self.options, strength=strength)
                with memory_told("out of memory", hint=f"--size {max(size) // 2}"):
                    result = stylize(
                        content,
                        [style],
                        options,
                        network=self.network,
                        init=self.init,
                        terms=self.terms,
                        on_step=on_step,
                    )
                if result.interrupted:
                    raise result.interrupted
                yield f"{name} {strength:g}", to_picture(result.image)
                done += steps


class FastStrengthsWork:
    """The same in one pass: a row for each style that the network knows, which begins with the photo."""

    def __init__(self, options: FastStyleOptions, values: dict[str, Any]) -> None:
        self.options, self.values = options, values
        self.session = Session("stylize", values)
        self.painter = load_painter(self.session.find_weights(values["weights"]), self.session.device)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Make the sheet of one photo; the fields of its `--json` line."""
        options = fast_style_work.resolved(self.options, self.values["weights"])
        return _make_sheet(self.session, job, self._panels, options, sidecar=self.values["sidecar"])

    def _panels(self, photo: Picture, on_progress: OnProgress) -> Panels:
        styles, strengths = self.painter.styles, (0.0, *STRENGTHS)
        for number, (style, strength) in enumerate(product(styles, strengths)):
            on_progress(number, len(styles) * len(strengths), style)
            options = replace(self.options, blend={style: 1.0}, strength=strength)
            painted = fast_style(photo.pixels, options, painter=self.painter)
            yield f"{style} {strength:g}", Picture(painted)


def _make_sheet(
    session: Session,
    job: Job,
    panels: Callable[[Picture, OnProgress], Panels],
    options: dict[str, Any],
    *,
    sidecar: bool,
) -> dict[str, Any]:
    """Draw the panels of one photo and write them; the fields of its `--json` line."""
    began = time.monotonic()
    picture, ingredient = session.read(job.source, "pictures")
    with console.progress(job.source.stem) as on_progress:
        drawn = list(panels(picture, on_progress))
    sheet = draw_sheet(drawn, panel_px=max(PANEL, drawn[-1][1].height), columns=1 + len(STRENGTHS))
    knobs = {name: value for name, value in options.items() if name not in USELESS}
    recipe = session.recipe(ingredient, {**knobs, "kind": "strengths"})
    session.write(job, sheet, recipe, sidecar=sidecar)
    seconds = time.monotonic() - began
    console.say(f"{job}: {len(drawn)} pictures, {sheet.width}x{sheet.height}, {seconds:.1f} s")
    told = {"width": sheet.width, "height": sheet.height, "seconds": round(seconds, 3)}
    return {**told, **session.about()}


def _covering(style: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of a style picture in the shape of the photo, so that rows line up."""
    height, width = style.shape[-2:]
    scale = max(size[0] / height, size[1] / width)
    whole = resize(style, (max(size[0], round(height * scale)), max(size[1], round(width * scale))))
    top, left = (whole.shape[-2] - size[0]) // 2, (whole.shape[-1] - size[1]) // 2
    return whole[..., top : top + size[0], left : left + size[1]]
