"""The loop that all training has in common: steps, log, score, checkpoints, and going on where it stopped."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from torch import Tensor

from imgtool.errors import DataError, Diverged
from imgtool.files import printable
from imgtool.imaging.picture import Picture
from imgtool.training.report import run_report
from imgtool.training.run_folder import BEST, LAST, RunFolder


class Trainee(Protocol):
    """What is trained. Everything that changes from step to step is in its state."""

    def step(self, number: int, progress: float) -> Mapping[str, float]:
        """Do step `number`, from 0; `progress` in [0, 1] is how much is done. Returns what the log shall tell.

        The data and random numbers of a step depend on the seed and its number alone, so a run that was cut off
        and goes on does the same as one that was not.
        """

    def state(self) -> dict[str, Any]:
        """Networks, averages and optimisers, as tensors and plain values."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""

    def score(self) -> Mapping[str, float]:
        """How good it is on data that it is not trained on; the first value decides which one is best."""

    def samples(self) -> Mapping[str, Picture]:
        """Pictures that show what it can do, by name."""

    def model(self) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
        """The tensors that the inference command needs, and what their file says about itself."""


@dataclass(frozen=True)
class Limits:
    """When a run ends, and how often it speaks.

    Attributes:
        steps: in all; None leaves `time` in charge.
        time: seconds in all, those before a resume included.
        log_every: steps.
        score_every: steps; the end is always scored.
        save_seconds: between two checkpoints.
        patience: scorings without a better one, after which the run ends; None for no such end.
    """

    steps: int | None = None
    time: float | None = None
    log_every: int = 20
    score_every: int = 1000
    save_seconds: float = 60.0
    patience: int | None = None


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        steps: done in all.
        seconds: spent in all.
        best: the best score; None if there was no scoring.
        in_vain: whether it ended before its limits, as the score did not become better.
        interrupted: the Ctrl-C or signal that ended it early, to be raised again when all is saved.
    """

    steps: int
    seconds: float
    best: float | None
    in_vain: bool = False
    interrupted: KeyboardInterrupt | None = None


# Told the number of steps done, the progress in [0, 1] and the newest losses.
OnStep = Callable[[int, float, Mapping[str, float]], None]


def fit(trainee: Trainee, limits: Limits, *, run: RunFolder, on_step: OnStep) -> FitResult:
    """Train until the limits are reached, from the run's last checkpoint if there is one.

    Raises:
        Diverged: a loss became NaN or infinite; the last checkpoint is from before.
    """
    return _Fit(trainee, limits, run, on_step)()


class _Fit:
    def __init__(self, trainee: Trainee, limits: Limits, run: RunFolder, on_step: OnStep) -> None:
        self.trainee, self.limits, self.run, self.on_step = trainee, limits, run, on_step
        self.done, self.before, self.best, self.worse = 0, 0.0, -math.inf, 0
        self.scored = 0  # the step of the last score
        if saved := run.load_checkpoint(LAST):
            try:
                trainee.load_state(saved["trainee"])
                self.done, self.before, self.best = saved["step"], saved["seconds"], saved["best"]
                self.scored, self.worse = saved.get("scored", self.done), saved.get("worse", 0)
            except (LookupError, RuntimeError, TypeError, ValueError) as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise DataError(f"{printable(run.path / LAST)} is not of this run: {reason}") from error
        run.forget_after(self.done)
        self.began = self.saved = time.monotonic()

    def __call__(self) -> FitResult:
        interrupted = None
        try:
            self._score_if_due()  # when the run was stopped while it was scored
            while (progress := self._progress()) < 1 and not self._in_vain():
                with _whole():
                    losses = self.trainee.step(self.done, progress)
                    self.done += 1
                self._told(progress, losses)
                self._score_if_due()
                if time.monotonic() - self.saved > self.limits.save_seconds:
                    self._save()
            if self.scored < self.done:
                self._score()
        except KeyboardInterrupt as stop:
            interrupted = stop
        self._save()
        best = None if self.best == -math.inf else self.best
        in_vain = not interrupted and self._progress() < 1
        return FitResult(self.done, self._seconds(), best, in_vain, interrupted)

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    def _progress(self) -> float:
        """The part that is done, of steps or of time, whichever is further."""
        of_steps = self.done / self.limits.steps if self.limits.steps else 0.0
        of_time = self._seconds() / self.limits.time if self.limits.time else 0.0
        return min(1.0, max(of_steps, of_time))

    def _in_vain(self) -> bool:
        """Whether the score has not become better for long enough."""
        return self.limits.patience is not None and self.worse >= self.limits.patience

    def _told(self, progress: float, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"{name} became {value} at step {self.done}; the last checkpoint is from before",
                    hint="a new run with a smaller --learning-rate",
                )
        if self.done % self.limits.log_every == 0 or self.done == 1:
            self.run.log({"step": self.done, "seconds": round(self._seconds(), 1), **losses})
        self.on_step(self.done, progress, losses)

    def _score_if_due(self) -> None:
        if self.scored < self.done and self.done % self.limits.score_every == 0:
            self._score()

    def _score(self) -> None:
        """Score and keep it; a signal meanwhile leaves nothing of it, so that it is done again."""
        scores = self.trainee.score()
        with _whole():
            self.scored = self.done
            if scores:
                self._keep(scores)

    def _keep(self, scores: Mapping[str, float]) -> None:
        self.run.log({"step": self.done, "seconds": round(self._seconds(), 1), "score": dict(scores)})
        for name, picture in self.trainee.samples().items():
            self.run.save_sample(name, picture)
        first = next(iter(scores.values()))
        self.worse += 1
        if first > self.best:
            self.best, self.worse = first, 0
            self.run.save_checkpoint(BEST, self._state())
            self.run.save_model(*self.trainee.model())

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "scored": self.scored,
            "seconds": self._seconds(),
            "best": self.best,
            "worse": self.worse,
            "trainee": self.trainee.state(),
        }

    def _save(self) -> None:
        self.run.save_checkpoint(LAST, self._state())
        if self.best == -math.inf:
            self.run.save_model(*self.trainee.model())
        self.run.save_report(run_report(self.run))
        self.saved = time.monotonic()


@contextmanager
def _whole() -> Iterator[None]:
    """Let a signal wait until the block is done: half a step could not be gone on from."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    handlers = {int(each): signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def wait(number: int, frame: FrameType | None) -> None:
        waiting.append((number, frame))
        signal.signal(number, handlers[number])  # a second one waits for nothing

    for number in handlers:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in waiting:
        if callable(handler := handlers[number]):
            handler(number, frame)
