"""The loop that all training has in common: steps, log, score, checkpoints, and going on where it stopped."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from imgtool.errors import DataError, Diverged
from imgtool.files import first_line, printable
from imgtool.imaging.picture import Picture
from imgtool.runtime.ranks import ALONE, Ranks
from imgtool.runtime.signals import undisturbed
from imgtool.training.report import run_report
from imgtool.training.run_folder import BEST, LAST, RunFolder

CALMED_AT_MOST = 3  # times that a run goes back and on with smaller steps
CALMER = 0.5  # times the step that led astray

# What a step tells: numbers, or tensors of one element, which are not waited for until somebody looks.
Told = Mapping[str, float | Tensor]


class Trainee(Protocol):
    """What is trained. Everything that changes from step to step is in its state."""

    def step(self, number: int, progress: float) -> Told:
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


@runtime_checkable
class Calmable(Protocol):
    """A trainee that can go on with smaller steps where it went astray; it remembers them in its state."""

    def calm(self, factor: float) -> None:
        """Make steps smaller by a factor."""


@dataclass(frozen=True)
class Limits:
    """When a run ends, and how often it speaks.

    Attributes:
        steps: in all; None leaves `time` in charge.
        time: seconds in all, those before a resume included.
        log_every: steps.
        score_every: steps; the end is always scored.
        sample_every: steps between two drawings of samples; None for each scoring.
        save_seconds: between two checkpoints.
        patience: scorings without a better one, after which the run ends; None for no such end.
    """

    steps: int | None = None
    time: float | None = None
    log_every: int = 20
    score_every: int = 1000
    sample_every: int | None = None
    save_seconds: float = 60.0
    patience: int | None = None


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        steps: done in all.
        seconds: spent in all.
        best: the best score; None if there was no scoring.
        before: steps that had been done when it began.
        in_vain: whether it ended before its limits, as the score did not become better.
        interrupted: the Ctrl-C or signal that ended it early, to be raised again when all is saved.
    """

    steps: int
    seconds: float
    best: float | None
    before: int = 0
    in_vain: bool = False
    interrupted: KeyboardInterrupt | None = None


# Told the number of steps done, the progress in [0, 1] and the newest losses.
OnStep = Callable[[int, float, Mapping[str, float]], None]
# Told newest losses, or scores, and says what is worth a word about them; "" for nothing.
Watch = Callable[[Mapping[str, float]], str]
# Told a word about how it goes.
OnWord = Callable[[str], None]


def fit(
    trainee: Trainee,
    limits: Limits,
    *,
    run: RunFolder,
    on_step: OnStep,
    watch: Watch = lambda told: "",
    on_word: OnWord = lambda word: None,
    ranks: Ranks = ALONE,
) -> FitResult:
    """Train until the limits are reached, from the run's last checkpoint if there is one.

    A trainee that can be calmed goes back to the last checkpoint when its numbers stop being finite, and on with
    smaller steps, up to three times.

    Args:
        trainee: what is trained.
        limits: when to end.
        run: where it is kept; on all ranks but the first a folder that is read only.
        on_step: told about steps.
        watch: looks at losses and scores for signs of trouble.
        on_word: told what it says.
        ranks: that train together; the first decides when to end.
    Raises:
        Diverged: a loss became NaN or infinite; the last checkpoint is from before.
    """
    return _Fit(trainee, limits, run, on_step, watch, on_word, ranks)()


