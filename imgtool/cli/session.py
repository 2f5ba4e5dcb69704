"""What every picture command does around its task: the machine, the inputs, the outputs with recipes."""

import errno
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from imgtool.cli.batch import EMBEDS_NO_RECIPE, SIDECAR, Job
from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.recipes import Ingredient, make_recipe, require_same_input, require_same_weights
from imgtool.cli.sources import Source, opened
from imgtool.errors import OutputError
from imgtool.files import atomic_write
from imgtool.imaging.io import Picture, read_picture, write_picture
from imgtool.imaging.raster import Raster
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.recipes import to_json
from imgtool.imaging.strips import Layout, StripWriter, strip_writer
from imgtool.runtime import processor
from imgtool.runtime.device import seed_everything, select_device
from imgtool.runtime.registry import WeightsFile, registry


class Session:
    """One run of a command: its machine, and what went into its outputs.

    Args:
        command: its name.
        values: its values by parameter name, those of `params.machine` and `params.output` among them.
        exact: whether the precision "auto" means fp32.
    Raises:
        DeviceError: the device is not there.
    """

    def __init__(self, command: str, values: Mapping[str, Any], *, exact: bool = False) -> None:
        self.command = command
        self.max_pixels = values["max_pixels"]
        self.force = values["force"]
        self.own = values["force"] or values["skip_existing"]  # files beside an unfinished result are ours
        self.threads = processor.prepare(values["threads"])
        self.device = select_device(values["device"], values["precision"], exact=exact)
        seed_everything(values.get("seed") or 0)
        console.detail(f"device {self.device.torch} in {self.device.precision}: {self.device.why}")
        self.shared: list[Ingredient] = []  # what went into every output
        self.weights: dict[str, str] = {}

    def read(
        self, source: Source | str, param: str, weight: float | None = None
    ) -> tuple[Picture, Ingredient]:
        """A picture and its record in the recipe.

        Raises:
            BadImage: it cannot be decoded.
            RecipeError: it is not an input of the recipe that is being run again.
        """
        source = source if isinstance(source, Source) else Source(Path(source))
        with opened(source) as file:
            stream = None if file.seekable() and not source.is_stream else _Tee(file)
            picture = read_picture(
                cast(BinaryIO, stream or file),
                name=str(source),
                max_pixels=self.max_pixels,
                frame=source.frame,
            )
            if stream:
                stream.read()
                sha256 = stream.digest.hexdigest()
            else:
                file.seek(0)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        require_same_input(str(source), param, sha256)
        for note in picture.notes:
            console.warn(f"{source}: {note}")
        return picture, Ingredient(param, source.path, sha256, weight)

    @contextmanager
    def raster(self, source: Source) -> Iterator[tuple[Raster, Ingredient]]:
        """A picture for measuring, and its record in the recipe.

        Raises:
            BadImage: it cannot be read.
            RecipeError: it is not an input of the recipe that is being run again.
        """
        with ExitStack() as stack:
            path = source.path
            if source.is_stream or not path.is_file():  # a pipe can be read only once
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                path = Path(folder) / "stdin"
                with opened(source) as given, path.open("wb") as copy:
                    shutil.copyfileobj(given, copy)
            with opened(Source(path)) as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            require_same_input(str(source), "pictures", sha256)
            raster = stack.enter_context(open_raster(path, name=str(source), max_pixels=self.max_pixels))
            for note in raster.notes:
                console.warn(f"{source}: {note}")
            yield raster, Ingredient("pictures", source.path, sha256)

    @contextmanager
    def strips(
        self, job: Job, layout: Layout, recipe: Mapping[str, Any], *, sidecar: bool
    ) -> Iterator[StripWriter]:
        """Write an output from the top; it is there when all is written, or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        text = to_json(recipe)
        if job.to_stream:
            with tempfile.TemporaryFile() as file:
                writer = strip_writer(file, job.format, layout, text)
                yield writer
                writer.close()
                file.seek(0)
                for block in iter(lambda: file.read(1 << 20), b""):
                    _to_stdout(block)
            return
        format = job.output.suffix[1:].lower()
        with atomic_write(job.output, overwrite=self.force or job.unfinished) as file:
            writer = strip_writer(file, format, layout, text)
            yield writer
            writer.close()
        if sidecar or format in EMBEDS_NO_RECIPE:
            self.write_text_beside(job, SIDECAR, text + "\n")

    def read_shared(self, path: str, param: str, weight: float | None = None) -> Picture:
        """A picture that goes into every output."""
        picture, ingredient = self.read(path, param, weight)
        self.shared.append(ingredient)
        return picture

    def find_weights(self, name: str, param: str = "weights") -> WeightsFile:
        """Weights by name or path, fetched if need be, and recorded.

        Args:
            name: or path.
            param: the parameter that named them.
        Raises:
            WeightsError: they cannot be had.
            RecipeError: they are not those of the recipe that is being run again.
        """
        found = weights_told(name)
        require_same_weights(found.name, found.sha256)
        if found.name not in registry():
            self.shared.append(Ingredient(param, found.path, found.sha256))
        self.weights[found.name] = found.sha256
        return found

    def recipe(
        self,
        ingredient: Ingredient,
        options: Mapping[str, Any],
        *,
        also: Sequence[Ingredient] = (),
        unfinished: bool = False,
    ) -> dict[str, Any]:
        """How an output was made.

        Args:
            ingredient: the input of this output.
            options: of the command by parameter name, as resolved.
            also: further inputs of this output.
            unfinished: whether a signal cut the work short.
        Raises:
            RecipeError: the inputs are not those of the recipe that is being run again.
        """
        machine = {
            "device": str(self.device.torch),
            "precision": self.device.precision,
            "threads": self.threads,
            "max_pixels": self.max_pixels,
        }
        # A file of weights is an input with a path of its own; no folder of this machine goes into a recipe.
        weights: dict[str, str] = {}
        for name, sha256 in self.weights.items():
            given = f"given{len(weights)}" if "given" in weights else "given"
            weights[name if name in registry() else given] = sha256
        ingredients = [ingredient, *also, *self.shared]
        return make_recipe(self.command, ingredients, {**options, **machine}, weights, unfinished=unfinished)

    def write(self, job: Job, picture: Picture, recipe: Mapping[str, Any], *, sidecar: bool) -> None:
        """Write an output whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        if job.to_stream:
            buffer = io.BytesIO()
            notes = write_picture(buffer, picture, format=job.format, recipe=recipe)
            _to_stdout(buffer.getvalue())
        else:
            notes = write_picture(
                job.output, picture, recipe=recipe, sidecar=sidecar, overwrite=self.force or job.unfinished
            )
        for note in notes:
            console.warn(note)

    def write_beside(self, job: Job, ending: str, picture: Picture) -> None:
        """Write a further file of a job."""
        write_picture(job.beside(ending), picture, overwrite=self.own)

    def write_text(self, job: Job, text: str) -> None:
        """Write an output that is text, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        self.write_bytes(job, text.encode())

    def write_bytes(self, job: Job, data: bytes) -> None:
        """Write an output that is no picture, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        if job.to_stream:
            _to_stdout(data)
            return
        with atomic_write(job.output, overwrite=self.force or job.unfinished) as file:
            file.write(data)

    def write_text_beside(self, job: Job, ending: str, text: str) -> None:
        """Write a further file of a job that is text."""
        with atomic_write(job.beside(ending), overwrite=self.own) as file:
            file.write(text.encode())

    def about(self) -> dict[str, Any]:
        """The machine and weights, as a `--json` line tells them."""
        return {
            "device": str(self.device.torch),
            "precision": self.device.precision,
            "weights": [{"name": name, "sha256": sha256} for name, sha256 in self.weights.items()],
        }


class _Tee(io.BufferedIOBase):
    """A stream that can be read once, and the SHA-256 of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self.file.read(-1 if size is None else size)
        self.digest.update(data)
        return data


def _to_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise OutputError(f"cannot write stdout: {os.strerror(error.errno or errno.EIO).lower()}") from error
