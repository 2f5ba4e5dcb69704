"""What `imgtool train-edges` does: data, network, run folder, the loop, and what is said about it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool import __version__
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.cli.train_edges import MACHINE
from imgtool.data.edge_pairs import EdgePair, find_edge_pairs
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.imaging.io import read_picture, write_picture
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.nn.hed import HED
from imgtool.options import EdgesOptions, TrainEdgesOptions
from imgtool.runtime import processor
from imgtool.runtime.device import Device, memory_told, seed_everything, select_device
from imgtool.runtime.registry import WeightsFile, find_weights, registry
from imgtool.tasks.edges import edges
from imgtool.tasks.load import load_hed
from imgtool.tasks.train_edges import EdgesJudge, EdgesTrainee, network_to_train, shape_of
from imgtool.training.loop import FitResult, Limits, fit
from imgtool.training.run_folder import LAST, RunFolder

COMMAND = "train-edges"
TEACHER_OPTIONS = EdgesOptions(scales=(0.5, 1.0, 1.5))  # a teacher takes its time


def start(data: Path, path: Path, options: TrainEdgesOptions, machine: Mapping[str, Any]) -> int:
    """Begin a run; the exit code."""
    RunFolder.require_new(path)
    teacher = None if options.teacher is None else _lasting(options.teacher)
    options = replace(options, start=_lasting(options.start), teacher=teacher)
    # What is wrong with data or weights leaves no folder behind.
    work = _prepared(data, options, machine)
    if teacher is not None:
        load_hed(_weights(teacher), work.device)
    run = RunFolder.new(
        path,
        {
            "command": COMMAND,
            "imgtool": __version__,
            "versions": versions(),
            "data": str(data.absolute()),
            "options": asdict(options),
            "network": shape_of(work.network),
            "machine": {name: machine[name] for name in MACHINE},
        },
    )
    return _train(run, work)


def go_on(path: Path, anew: Mapping[str, Any]) -> int:
    """Go on with a run, perhaps to a later end or on another device; the exit code."""
    run = RunFolder.resumed(path)
    if run.options.get("command") != COMMAND:
        raise DataError(f"{printable(path)} is a run of {run.options.get('command')}, expected {COMMAND}")
    stored = run.options["options"]
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    later = {name: anew[name] for name in ("steps", "time") if name in anew}
    try:
        options = TrainEdgesOptions(**given | later)
        # The last checkpoint holds the weights: those that the run started from may be gone.
        shape = run.options.get("network") if (path / LAST).exists() else None
        network = None if shape is None else HED(**shape)
    except (TypeError, LookupError, ValueError) as error:
        raise DataError(f"{printable(path)}: its options are of another version: {error}") from error
    machine = {**run.options["machine"], **{name: anew[name] for name in MACHINE if name in anew}}
    work = _prepared(Path(run.options["data"]), options, machine, network)
    if anew:
        run.options |= {"options": asdict(options), "machine": machine}
        run.save_options()
    return _train(run, work)


@dataclass(frozen=True)
class _Work:
    """All that a run stands on."""

    options: TrainEdgesOptions
    machine: Mapping[str, Any]
    device: Device
    pairs: Sequence[EdgePair]
    held_out: Sequence[EdgePair]
    network: HED


def _prepared(
    data: Path, options: TrainEdgesOptions, machine: Mapping[str, Any], network: HED | None = None
) -> _Work:
    """The machine, the data and the network of a run, which is made from its start unless it is given.

    Raises:
        DataError, WeightsError, DeviceError: one of them cannot be had.
    """
    processor.prepare(machine["threads"])
    device = select_device(machine["device"], machine["precision"])
    if device.precision == "fp16":
        raise OptionError("precision", "fp16 loses small gradients", hint="--precision bf16 or fp32")
    seed_everything(options.seed)
    console.detail(f"device {device.torch} in {device.precision}: {device.why}")
    pairs, held_out = (find_edge_pairs(data.absolute(), part) for part in ("train", "val"))
    console.say(f"{len(pairs)} pairs to train on, {len(held_out)} to choose by")
    if network is None:
        network = network_to_train(options, None if options.start == "random" else _weights(options.start))
    return _Work(options, machine, device, pairs, held_out, network)


def _train(run: RunFolder, work: _Work) -> int:
    smaller = f"--batch {max(1, work.options.batch // 2)} or a smaller --crop, in a new run"
    with run.locked(), memory_told("out of memory; the last checkpoint is kept", hint=smaller):
        result = _fitted(run, work)
    best = "" if result.best is None else f", best ODS {result.best:.3f} on held-out pictures"
    console.say(f"{printable(run.path)}: {result.steps} steps, {result.seconds:.0f} s{best}")
    if result.interrupted:
        console.say(f"To go on: {shlex.join(['imgtool', COMMAND, '-o', str(run.path), '--resume'])}")
        raise result.interrupted
    console.say(f"To use it: {shlex.join(['imgtool', 'edges', 'PHOTO', '--weights', str(run.path)])}")
    return 0


def _fitted(run: RunFolder, work: _Work) -> FitResult:
    """The loop, with what it tells."""
    options, device = work.options, work.device
    teacher = {} if options.teacher is None else _teacher_maps(run, options.teacher, work.pairs, device)
    judge = EdgesJudge(work.held_out, device)
    trainee = EdgesTrainee(
        work.pairs, options, network=work.network, device=device, teacher=teacher, judge=judge
    )
    limits = Limits(
        steps=options.steps,
        time=options.time,
        score_every=work.machine["score_every"],
        save_seconds=work.machine["save_every"],
    )
    with console.progress(COMMAND) as on_progress:

        def on_step(step: int, progress: float, losses: Mapping[str, float]) -> None:
            words = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
            on_progress(progress, 1.0, f"step {step}  {words}")

        return fit(trainee, limits, run=run, on_step=on_step)


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


def _lasting(name: str) -> str:
    """Weights as a run may name them that goes on in another folder: a path from the root, a name as it is."""
    if name == "random" or name in registry():
        return name
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _weights(name: str) -> WeightsFile:
    with console.progress(f"Fetching {name}") as on_progress:
        found = find_weights(name, on_progress=lambda what, done, total: on_progress(done, total, what))
    console.detail(f"weights {found.name}: {found.source}")
    return found