class _Fit:
    def __init__(
        self,
        trainee: Trainee,
        limits: Limits,
        run: RunFolder,
        on_step: OnStep,
        watch: Watch,
        on_word: OnWord,
        ranks: Ranks,
    ) -> None:
        self.trainee, self.limits, self.run, self.ranks = trainee, limits, run, ranks
        self.on_step, self.watch, self.on_word = on_step, watch, on_word
        self.done, self.before, self.best, self.worse = 0, 0.0, -math.inf, 0
        self.scored = 0  # the step of the last score
        self.calmed = 0  # times that it went back
        self.told: Told = {}  # of the newest step
        self.looked = True  # at it
        self.over = False  # the end is reached, on all ranks
        saved = self._restore()
        self.saved = self.began
        if not saved and isinstance(trainee, Calmable):
            self._save()  # something to go back to

    def __call__(self) -> FitResult:
        interrupted, before = None, self.done
        try:
            self._score_if_due()  # when the run was stopped while it was scored
            # After the last step one more look, which may send the run back and so on with steps.
            while self._stepped() or not self._sound(last=True):
                if not self._sound():
                    continue
                self._score_if_due()
                if self._due(self.limits.sample_every):
                    self._draw()
                if self.looked and time.monotonic() - self.saved > self.limits.save_seconds:
                    self._save()
            if self.scored < self.done:
                self._score()
            if self.limits.sample_every and not self._due(self.limits.sample_every):
                self._draw()
        except KeyboardInterrupt as stop:
            interrupted = stop
            if not self.over:
                self.ranks.told(1.0)  # which ends the others
        if self.looked or all(map(math.isfinite, _numbers(self.told).values())):
            self._save(last=True)
        best = None if self.best == -math.inf else self.best
        in_vain = not interrupted and self._in_vain()
        return FitResult(self.done, self._seconds(), best, before, in_vain, interrupted)

    def _restore(self) -> bool:
        """Go on from the last checkpoint, if there is one, and from its time."""
        self.began = time.monotonic()
        if saved := self.run.load_checkpoint(LAST):
            try:
                self.trainee.load_state(saved["trainee"])
                self.done, self.scored, self.worse, self.calmed = (
                    _count(saved[name]) for name in ("step", "scored", "worse", "calmed")
                )
                self.before, self.best = float(saved["seconds"]), float(saved["best"])
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                raise DataError(
                    f"{printable(self.run.path / LAST)} is not of this run: {first_line(error)}"
                ) from error
        self.run.forget_after(self.done)
        return saved is not None

    def _stepped(self) -> bool:
        """Do a step, unless the end is reached; whether it was done."""
        with undisturbed():
            progress = self.ranks.told(1.0 if self._in_vain() else self._progress())
            self.over = progress >= 1
            if self.over:
                return False
            self.told, self.looked = self.trainee.step(self.done, progress), False
            self.done += 1
        return True

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

    def _due(self, every: int | None) -> bool:
        return every is not None and self.done % every == 0

    def _sound(self, *, last: bool = False) -> bool:
        """Look at what the step told, where that is due; False where a NaN sent the run back.

        Numbers that are on an accelerator are looked at now and then, as looking waits for all that is under way.
        """
        limits, logged = self.limits, self._due(self.limits.log_every) or self.done == 1
        there = any(isinstance(value, Tensor) and value.device.type != "cpu" for value in self.told.values())
        due = logged or last or self._due(limits.score_every) or self._due(limits.sample_every)
        if self.looked or (there and not due):
            return True
        self.looked = True
        losses = _numbers(self.told)
        if wrong := next((name for name, value in losses.items() if not math.isfinite(value)), None):
            self._go_back(f"{wrong} became {losses[wrong]} at step {self.done}")
            return False
        if logged:
            self.run.log({"step": self.done, "seconds": round(self._seconds(), 1), **losses})
        self._say(self.watch(losses))
        self.on_step(self.done, self._progress(), losses)
        return True

    def _go_back(self, why: str) -> None:
        """To the last checkpoint, and on with smaller steps.

        Raises:
            Diverged: it cannot be calmed, or was so often enough.
        """
        if not isinstance(self.trainee, Calmable) or self.calmed >= CALMED_AT_MOST:
            again = f" though steps were made smaller {self.calmed} times" if self.calmed else ""
            raise Diverged(
                f"{why}{again}; the last checkpoint is from before",
                hint="a new run with a smaller --learning-rate",
            )
        with undisturbed():
            self._restore()
            self.told, self.looked = {}, True
            self.ranks.wait()  # all have read it before the first writes it anew
            self.trainee.calm(CALMER)
            self.calmed += 1
        self._say(f"{why}: back to step {self.done}, and on with steps {CALMER:g} times as large")
        self._save()

    def _say(self, word: str) -> None:
        if word:
            self.run.log({"step": self.done, "seconds": round(self._seconds(), 1), "word": word})
            self.on_word(word)

    def _score_if_due(self) -> None:
        if self.scored < self.done and self._due(self.limits.score_every):
            self._score()

    def _score(self) -> None:
        """Score and keep it; a signal meanwhile leaves nothing of it, so that it is done again."""
        scores = self.trainee.score() if self.ranks.first else {}
        with undisturbed():
            self.scored = self.done
            if scores:
                self._keep(scores)

    def _keep(self, scores: Mapping[str, float]) -> None:
        self.run.log({"step": self.done, "seconds": round(self._seconds(), 1), "score": dict(scores)})
        self._say(self.watch(scores))
        if self.limits.sample_every is None:
            self._draw()
        first = next(iter(scores.values()))
        self.worse += 1
        if first > self.best:
            self.best, self.worse = first, 0
            self.run.save_checkpoint(BEST, self._state())
            self.run.save_model(*self.trainee.model())

    def _draw(self) -> None:
        if self.ranks.first:
            for name, picture in self.trainee.samples().items():
                self.run.save_sample(name, picture)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "scored": self.scored,
            "seconds": self._seconds(),
            "best": self.best,
            "worse": self.worse,
            "calmed": self.calmed,
            "trainee": self.trainee.state(),
        }

    def _save(self, *, last: bool = False) -> None:
        """Write the checkpoint, unless weights are no longer finite: then go back to the one before.

        Raises:
            Diverged: they are not, and there is no going back, or no going on after it.
        """
        self.saved = time.monotonic()
        if not self.ranks.first:
            return
        tensors, about = self.trainee.model()
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            why = f"weights were no longer finite at step {self.done}"
            if last or self.ranks.count > 1:
                raise Diverged(f"{why}; the last checkpoint is from before", hint="a smaller --learning-rate")
            self._go_back(why)
            return
        self.run.save_checkpoint(LAST, self._state())
        if self.best == -math.inf:
            self.run.save_model(tensors, about)
        self.run.save_report(run_report(self.run))
        self.saved = time.monotonic()


def _numbers(told: Told) -> dict[str, float]:
    """What a step told as numbers, in one look at the device."""
    tensors = {name: value.detach().float() for name, value in told.items() if isinstance(value, Tensor)}
    looked = dict(zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True)) if tensors else {}
    return {name: looked[name] if name in looked else float(value) for name, value in told.items()}


def _count(value: object) -> int:
    """A number of steps, as a checkpoint tells it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of steps")
    return value
