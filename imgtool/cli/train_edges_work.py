"""What `imgtool train-edges` stands on: pairs, a network to start from, and a teacher's maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.fetching import weights_told
from imgtool.cli.training import Prepared, Training
from imgtool.data.edge_pairs import EdgePair, find_edge_pairs
from imgtool.errors import DataError
from imgtool.imaging.io import read_picture, write_picture
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.nn.hed import HED
from imgtool.options.checks import RANDOM
from imgtool.options.edges import EdgesOptions, TrainEdgesOptions
from imgtool.runtime.device import Device
from imgtool.runtime.ranks import Ranks
from imgtool.tasks.edges import edges
from imgtool.tasks.load import load_hed
from imgtool.tasks.train_edges import EdgesJudge, EdgesTrainee, network_to_train, shape_of
from imgtool.training.run_folder import RunFolder

TEACHER_OPTIONS = EdgesOptions(scales=(0.5, 1.0, 1.5))  # a teacher takes its time


def prepare(
    data: Mapping[str, Path], options: TrainEdgesOptions, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    """The data and the network of a run.

    Raises:
        DataError, WeightsError: one of them cannot be had.
    """
    pairs, held_out = (find_edge_pairs(data["folder"], part) for part in ("train", "val"))
    network = _network(options, remembered.get("network"))
    if options.teacher is not None and not remembered:
        load_hed(weights_told(options.teacher), device)
    console.say(f"{len(pairs)} pairs to train on, {len(held_out)} to choose by")

    def trainee(run: RunFolder, ranks: Ranks) -> EdgesTrainee:
        teacher = {} if options.teacher is None else _teacher_maps(run, options.teacher, pairs, device)
        judge = EdgesJudge(held_out, device)
        return EdgesTrainee(pairs, options, network=network, device=device, teacher=teacher, judge=judge)

    return Prepared(trainee, "ODS", {"network": shape_of(network)})


def _network(options: TrainEdgesOptions, shape: Any) -> HED:
    """The network to train: of a shape, if a checkpoint holds its weights, for those of the start may be gone."""
    if shape is None:
        return network_to_train(options, None if options.start == RANDOM else weights_told(options.start))
    try:
        return HED(**shape)
    except (TypeError, LookupError, ValueError) as error:
        raise DataError(f"the run's network is of another version: {error}") from error


def _teacher_maps(
    run: RunFolder, name: str, pairs: Sequence[EdgePair], device: Device
) -> dict[str, NDArray[np.uint8]]:
    """What the teacher sees in each photo; kept in the run, so that it is asked once."""
    missing = [pair for pair in pairs if not run.teacher_map(pair.name).exists()]
    with console.progress(f"Asking {name}") as on_progress:
        network = load_hed(weights_told(name), device) if missing else None
        for done, pair in enumerate(missing):
            on_progress(done, len(missing), pair.name)
            assert network is not None
            seen = edges(pair.read()[0], TEACHER_OPTIONS, network=network).maps
            write_picture(run.teacher_map(pair.name), Picture.gray(levels(seen[TEACHER_OPTIONS.kind])))
    return {pair.name: read_picture(run.teacher_map(pair.name)).pixels[..., 0] for pair in pairs}


TRAINING = Training(
    command="train-edges",
    options=TrainEdgesOptions,
    prepare=prepare,
    use=("edges", "PHOTO", "--weights"),
    weights=("start", "teacher"),
)
