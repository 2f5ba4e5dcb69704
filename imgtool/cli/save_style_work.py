"""What `imgtool save-style` does for each picture: read, measure, write, tell."""

import time
from dataclasses import asdict
from typing import Any

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.session import Session
from imgtool.imaging.recipes import to_json
from imgtool.imaging.tensors import to_image
from imgtool.options.style_file import StyleFileOptions
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.device import memory_told
from imgtool.tasks.load import load_style_network
from imgtool.tasks.style_file import Measured, measure_style, style_bytes


class SaveStyleWork:
    """The network, loaded once; called with a job, it saves the style of one picture.

    Args:
        options: of the task.
        values: the command's other values by parameter name.
    Raises:
        WeightsError, DeviceError: nothing can be done for any picture.
    """

    def __init__(self, options: StyleFileOptions, values: dict[str, Any]) -> None:
        self.options = options
        self.session = Session("save-style", values)
        weights = self.session.find_weights(values["weights"] or options.network)
        layers = options.style_layers
        judge = StylizeOptions(
            network=options.network, style_layers=layers, content_layers=layers, pool=options.pool
        )
        self.network = load_style_network(weights, judge, self.session.device)
        self.measured = Measured.by(weights, self.session.device, pool=options.pool)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Save one style; the fields of its `--json` line."""
        began = time.monotonic()
        picture, ingredient = self.session.read(job.source, "pictures")
        with memory_told("out of memory", hint=f"--size {self.options.size // 2}"):
            style = measure_style(
                to_image(picture.pixels),
                self.options.style_layers,
                network=self.network,
                measured=self.measured,
                largest=self.options.size,
            )
        recipe = to_json(self.session.recipe(ingredient, asdict(self.options)))
        self.session.write_bytes(job, style_bytes(style, recipe))
        seconds = time.monotonic() - began
        sides = list(style.grams)
        console.say(f"{job}: {sides[0]} to {sides[-1]} px, {seconds:.1f} s")
        told = {"sides": sides, "seconds": round(seconds, 3)}
        return {**told, **self.session.about()}
