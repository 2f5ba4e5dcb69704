"""What `imgtool train-edges` does: data, network, run folder, the loop, and what is said about it."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imgtool import __version__
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.data.edge_pairs import find_edge_pairs
from imgtool.errors import DataError
from imgtool.files import printable
from imgtool.options import TrainEdgesOptions
from imgtool.runtime import processor
from imgtool.runtime.device import seed_everything, select_device
from imgtool.runtime.registry import WeightsFile, find_weights
from imgtool.tasks.train_edges import EdgesTrainee, network_to_train
from imgtool.training.loop import Limits, fit
from imgtool.training.run_folder import RunFolder

COMMAND = "train-edges"


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
            "machine": {name: machine[name] for name in ("device", "precision", "threads")},
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
    pairs = find_edge_pairs(data, "train")
    console.say(f"{len(pairs)} pairs to train on")
    weights = None if options.start == "random" else _weights(options.start)
    trainee = EdgesTrainee(
        pairs, options, network=network_to_train(options, weights), device=device, teacher={}
    )
    limits = Limits(steps=options.steps, time=options.time)
    with console.progress(COMMAND) as on_progress:

        def on_step(step: int, progress: float, losses: Mapping[str, float]) -> None:
            words = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
            on_progress(progress, 1.0, f"step {step}  {words}")

        result = fit(trainee, limits, run=run, on_step=on_step)
    console.say(f"{printable(run.path)}: {result.steps} steps, {result.seconds:.0f} s")
    if result.interrupted:
        console.say(f"To go on: {shlex.join(['imgtool', COMMAND, '-o', str(run.path), '--resume'])}")
        raise result.interrupted
    return 0


def _weights(name: str) -> WeightsFile:
    with console.progress(f"Fetching {name}") as on_progress:
        found = find_weights(name, on_progress=lambda what, done, total: on_progress(done, total, what))
    console.detail(f"weights {found.name}: {found.source}")
    return found
