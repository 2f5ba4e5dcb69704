"""What every training command does around its task: a run folder, new or gone on with, the loop, what is said."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imgtool import __version__
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.cli.run_options import LATER, MACHINE
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.runtime import processor
from imgtool.runtime.device import Device, memory_told, seed_everything, select_device
from imgtool.runtime.registry import WeightsFile, find_weights, registry
from imgtool.training.loop import FitResult, Limits, Trainee, fit
from imgtool.training.run_folder import LAST, RunFolder


@dataclass(frozen=True)
class Work:
    """All that a run stands on, checked.

    Attributes:
        trainee: makes what is trained, for a run.
        metric: what its score is called.
        about: what the run shall remember besides its options.
    """

    trainee: Callable[[RunFolder], Trainee]
    metric: str
    about: Mapping[str, Any] = field(default_factory=dict)


# Data and networks of a run: from the places of its data by name, its options, the device, and what it remembers if
# there is a checkpoint to go on from.
Prepare = Callable[[Mapping[str, Path], Any, Device, Mapping[str, Any]], Work]


@dataclass(frozen=True)
class Training:
    """A training command.

    Attributes:
        command: its name.
        options: the class of its options, which have steps, time, seed, batch and perhaps patience.
        prepare: see `Prepare`; it refuses what is wrong before a run begins.
        use: words of the command that uses the result; the run's path comes after them.
        lasting: makes options hold in any folder.
        remark: what else is worth a word at the end, of the run; "" for nothing.
    """

    command: str
    options: Callable[..., Any]
    prepare: Prepare
    use: tuple[str, ...]
    lasting: Callable[[Any], Any] = lambda options: options
    remark: Callable[[RunFolder], str] = lambda run: ""


def start(
    training: Training,
    data: Mapping[str, Path],
    path: Path,
    options: Any,
    values: Mapping[str, Any],
    *,
    alone: bool = True,
) -> int:
    """Begin a run; the exit code.

    Args:
        training: which.
        data: places by name.
        path: of the run.
        options: of the task.
        values: the command's, by parameter name.
        alone: whether it is what the user asked for, not a part of it: then it is told how to use it or to go on.
    """
    RunFolder.require_new(path)
    options = training.lasting(options)
    data = {name: each.absolute() for name, each in data.items()}
    machine = {name: values[name] for name in MACHINE}
    # What is wrong with data or weights leaves no folder behind.
    work = _prepared(training, data, options, machine, {})
    about = {
        "command": training.command,
        "imgtool": __version__,
        "versions": versions(),
        "data": {name: str(each) for name, each in data.items()},
        "options": asdict(options),
        **work.about,
        "machine": machine,
    }
    return _train(training, RunFolder.new(path, about), options, machine, work, alone)


def go_on(training: Training, path: Path, anew: Mapping[str, Any], *, alone: bool = True) -> int:
    """Go on with a run, perhaps to a later end or on another device; the exit code. See `start`."""
    run = RunFolder.resumed(path)
    if run.options.get("command") != training.command:
        found = run.options.get("command")
        raise DataError(f"{printable(path)} is a run of {found}, expected {training.command}")
    try:
        stored = with_tuples(run.options["options"])
        options = training.options(**stored | {name: anew[name] for name in LATER if name in anew})
        data = {name: Path(each) for name, each in run.options["data"].items()}
        machine = {**run.options["machine"], **{name: anew[name] for name in MACHINE if name in anew}}
    except (TypeError, LookupError, AttributeError) as error:
        raise DataError(f"{printable(path)}: its options are of another version: {error}") from error
    remembered = run.options if (path / LAST).exists() else {}
    work = _prepared(training, data, options, machine, remembered)
    if anew or not remembered:
        run.options |= {"options": asdict(options), **work.about, "machine": machine}
        run.save_options()
    return _train(training, run, options, machine, work, alone)


def with_tuples(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they were before JSON made lists of their tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def lasting_weights(name: str) -> str:
    """Weights as a run may name them that goes on in another folder: a path from the root, a name as it is."""
    path = Path(name).expanduser()
    return str(path.absolute()) if name not in registry() and path.exists() else name


def weights_told(name: str) -> WeightsFile:
    """Weights that a run begins with, fetched if need be.

    Raises:
        WeightsError: they cannot be had.
    """
    with console.progress(f"Fetching {name}") as on_progress:
        found = find_weights(name, on_progress=lambda what, done, total: on_progress(done, total, what))
    console.detail(f"weights {found.name}: {found.source}")
    return found


def _prepared(
    training: Training,
    data: Mapping[str, Path],
    options: Any,
    machine: Mapping[str, Any],
    remembered: Mapping[str, Any],
) -> Work:
    processor.prepare(machine["threads"])
    device = select_device(machine["device"], machine["precision"])
    if device.precision == "fp16":
        raise OptionError("precision", "fp16 loses small gradients", hint="--precision bf16 or fp32")
    seed_everything(options.seed)
    console.detail(f"device {device.torch} in {device.precision}: {device.why}")
    return training.prepare(data, options, device, remembered)


def _train(
    training: Training, run: RunFolder, options: Any, machine: Mapping[str, Any], work: Work, alone: bool
) -> int:
    smaller = f"--batch {max(1, options.batch // 2)} or a smaller --crop, in a new run"
    with run.locked(), memory_told("out of memory; the last checkpoint is kept", hint=smaller):
        result = _fitted(training.command, run, options, machine, work)
    best = "" if result.best is None else f", best {work.metric} {result.best:.3f} on held-out pictures"
    console.say(f"{printable(run.path)}: {result.steps} steps, {result.seconds:.0f} s{best}")
    if result.in_vain:
        console.say(f"It ended early: no better {work.metric} in the last {options.patience} scorings.")
    if remark := training.remark(run):
        console.say(remark)
    if result.interrupted and not alone:
        raise result.interrupted
    if result.interrupted:
        again = shlex.join(["imgtool", training.command, "-o", str(run.path), "--resume"])
        console.say(f"To go on: {again}")
        raise result.interrupted
    if alone:
        console.say(f"To use it: {shlex.join(['imgtool', *training.use, str(run.path)])}")
    return 0


def _fitted(command: str, run: RunFolder, options: Any, machine: Mapping[str, Any], work: Work) -> FitResult:
    """The loop, with what it tells."""
    trainee = work.trainee(run)
    limits = Limits(
        steps=options.steps,
        time=options.time,
        score_every=machine["score_every"],
        save_seconds=machine["save_every"],
        patience=getattr(options, "patience", None),
    )
    with console.progress(command) as on_progress:

        def on_step(step: int, progress: float, losses: Mapping[str, float]) -> None:
            words = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
            on_progress(progress, 1.0, f"step {step}  {words}")

        return fit(trainee, limits, run=run, on_step=on_step)
