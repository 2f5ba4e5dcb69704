"""What every training command does around its task: a run folder, new or gone on with, the loop, what is said."""

import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from imgtool import __version__
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.cli.training_options import LATER, MACHINE
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.options.checks import RANDOM
from imgtool.runtime import processes, processor
from imgtool.runtime.device import Device, memory_told, seed_everything, select_device
from imgtool.runtime.ranks import Ranks, joined
from imgtool.runtime.registry import registry
from imgtool.training.loop import FitResult, Limits, Trainee, Watch, fit
from imgtool.training.run_folder import LAST, FollowedRun, RunFolder

NEVER = 1 << 60  # steps between two scores: of a run whose scores choose nothing


@dataclass(frozen=True)
class Prepared:
    """All that a run stands on, checked.

    Attributes:
        trainee: makes what is trained, for a run and the processes that train.
        metric: what its score is called.
        about: what the run shall remember besides its options.
        scored_on: the pictures of which its score tells.
    """

    trainee: Callable[[RunFolder, Ranks], Trainee]
    metric: str
    about: Mapping[str, Any] = field(default_factory=dict)
    scored_on: str = "held-out pictures"


# Data and networks of a run: from the places of its data by name, its options, the device, and what it remembers if
# there is a checkpoint to go on from.
Prepare = Callable[[Mapping[str, Path], Any, Device, Mapping[str, Any]], Prepared]


@dataclass(frozen=True)
class Training:
    """A training command.

    Attributes:
        command: its name.
        options: the class of its options, which have steps, time, seed, batch and perhaps patience.
        prepare: see `Prepare`; it refuses what is wrong before a run begins.
        use: words of the command that uses the result; the run's path comes after them.
        weights: its options that name weights.
        remark: what else is worth a word at the end, of the run; "" for nothing.
        watch: makes what looks for signs of trouble, of the options.
        ranks: whether several processes can train together.
        smaller: the option that needs less memory when it is smaller, besides --batch.
    """

    command: str
    options: Callable[..., Any]
    prepare: Prepare
    use: tuple[str, ...]
    weights: tuple[str, ...] = ()
    remark: Callable[[RunFolder], str] = lambda run: ""
    watch: Callable[[Any], Watch] = lambda options: lambda told: ""
    ranks: bool = False
    smaller: str = "--crop"


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
    options = lasting(training, options)
    data = {name: each.absolute() for name, each in data.items()}
    machine = {name: values[name] for name in MACHINE if name in values}
    with _joined(training, options, machine) as (device, ranks):
        if ranks.first:
            RunFolder.require_new(path)
        # What is wrong with data or weights leaves no folder behind.
        prepared = _prepared(training, data, options, device, {})
        about = {
            "command": training.command,
            "imgtool": __version__,
            "versions": versions(),
            "data": {name: str(each) for name, each in data.items()},
            "options": asdict(options),
            **prepared.about,
            "machine": machine,
            "ranks": ranks.count,
        }
        run = RunFolder.new(path, about) if ranks.first else FollowedRun(path, about)
        return _train(training, run, options, machine, prepared, ranks, alone)


def go_on(training: Training, path: Path, anew: Mapping[str, Any], *, alone: bool = True) -> int:
    """Go on with a run, perhaps to a later end or on another device; the exit code. See `start`."""
    run = RunFolder.resumed(path)
    if run.options.get("command") != training.command:
        found = run.options.get("command")
        raise DataError(f"{printable(path)} is a run of {found}, expected {training.command}")
    try:
        stored = with_tuples(run.options["options"])
        later = {name: anew.get(name) for name in LATER} if anew.keys() & set(LATER) else {}
        options = training.options(**stored | later)
        data = {name: Path(each) for name, each in run.options["data"].items()}
        machine = {**run.options["machine"], **{name: anew[name] for name in MACHINE if name in anew}}
    except (TypeError, LookupError, AttributeError) as error:
        raise DataError(f"{printable(path)}: its options are of another version: {error}") from error
    remembered = run.options if (path / LAST).exists() else {}
    with _joined(training, options, machine) as (device, ranks):
        run = run if ranks.first else FollowedRun(path, run.options)
        prepared = _prepared(training, data, options, device, remembered)
        before = remembered.get("ranks", 1) if remembered else ranks.count
        if before != ranks.count:
            console.warn(f"the run had {before} processes, now {ranks.count}: alike, not the same")
        if anew or not remembered or before != ranks.count:
            now = {"options": asdict(options), **prepared.about, "machine": machine, "ranks": ranks.count}
            run.options |= now
            run.save_options()
        return _train(training, run, options, machine, prepared, ranks, alone)


