"""What `imgtool score images` does: two sets of pictures, compared in a named space of features."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imgtool.cli.console import OnProgress, console
from imgtool.cli.fetching import weights_told
from imgtool.cli.picture_sources import pictures_told
from imgtool.cli.scoring import write_report
from imgtool.data.picture_set import PictureSet
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.imaging.report import Paragraph, Table
from imgtool.metrics.images import FEWEST_COMPARED, Moments, frechet_distance, frechet_interval, neighbourhood
from imgtool.runtime import processor
from imgtool.runtime.device import select_device
from imgtool.tasks.picture_features import space_of


def score(real: Path, fake: Path, *, output: Path | None, values: Mapping[str, Any]) -> None:
    """Compare two sets and say how far they are apart.

    Raises:
        DataError: one of them has too few pictures, or is none.
    """
    processor.prepare(values["threads"])
    device = select_device(values["device"], values["precision"])
    paths = [path for path in (real, fake, values["train"]) if path is not None]
    sets = [_read(path, values) for path in paths]
    space = space_of(weights_told(values["features"]), device)
    features = []
    with console.progress("Looking") as on_progress:
        for path, found in zip(paths, sets, strict=True):
            told_as = partial(_tell, on_progress, printable(path))
            features.append(space(found.pixels, told_as))
    count, dimensions = min(map(len, features)), features[0].shape[1]
    if count < dimensions:
        console.warn(
            f"{count} pictures are fewer than {dimensions} features: much of the distance comes from that"
        )
    scores = _scores(*features, seed=values["seed"])
    seen = {"size": values["size"], "fit": values["fit"]}
    told = {"space": space.name, **seen, "real": len(features[0]), "fake": len(features[1]), **scores}
    nearest = "other real pictures" if values["train"] else "two halves of the real pictures"
    if console.json:
        console.record({"summary": told})
    else:
        console.data(_words(told, nearest))
    if output is not None:
        rows = [[name, _shown(value)] for name, value in told.items()]
        words = (
            f"Fréchet distance in {space.name}, the smaller the better, and at best near its floor, that of "
            f"{nearest}; numbers of another space, such as FID, are not comparable."
        )
        write_report(output, "Two sets of pictures", [Paragraph(words), Table(["measure", "value"], rows)])


def _tell(on_progress: OnProgress, shown: str, done: int, count: int) -> None:
    on_progress(done, count, shown)


def _shown(value: object) -> str:
    """A value on the page."""
    if isinstance(value, tuple):
        return " to ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _words(told: Mapping[str, Any], nearest: str) -> str:
    low, high = told["interval"]
    around = ", ".join(f"{name} {told[name]:.3f}" for name in ("precision", "recall", "coverage"))
    return (
        f"{told['space']} at {told['size']} px: distance {told['distance']:.2f} ({low:.2f} to {high:.2f}), "
        f"{nearest} {told['floor']:.2f}; {around}"
    )


def _read(path: Path, values: Mapping[str, Any]) -> PictureSet:
    found = pictures_told(path, values["size"], values["fit"])
    if len(found.pixels) < FEWEST_COMPARED:
        raise DataError(
            f"{printable(path)} holds {len(found.pixels)} pictures, expected at least {FEWEST_COMPARED}"
        )
    return found


def _scores(
    real: np.ndarray, fake: np.ndarray, train: np.ndarray | None = None, *, seed: int
) -> dict[str, Any]:
    """All measures; the floor is the distance of other real pictures, or of two halves of the same."""
    order = np.random.default_rng(seed).permutation(len(real))
    alike = [real, train] if train is not None else [real[part] for part in np.array_split(order, 2)]
    around = neighbourhood(real, fake)
    return {
        "distance": frechet_distance(Moments.of(real), Moments.of(fake)),
        "interval": frechet_interval(real, fake, seed=seed),
        "floor": frechet_distance(*map(Moments.of, alike)),
        "precision": around.precision,
        "recall": around.recall,
        "coverage": around.coverage,
    }
