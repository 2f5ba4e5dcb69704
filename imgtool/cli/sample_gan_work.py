"""What `imgtool sample-gan` does."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.picture_sources import pictures_told
from imgtool.cli.recipes import Ingredient, make_recipe, require_same_weights
from imgtool.errors import DataError, OptionError, OutputError
from imgtool.files import check_writable, printable
from imgtool.imaging import animation
from imgtool.imaging.encode import FORMATS
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.nn.gan import Generator
from imgtool.options.gan import GAN_WEIGHTS, SampleGanOptions
from imgtool.runtime import processor
from imgtool.runtime.device import Device, select_device
from imgtool.runtime.registry import WeightsFile, find_weights
from imgtool.tasks.nearest_pictures import nearest_pictures
from imgtool.tasks.picture_features import space_of
from imgtool.tasks.sample_gan import class_numbers, grid, load_generator, sample

FRAME = 1 / 24  # seconds
PAIRS = 4  # samples in a row, each beside its nearest picture
MOST_IN_GRID = 10_000


def draw(options: SampleGanOptions, output: Path, values: Mapping[str, Any], *, force: bool) -> int:
    """Draw a grid, a walk, samples beside pictures, or single files; the exit code.

    Raises:
        ImgtoolError: something of it cannot be had or written.
    """
    suffix = output.suffix[1:].lower()
    single = suffix in FORMATS
    _require_possible(options, output, values, single=single)
    if single and output.exists() and not force:
        raise OutputError(f"{printable(output)} exists", hint="--force replaces it")
    values = {**values, "threads": processor.prepare(values["threads"])}
    device = select_device(values["device"], values["precision"])
    weights = find_weights(values["weights"])
    require_same_weights(weights.name, weights.sha256)
    generator, classes = load_generator(weights, device)
    options = replace(options, classes=class_numbers(values["classes"] or "", classes))
    pictures = sample(generator, options, device=device, classes=len(classes))
    told: dict[str, Any] = {}
    if not single:
        count = _save_files(output, pictures, options, values, weights, device, force=force)
    elif values["nearest"]:
        found = list(pictures)
        count, told = len(found), _save_nearest(output, found, generator, device, values, force=force)
    else:
        found = [_rgb(each) for each in pictures]
        recipe = _recipe(options, values, weights, device)
        count = len(found)
        if suffix in animation.SUFFIXES and options.interpolate:
            animation.write_animation(output, found, seconds=FRAME, recipe=recipe, overwrite=force)
        else:
            sheet = grid(found, columns=options.interpolate or None)
            write_picture(output, sheet, recipe=recipe, overwrite=force)
    console.record({"output": str(output), "pictures": count, "weights": weights.sha256, **told})
    words = (
        f"; {told['closeness']:.2f} times as far from their nearest picture as pictures are" if told else ""
    )
    console.say(f"{printable(output)}: {count} pictures{words}")
    return 0


def _require_possible(
    options: SampleGanOptions, output: Path, values: Mapping[str, Any], *, single: bool
) -> None:
    count = len(options.origins) * max(1, options.interpolate)
    if single and count > MOST_IN_GRID:
        raise OptionError("count", f"{count} are too many for one picture", hint="-o FOLDER for single files")
    if not single and (output.exists() and not output.is_dir()):
        raise OutputError(f"{printable(output)} is a file and no picture", hint="-o FOLDER or -o grid.png")
    if not single and values["nearest"]:
        raise OptionError("nearest", "draws one sheet", hint="-o nearest.png")
    if options.interpolate and values["nearest"]:
        raise OptionError("nearest", "does not go with --interpolate")
    check_writable(output if single else output / "000000.png")


def _recipe(
    options: SampleGanOptions, values: Mapping[str, Any], weights: WeightsFile, device: Device
) -> dict[str, Any]:
    named = weights.name in GAN_WEIGHTS
    knobs = {name: value for name, value in asdict(options).items() if value not in ((), 0) or name == "seed"}
    machine = {"device": str(device.torch), "precision": device.precision, "threads": values["threads"]}
    knobs |= {**machine, **({"weights": weights.name} if named else {})}
    # A file of weights is an input with a path of its own; no folder of this machine goes into a recipe.
    ingredients = [] if named else [Ingredient("weights", weights.path, weights.sha256)]
    return make_recipe("sample-gan", ingredients, knobs, {weights.name if named else "given": weights.sha256})


def _save_files(
    folder: Path,
    pictures: Iterator[NDArray[np.uint8]],
    options: SampleGanOptions,
    values: Mapping[str, Any],
    weights: WeightsFile,
    device: Device,
    *,
    force: bool,
) -> int:
    """Each sample in a file of its own, which says how it is made alone."""
    steps = max(1, options.interpolate)
    total = len(options.origins) * steps
    paths = [folder / f"{options.start * steps + index:06d}.png" for index in range(total)]
    if (there := [path for path in paths if path.exists()]) and not force:
        raise OutputError(f"{printable(there[0])} exists", hint="--force replaces it")
    with console.progress("Drawing") as on_progress:
        for index, (path, pixels) in enumerate(zip(paths, pictures, strict=True)):
            origin = options.seeds[index : index + 1]
            alone = replace(options, start=0 if origin else options.start + index, count=1, seeds=origin)
            recipe = None if options.interpolate else _recipe(alone, values, weights, device)
            write_picture(path, Picture(_rgb(pixels)), recipe=recipe, overwrite=force)
            on_progress(index + 1, total, "")
    return total


def _save_nearest(
    output: Path,
    samples: list[NDArray[np.uint8]],
    generator: Generator,
    device: Device,
    values: Mapping[str, Any],
    *,
    force: bool,
) -> dict[str, Any]:
    """A sheet of samples, each with the nearest picture on its right; how near they are."""
    known = pictures_told(values["nearest"], generator.shape.size, values["fit"])
    if len(known.pixels) < 2:
        raise DataError(f"{printable(values['nearest'])} holds one picture, expected two at least")
    space = space_of(find_weights(values["features"]), device)
    found = nearest_pictures(samples, known.pixels, space)
    pairs = [
        _rgb(each)
        for sample, index in zip(samples, found.indices, strict=True)
        for each in (sample, known.pixels[int(index)])
    ]
    write_picture(output, grid(pairs, columns=2 * min(PAIRS, len(samples))), overwrite=force)
    return {"closeness": found.closeness, "space": space.name}


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
