"""What `imgtool sample-gan` does."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from imgtool.cli.console import console
from imgtool.cli.recipes import make_recipe
from imgtool.errors import OutputError
from imgtool.files import check_writable, printable
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.options.gan import SampleGanOptions
from imgtool.runtime import processor
from imgtool.runtime.device import select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.sample_gan import grid, load_generator, sample


def draw(run: str, options: SampleGanOptions, output: Path, values: Mapping[str, Any], *, force: bool) -> int:
    """Draw a grid or single files; the exit code."""
    single = output.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
    names = [output] if single else [output / f"{index:06d}.png" for index in range(options.count)]
    for path in names:
        if path.exists() and not force:
            raise OutputError(f"{printable(path)} exists", hint="--force replaces it")
    check_writable(names[0])
    processor.prepare(values["threads"])
    device = select_device(values["device"], values["precision"])
    weights = find_weights(run)
    generator, classes = load_generator(weights, device)
    pictures = sample(generator, options, device=device, classes=len(classes))
    recipe = make_recipe("sample-gan", [], asdict(options), {weights.name: weights.sha256})
    if single:
        write_picture(output, grid(pictures), recipe=recipe, overwrite=force)
    else:
        for path, pixels in zip(names, pictures, strict=True):
            full = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
            write_picture(path, Picture(full), recipe=recipe, overwrite=force)
    console.record({"output": str(output), "pictures": len(pictures), "weights": weights.sha256})
    console.say(f"{printable(output)}: {len(pictures)} pictures")
    return 0