def _prepared(
    training: Training, data: Mapping[str, Path], options: Any, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    with memory_told("out of memory before the first step", hint=_smaller(training, options)):
        return training.prepare(data, options, device, remembered)


def _smaller(training: Training, options: Any) -> str:
    """The options that help where memory does not suffice."""
    other = f" or a smaller {training.smaller}" if training.smaller else ""
    return f"--batch {max(1, options.batch // 2)}{other}, in a new run"


def require_same(about: Mapping[str, Any], remembered: Mapping[str, Any]) -> None:
    """Refuse to go on with other data than a run began with.

    Args:
        about: the data as it is.
        remembered: as it was; empty where there is nothing to go on from.
    Raises:
        DataError: says what changed.
    """
    for key, now in about.items():
        if remembered.get(key, now) != now:
            raise DataError(
                f"the data of the run changed: {key} were {remembered[key]}, are {now}",
                hint="the data as it was, or another -o",
            )


def with_tuples(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they were before JSON made lists of their tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def lasting(training: Training, options: Any) -> Any:
    """Options as they hold in any folder: weights by their path from the root, names as they are."""
    named = {name: getattr(options, name) for name in training.weights}
    places = {
        name: Path(given).expanduser()
        for name, given in named.items()
        if given is not None and given != RANDOM and given not in registry()
    }
    return replace(options, **{name: str(path.absolute()) for name, path in places.items() if path.exists()})


@contextmanager
def _joined(training: Training, options: Any, machine: Mapping[str, Any]) -> Iterator[tuple[Device, Ranks]]:
    """The device of a run, and the processes that work on it; all but the first fall silent."""
    processor.prepare(machine["threads"])
    device = select_device(machine["device"], machine["precision"])
    if device.precision == "fp16":
        raise OptionError("precision", "fp16 loses small gradients", hint="--precision bf16 or fp32")
    seed_everything(options.seed)
    if processes.count() > 1 and not training.ranks:
        raise click.UsageError(f"{training.command} trains in one process; start it as one.")
    if options.batch % processes.count():  # before they join: who leaves then takes the others with it
        raise OptionError("batch", f"{options.batch} cannot be shared by {processes.count()} processes")
    with joined(device.torch) as ranks:
        if not ranks.first:
            console.quiet, console.json = True, False
            for each in (signal.SIGINT, signal.SIGTERM):  # the first is told to end, and tells the others
                signal.signal(each, signal.SIG_IGN)
        console.detail(f"device {device.torch} in {device.precision}: {device.why}")
        yield device, ranks


def _train(
    training: Training,
    run: RunFolder,
    options: Any,
    machine: Mapping[str, Any],
    prepared: Prepared,
    ranks: Ranks,
    alone: bool,
) -> int:
    smaller = _smaller(training, options)
    with run.locked(), memory_told("out of memory; the last checkpoint is kept", hint=smaller):
        result = _fitted(training, run, options, machine, prepared, ranks)
        ranks.wait()  # who left before the others have heard all would look like a failure to them
    if not ranks.first:
        return 0
    _tell(training, run, options, prepared, result, alone=alone)
    if result.interrupted:
        if alone:
            together = ["--devices", str(ranks.count)] if ranks.count > 1 else []
            again = shlex.join(["imgtool", training.command, "-o", str(run.path), "--resume", *together])
            console.say(f"To go on: {again}")
        raise result.interrupted
    if alone:
        console.say(f"To use it: {shlex.join(['imgtool', *training.use, str(run.path)])}")
    return 0


def _tell(
    training: Training, run: RunFolder, options: Any, prepared: Prepared, result: FitResult, *, alone: bool
) -> None:
    """How a run ended."""
    best = ""
    if result.best is not None:
        best = f", best {prepared.metric} {result.best:.3f} on {prepared.scored_on}"
    console.say(f"{printable(run.path)}: {result.steps} steps, {result.seconds:.0f} s{best}")
    told = {"output": str(run.path), "steps": result.steps, "seconds": round(result.seconds, 1)}
    if alone:
        console.record({**told, "metric": prepared.metric, "best": result.best})
    if result.before == result.steps and not result.interrupted:
        console.say(
            "It had reached its end before. To go on further: --resume with a later --steps or --time"
        )
    if result.in_vain:
        console.say(f"It ended early: no better {prepared.metric} in the last {options.patience} scorings.")
    if remark := training.remark(run):
        console.say(remark)


def _fitted(
    training: Training,
    run: RunFolder,
    options: Any,
    machine: Mapping[str, Any],
    prepared: Prepared,
    ranks: Ranks,
) -> FitResult:
    """The loop, with what it tells."""
    trainee = prepared.trainee(run, ranks)
    limits = Limits(
        steps=options.steps,
        time=options.time,
        score_every=machine["score_every"],
        sample_every=machine.get("sample_every"),
        save_seconds=machine["save_every"],
        patience=getattr(options, "patience", None),
    )
    with console.progress(training.command) as on_progress:
        pace = _Pace(options.batch)

        def on_step(step: int, progress: float, losses: Mapping[str, float]) -> None:
            words = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
            on_progress(progress, 1.0, f"step {step}  {pace(step, progress)}{words}")

        return fit(
            trainee,
            limits,
            run=run,
            on_step=on_step,
            watch=training.watch(options),
            on_word=console.warn,
            ranks=ranks,
        )


class _Pace:
    """How fast a training goes, in words."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.began: tuple[float, int, float] | None = None

    def __call__(self, step: int, progress: float) -> str:
        """Examples a second, and the time that is left; nothing at first."""
        now = time.monotonic()
        if self.began is None:
            self.began = now, step, progress
            return ""
        since, first, start = self.began
        if now - since < 1 or progress <= start:
            return ""
        left = (1 - progress) * (now - since) / (progress - start)
        return f"{(step - first) * self.batch / (now - since):.3g}/s  {left / 60:.0f} min left  "
