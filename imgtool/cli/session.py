"""What every picture command does around its task: set up the machine, read inputs, write outputs with recipes."""

import hashlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgtool.cli.batch import Job, Source
from imgtool.cli.console import console
from imgtool.cli.recipes import Ingredient, make_recipe
from imgtool.errors import BadImage
from imgtool.imaging.io import Picture, read_picture, write_picture
from imgtool.runtime import processor
from imgtool.runtime.device import seed_everything, select_device
from imgtool.runtime.registry import WeightsFile, find_weights


class Session:
    """One run of a command: its machine, and what went into its outputs.

    Args:
        command: its name.
        values: its values by parameter name, those of `params.machine` among them.
    Raises:
        DeviceError: the device is not there.
    """

    def __init__(self, command: str, values: Mapping[str, Any]) -> None:
        self.command = command
        self.max_pixels = values["max_pixels"]
        self.threads = processor.prepare(values["threads"])
        self.device = select_device(values["device"], values["precision"])
        seed_everything(values.get("seed") or 0)
        console.detail(f"device {self.device.torch} in {self.device.precision}: {self.device.why}")
        self.shared: list[Ingredient] = []  # what went into every output
        self.weights: dict[str, str] = {}

    def read(self, source: Source | str, param: str, weight: float | None = None) -> tuple[Picture, Ingredient]:
        """A picture and its record in the recipe.

        Raises:
            BadImage: it cannot be decoded.
        """
        source = source if isinstance(source, Source) else Source(Path(source))
        if source.is_stream:
            if sys.stdin.isatty():
                raise BadImage("stdin", "it is a terminal, expected the bytes of a picture", hint="imgtool … < photo.jpg")
            data = sys.stdin.buffer.read()
        else:
            try:
                data = source.path.read_bytes()
            except OSError as error:
                raise BadImage(source, (error.strerror or str(error)).lower()) from error
        picture = read_picture(io.BytesIO(data), name=str(source), max_pixels=self.max_pixels)
        for note in picture.notes:
            console.warn(f"{source}: {note}")
        return picture, Ingredient(param, source.path, hashlib.sha256(data).hexdigest(), weight)

    def read_shared(self, path: str, param: str, weight: float | None = None) -> Picture:
        """A picture that goes into every output."""
        picture, ingredient = self.read(path, param, weight)
        self.shared.append(ingredient)
        return picture

    def find_weights(self, name: str) -> WeightsFile:
        """Weights by name or path, fetched if need be, and recorded.

        Raises:
            WeightsError: they cannot be had.
        """
        with console.progress(f"Fetching {name}") as on_progress:
            found = find_weights(name, on_progress=lambda what, done, total: on_progress(done, total, what))
        console.detail(f"weights {found.name}: {found.source}")
        self.weights[found.name] = found.sha256
        return found

    def recipe(self, ingredient: Ingredient, options: Mapping[str, Any]) -> dict[str, Any]:
        """How an output was made.

        Args:
            ingredient: the input of this output.
            options: of the command by parameter name, as resolved.
        """
        machine = {
            "device": str(self.device.torch),
            "precision": self.device.precision,
            "threads": self.threads,
            "max_pixels": self.max_pixels,
        }
        return make_recipe(self.command, [ingredient, *self.shared], {**options, **machine}, self.weights)

    def write(self, job: Job, picture: Picture, recipe: Mapping[str, Any], *, force: bool, sidecar: bool) -> None:
        """Write an output whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        if job.to_stream:
            buffer = io.BytesIO()
            notes = write_picture(buffer, picture, format=job.suffix, recipe=recipe)
            sys.stdout.buffer.write(buffer.getvalue())
            sys.stdout.buffer.flush()
        else:
            notes = write_picture(job.output, picture, recipe=recipe, sidecar=sidecar, overwrite=force)
        for note in notes:
            console.warn(note)

    def about(self) -> dict[str, Any]:
        """The machine and weights, as a `--json` line tells them."""
        return {
            "device": str(self.device.torch),
            "precision": self.device.precision,
            "weights": [{"name": name, "sha256": sha256} for name, sha256 in self.weights.items()],
        }
