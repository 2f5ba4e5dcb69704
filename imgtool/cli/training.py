"""What every training command does around its task: a run folder, new or gone on with, the loop, what is said."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from imgtool import __version__
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.runtime import processor
from imgtool.runtime.device import Device, seed_everything, select_device
from imgtool.training.loop import FitResult, Limits, Trainee, fit
from imgtool.training.run_folder import RunFolder

MACHINE = ("device", "precision", "threads", "score_every", "save_every")
LATER = ("steps", "time")  # what --resume may move


class Ends(Protocol):
    """Options of a training: a dataclass with these, a seed, and more."""

    @property
    def steps(self) -> int | None:
        """In all."""

    @property
    def time(self) -> float | None:
        """Seconds in all."""

    @property
    def seed(self) -> int:
        """Of everything random."""


@dataclass(frozen=True)
class Training:
    """A training command.

    Attributes:
        command: its name.
        options: the class of its options.
        prepare: data and networks, checked, from the places of the data by name, the options and the device;
            what it returns makes the trainee of a run.
        metric: what the best score is called, of the options.
        use: words of the command that uses the result; the run's path comes after them.
        remark: what else is worth a word at the end, of the run; "" for nothing.
    """

    command: str
    options: Callable[..., Any]
    prepare: Callable[[Mapping[str, Path], Any, Device], Callable[[RunFolder], Trainee]]
    metric: Callable[[Any], str]
    use: tuple[str, ...]
    remark: Callable[[RunFolder], str] = lambda run: ""


def start(
    training: Training, data: Mapping[str, Path], path: Path, options: Any, machine: Mapping[str, Any]
) -> int:
    """Begin a run; the exit code."""
    RunFolder.require_new(path)
    data = {name: each.absolute() for name, each in data.items()}
    work = _prepared(training, data, options, machine)  # what is wrong with data leaves no folder behind
    about = {
        "command": training.command,
        "imgtool": __version__,
        "versions": versions(),
        "data": {name: str(each) for name, each in data.items()},
        "options": asdict(options),
        "machine": {name: machine[name] for name in MACHINE},
    }
    return _train(training, RunFolder.new(path, about), options, machine, work)


def go_on(training: Training, path: Path, values: Mapping[str, Any]) -> int:
    """Go on with a run, perhaps to a later end; the exit code."""
    run = RunFolder.resumed(path)
    if run.options.get("command") != training.command:
        found = run.options.get("command")
        raise DataError(f"{printable(path)} is a run of {found}, expected {training.command}")
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in run.options["options"].items()
    }
    later = {name: values[name] for name in LATER if values[name] is not None}
    try:
        options = training.options(**given | later)
    except TypeError as error:
        raise DataError(f"{printable(path)}: its options are of another version: {error}") from error
    if later:
        run.options["options"] = asdict(options)
        run.save_options()
    data = {name: Path(each) for name, each in run.options["data"].items()}
    machine = run.options["machine"]
    return _train(training, run, options, machine, _prepared(training, data, options, machine))


def _prepared(
    training: Training, data: Mapping[str, Path], options: Ends, machine: Mapping[str, Any]
) -> Callable[[RunFolder], Trainee]:
    processor.prepare(machine["threads"])
    device = select_device(machine["device"], machine["precision"])
    if device.precision == "fp16":
        raise OptionError("precision", "fp16 loses small gradients", hint="--precision bf16 or fp32")
    seed_everything(options.seed)
    console.detail(f"device {device.torch} in {device.precision}: {device.why}")
    return training.prepare(data, options, device)


def _train(
    training: Training,
    run: RunFolder,
    options: Ends,
    machine: Mapping[str, Any],
    work: Callable[[RunFolder], Trainee],
) -> int:
    with run.locked():
        result = _fitted(training.command, run, options, machine, work)
    metric = training.metric(options)
    best = "" if result.best is None else f", best {metric} {result.best:.3f} on held-out pictures"
    console.say(f"{printable(run.path)}: {result.steps} steps, {result.seconds:.0f} s{best}")
    if remark := training.remark(run):
        console.say(remark)
    if result.interrupted:
        again = shlex.join(["imgtool", training.command, "-o", str(run.path), "--resume"])
        console.say(f"To go on: {again}")
        raise result.interrupted
    console.say(f"To use it: {shlex.join(['imgtool', *training.use, str(run.path)])}")
    return 0


def _fitted(
    command: str,
    run: RunFolder,
    options: Ends,
    machine: Mapping[str, Any],
    work: Callable[[RunFolder], Trainee],
) -> FitResult:
    """The loop, with what it tells."""
    trainee = work(run)
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
