"""What `imgtool edges` does for each picture: read, call the task, write, tell."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.edges import BESIDE
from imgtool.cli.recipes import Ingredient
from imgtool.cli.session import Session
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture, Samples, to_8_bits, to_16_bits
from imgtool.imaging.recipes import to_json
from imgtool.imaging.thin import thin_edges
from imgtool.options.edges import EdgesOptions
from imgtool.runtime.device import memory_told, require_memory
from imgtool.runtime.registry import registry
from imgtool.tasks.edges import Probabilities, edges_that_fit
from imgtool.tasks.load import load_hed

LINE_THRESHOLD = 0.3  # of lines in a drawing, unless --threshold says otherwise
LINE_BYTES = 310  # for each pixel of the lines, while they are traced: measured 270 to 300
MIN_LINE_PX = 8  # what is shorter is a speck
CANNY_HEIGHT = 512  # of the picture that Canny sees for a sheet, where its lines would vanish by shrinking


class EdgesWork:
    """The detector, loaded once; called with a job, it finds the edges of one picture.

    Args:
        options: of the task.
        values: the command's other values by parameter name.
    Raises:
        WeightsError, DeviceError: nothing can be done for any picture.
    """

    def __init__(self, options: EdgesOptions, values: dict[str, Any]) -> None:
        self.options, self.values = options, values
        self.session = Session("edges", values)
        self.network = load_hed(self.session.find_weights(values["weights"]), self.session.device)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Find the edges of one picture and write them; the fields of its `--json` line."""
        began = time.monotonic()
        picture, ingredient = self.session.read(job.source, "pictures")
        options, maps = self._found(job, picture)
        with memory_told("out of memory while it was written", hint="a smaller picture"):
            self._write_beside(job, picture, maps[next(iter(job.outputs))], ingredient, options)
            for kind in job.outputs:
                one = replace(options, kind=kind)
                self._write(job.of(kind), maps.pop(kind), picture.alpha, ingredient, one)
        seconds = time.monotonic() - began
        console.say(f"{job}: {picture.width}x{picture.height}, {seconds:.2f} s")
        return {
            "width": picture.width,
            "height": picture.height,
            "seconds": round(seconds, 3),
            **self.session.about(),
        }

    def _found(self, job: Job, picture: Picture) -> tuple[EdgesOptions, dict[str, Probabilities]]:
        """The maps of the job's kinds, and the options they were made with."""
        with console.progress(job.source.stem) as on_progress:
            result, options = edges_that_fit(
                picture.pixels,
                self.options,
                network=self.network,
                on_tile=lambda done, total: on_progress(done, total, ""),
                on_smaller=lambda tile: console.warn(f"memory does not suffice; with --tile {tile}"),
            )
        return options, dict(result.maps)

    def _recipe(
        self, ingredient: Ingredient, options: EdgesOptions, *, drawing: bool = False
    ) -> dict[str, Any]:
        """How an output is made; a drawing is thin anyway, and has no depth."""
        names = ("threshold", "invert", *(() if drawing else ("thin", "bits")))
        made = {name: self.values[name] for name in names}
        named = {"weights": self.values["weights"]} if self.values["weights"] in registry() else {}
        return self.session.recipe(ingredient, {**asdict(options), **made, **named})

    def _write(
        self,
        job: Job,
        probabilities: Probabilities,
        alpha: Samples | None,
        ingredient: Ingredient,
        options: EdgesOptions,
    ) -> None:
        """One map as a picture, or as lines where a drawing is asked for."""
        recipe = self._recipe(ingredient, options, drawing=job.suffix == "svg")
        if job.suffix == "svg":
            self.session.write_text(job, self._drawing(probabilities, job.source.stem, recipe))
            if self.values["sidecar"]:
                self.session.write_text_beside(job, BESIDE["sidecar"], to_json(recipe) + "\n")
            return
        if self.values["thin"]:
            probabilities = thin_edges(probabilities)
        threshold = self.values["threshold"]
        if self.values["thin"] and threshold is not None:
            threshold = max(threshold, 1e-6)  # what is thinned away is no edge at any threshold
        bits = int(self.values["bits"])
        drawn = levels(probabilities, bits=bits, threshold=threshold, invert=self.values["invert"])
        if alpha is not None:
            alpha = to_8_bits(alpha) if bits == 8 else to_16_bits(alpha)
        picture = Picture.gray(drawn, alpha)
        self.session.write(job, picture, recipe, sidecar=self.values["sidecar"])

    def _drawing(self, probabilities: Probabilities, title: str, recipe: Mapping[str, Any]) -> str:
        """The crests of a map as vector paths, the fainter the less probable."""
        from imgtool.imaging.thin import skeleton
        from imgtool.imaging.vector import pruned, simplify, strengths, svg, trace

        threshold = self.values["threshold"]
        level = LINE_THRESHOLD if threshold is None else threshold
        lines = skeleton(thin_edges(probabilities) >= max(level, 1e-6))
        needed = LINE_BYTES * int(lines.sum())
        require_memory(torch.device("cpu"), needed, hint="fewer lines by a higher --threshold")
        paths = trace(pruned(lines), min_pixels=MIN_LINE_PX)
        height, width = probabilities.shape
        return svg(
            simplify(paths),
            width,
            height,
            background=None if self.values["invert"] else "#ffffff",
            opacities=strengths(paths, probabilities),
            smooth=True,
            title=title,
            recipe=to_json(recipe),
        )

    def _write_beside(
        self,
        job: Job,
        picture: Picture,
        probabilities: Probabilities,
        ingredient: Ingredient,
        options: EdgesOptions,
    ) -> None:
        """What was asked for besides the map: overlay, lines, sheet."""
        if not (job.leads and any(self.values[name] for name in ("overlay", "svg", "sheet"))):
            return
        from imgtool.imaging.overlay import canny_edges, overlay
        from imgtool.imaging.sheet import draw_sheet

        if self.values["overlay"]:
            lines = thin_edges(probabilities) if self.values["thin"] else probabilities
            drawn = Picture(overlay(picture.pixels, lines), picture.alpha)
            self.session.write_beside(job, BESIDE["overlay"], drawn)
        if self.values["svg"]:
            kind = next(iter(job.outputs))
            recipe = self._recipe(ingredient, replace(options, kind=kind), drawing=True)
            drawing = self._drawing(probabilities, job.source.stem, recipe)
            self.session.write_text_beside(job, BESIDE["svg"], drawing)
        if self.values["sheet"]:
            panels = [
                ("photo", Picture(picture.pixels)),
                (
                    "Canny",
                    Picture.gray(255 * canny_edges(picture.pixels, max_height=CANNY_HEIGHT).astype("u1")),
                ),
                ("HED", Picture.gray(levels(probabilities))),
            ]
            self.session.write_beside(job, BESIDE["sheet"], draw_sheet(panels))
