"""What `imgtool sample-gan` does."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.naming import require_new
from imgtool.cli.picture_sources import pictures_told
from imgtool.cli.recipes import Ingredient, make_recipe, require_same_weights, shown_path
from imgtool.cli.sources import STREAM
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.imaging import animation
from imgtool.imaging.grid import grid
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.options.gan import GAN_WEIGHTS, SampleGanOptions
from imgtool.runtime import processor
from imgtool.runtime.device import select_device
from imgtool.tasks.nearest_pictures import nearest_pictures
from imgtool.tasks.picture_features import space_of
from imgtool.tasks.sample_gan import class_numbers, load_generator, sample

FRAME = 1 / 24  # seconds
PAIRS = 4  # samples in a row, each beside its nearest picture


def draw(
    options: SampleGanOptions, output: str, values: Mapping[str, Any], *, single: bool, force: bool
) -> int:
    """Draw a grid, a walk, samples beside pictures, or single files; the exit code.

    Raises:
        ImgtoolError: something of it cannot be had or written.
    """
    path = Path(output)
    samples = _Samples(options, {**values, "threads": processor.prepare(values["threads"])})
    told: dict[str, Any] = {}
    if not single:
        count = samples.save_files(path, force=force)
    elif values["nearest"]:
        count, told = samples.save_nearest(path, force=force)
    else:
        count = samples.save_one(path, force=force)
    console.record({"output": output, "pictures": count, "weights": samples.weights.sha256, **told})
    console.say(f"{printable(output)}: {count} {'picture' if count == 1 else 'pictures'}")
    if told:
        console.say(
            f"On the right of each sample the nearest picture of {printable(values['nearest'])}. Samples are "
            f"{told['closeness']:.2f} times as far from it as pictures are from their own nearest (copies: near 0)."
        )
    return 0


class _Samples:
    """The generator, and ways to save what it draws.

    Args:
        options: without classes, which only the generator knows.
        values: of the command.
    """

    def __init__(self, options: SampleGanOptions, values: Mapping[str, Any]) -> None:
        self.values, self.scale = values, values["scale"]
        self.device = select_device(values["device"], values["precision"])
        self.weights = weights_told(values["weights"])
        require_same_weights(self.weights.name, self.weights.sha256)
        self.generator, self.classes = load_generator(self.weights, self.device)
        self.options = replace(options, classes=class_numbers(values["classes"] or "", self.classes))

    def drawn(self) -> Iterator[NDArray[np.uint8]]:
        """The pictures in RGB."""
        for each in sample(self.generator, self.options, device=self.device, classes=len(self.classes)):
            yield _rgb(each)

    def enlarged(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture whose pixels are squares of `scale` pixels."""
        return pixels.repeat(self.scale, axis=0).repeat(self.scale, axis=1)

    def save_one(self, path: Path, *, force: bool) -> int:
        """A grid, a strip of a walk, or a film of it."""
        found = [self.enlarged(each) for each in self.drawn()]
        steps, recipe = self.options.interpolate, self.recipe(self.options)
        if path.suffix[1:].lower() in animation.SUFFIXES and steps:
            notes = animation.write_animation(path, found, seconds=FRAME, recipe=recipe, overwrite=force)
            for note in notes:
                console.warn(note)
        else:
            self._write(path, grid(found, columns=steps or None), recipe, force=force)
        return len(found)

    def save_files(self, folder: Path, *, force: bool) -> int:
        """Each sample in a file of its own, which says how it is made alone."""
        options, steps = self.options, max(1, self.options.interpolate)
        total = len(options.origins) * steps
        paths = [folder / f"{options.start * steps + index:06d}.png" for index in range(total)]
        for path in paths if not force else ():
            require_new(path)
        with console.progress("Drawing") as on_progress:
            for index, (path, pixels) in enumerate(zip(paths, self.drawn(), strict=True)):
                recipe = self.recipe(self._alone(index)) if steps == 1 else None
                self._write(path, Picture(self.enlarged(pixels)), recipe, force=force)
                on_progress(index + 1, total, "")
        return total

    def _alone(self, index: int) -> SampleGanOptions:
        """The options that draw one of the samples."""
        options = self.options
        classes = options.classes or tuple(range(len(self.classes)))
        alone = classes and (classes[(options.start + index) % len(classes)],)
        if options.seeds:
            return replace(options, seeds=options.seeds[index : index + 1], classes=alone)
        return replace(options, start=options.start + index, count=1, classes=alone)

    def save_nearest(self, path: Path, *, force: bool) -> tuple[int, dict[str, Any]]:
        """A sheet of samples, each joined to the nearest picture on its right; how near they are."""
        data, samples = self.values["nearest"], list(self.drawn())
        known = pictures_told(data, self.generator.shape.size, self.values["fit"])
        if len(known.pixels) < 2:
            raise DataError(f"{printable(data)} holds one picture, expected two at least")
        space = space_of(weights_told(self.values["features"]), self.device)
        pictures = np.broadcast_to(known.pixels, (*known.pixels.shape[:3], 3)).copy()
        found = nearest_pictures(samples, pictures, space)
        pairs = [
            self.enlarged(np.concatenate([picture, pictures[index]], axis=1))
            for picture, index in zip(samples, found.indices, strict=True)
        ]
        beside = {"nearest": shown_path(data), "fit": self.values["fit"], "features": space.name}
        recipe = self.recipe(self.options)
        recipe["options"] |= beside  # for inspect; a folder of pictures has no hash to be found again by
        self._write(path, grid(pairs, columns=min(PAIRS, len(samples))), recipe, force=force)
        return len(samples), {"closeness": found.closeness, "space": space.name}

    def recipe(self, options: SampleGanOptions) -> dict[str, Any]:
        """How the result with these options is made."""
        named = self.weights.name in GAN_WEIGHTS
        knobs = {name: value for name, value in asdict(options).items() if value not in ((), 0)}
        if options.seeds:
            del knobs["count"]
        if options.classes:
            knobs["classes"] = ",".join(f"#{number}" for number in options.classes)
        machine = {"device": str(self.device.torch), "precision": self.device.precision, "scale": self.scale}
        knobs |= {"seed": options.seed, **machine, "threads": self.values["threads"]}
        knobs |= {"weights": self.weights.name} if named else {}
        # A file of weights is an input with a path of its own; no folder of this machine goes into a recipe.
        ingredients = [] if named else [Ingredient("weights", self.weights.path, self.weights.sha256)]
        name = self.weights.name if named else "given"
        return make_recipe("sample-gan", ingredients, knobs, {name: self.weights.sha256})

    def _write(self, path: Path, picture: Picture, recipe: Mapping[str, Any] | None, *, force: bool) -> None:
        target = sys.stdout.buffer if str(path) == STREAM else path
        for note in write_picture(target, picture, recipe=recipe, overwrite=force):
            console.warn(note)


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
