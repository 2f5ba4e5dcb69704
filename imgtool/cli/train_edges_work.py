"""What `imgtool train-edges` does: data, network, run folder, the loop, and what is said about it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool import __version__
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.data.edge_pairs import EdgePair, find_edge_pairs
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.imaging.io import read_picture, write_picture
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.options import EdgesOptions, TrainEdgesOptions
from imgtool.runtime import processor
from imgtool.runtime.device import Device, seed_everything, select_device
from imgtool.runtime.registry import WeightsFile, find_weights
from imgtool.tasks.edges import edges
from imgtool.tasks.load import load_hed
from imgtool.tasks.train_edges import EdgesJudge, EdgesTrainee, network_to_train
from imgtool.training.loop import Limits, fit
from imgtool.training.run_folder import RunFolder

COMMAND = "train-edges"
MACHINE = ("device", "precision", "threads", "score_every", "save_every")
TEACHER_OPTIONS = EdgesOptions(scales=(0.5, 1.0, 1.5))  # a teacher takes its time


def start(data: Path, path: Path, options: TrainEdgesOptions, machine: Mapping[str, Any]) -> int:
    """Begin a run; the exit code."""
    run = RunFolder.new(
        path,
        {
            "command": COMMAND,
            "imgtool": __version__,
            "versions": versions(),
            "data": str(data.absolute()),
            "options": asdict(options),
            "machine": {name: machine[name] for name in MACHINE},
        },
    )
    return _train(run, options, run.options["machine"])


def go_on(path: Path, machine: Mapping[str, Any]) -> int:
    """Go on with a run; the exit code."""
    run = RunFolder.resumed(path)
    if run.options.get("command") != COMMAND:
        raise DataError(f"{printable(path)} is a run of {run.options.get('command')}, expected {COMMAND}")
    stored = run.options["options"]
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    options = TrainEdgesOptions(**given)
    return _train(run, options, run.options["machine"])


def _train(run: RunFolder, options: TrainEdgesOptions, machine: Mapping[str, Any]) -> int:
    processor.prepare(machine["threads"])
    device = select_device(machine["device"], machine["precision"])
    seed_everything(options.seed)
    console.detail(f"device {device.torch} in {device.precision}: {device.why}")
    data = Path(run.options["data"])
    pairs, held_out = find_edge_pairs(data, "train"), find_edge_pairs(data, "val")
    console.say(f"{len(pairs)} pairs to train on, {len(held_out)} to choose by")
    weights = None if options.start == "random" else _weights(options.start)
    network = network_to_train(options, weights)
    teacher = {} if options.teacher is None else _teacher_maps(run, options.teacher, pairs, device)
    judge = EdgesJudge(held_out, device)
    trainee = EdgesTrainee(pairs, options, network=network, device=device, teacher=teacher, judge=judge)
    limits = Limits(
        steps=options.steps,
        time=options.time,
        score_every=machine["score_every"],
        save_seconds=machine["save_every"],
    )
    with console.progress(COMMAND) as on_progress:

        def on_step(step: int, progress: float, losses: Mapping[str, float]) -> None:
            words = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
            on_progress(progress, 1.0, f"step {step}  {words}")

        result = fit(trainee, limits, run=run, on_step=on_step)
    best = "" if result.best is None else f", best ODS {result.best:.3f} on held-out pictures"
    console.say(f"{printable(run.path)}: {result.steps} steps, {result.seconds:.0f} s{best}")
    if result.interrupted:
        console.say(f"To go on: {shlex.join(['imgtool', COMMAND, '-o', str(run.path), '--resume'])}")
        raise result.interrupted
    return 0


def _teacher_maps(
    run: RunFolder, name: str, pairs: Sequence[EdgePair], device: Device
) -> dict[str, NDArray[np.uint8]]:
    """What the teacher sees in each photo; kept in the run, so that it is asked once."""
    missing = [pair for pair in pairs if not run.teacher_map(pair.name).exists()]
    with console.progress(f"Asking {name}") as on_progress:
        network = load_hed(_weights(name), device) if missing else None
        for done, pair in enumerate(missing):
            on_progress(done, len(missing), pair.name)
            assert network is not None
            seen = edges(pair.read()[0], TEACHER_OPTIONS, network=network).maps
            write_picture(run.teacher_map(pair.name), Picture.gray(levels(seen[TEACHER_OPTIONS.kind])))
    return {pair.name: read_picture(run.teacher_map(pair.name)).pixels[..., 0] for pair in pairs}


def _weights(name: str) -> WeightsFile:
    with console.progress(f"Fetching {name}") as on_progress:
        found = find_weights(name, on_progress=lambda what, done, total: on_progress(done, total, what))
    console.detail(f"weights {found.name}: {found.source}")
    return found
