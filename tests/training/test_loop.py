import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from imgtool.errors import DataError, Diverged, OutputError
from imgtool.imaging.picture import Picture
from imgtool.training.loop import Limits, fit
from imgtool.training.run_folder import BEST, LAST, MODEL, REPORT, RunFolder


class Toy:
    """A weight that is pulled to a target which depends on the step; scored by its distance to 3."""

    def __init__(self):
        self.weight = torch.zeros(2)
        self.velocity = torch.zeros(2)
        self.seen = []

    def step(self, number, progress):
        self.seen.append(number)
        target = torch.from_numpy(np.random.default_rng((7, number)).normal(3, 1, 2)).float()
        self.velocity = 0.9 * self.velocity + 0.1 * (target - self.weight)
        self.weight = self.weight + 0.1 * self.velocity
        return {"loss": float((target - self.weight).square().mean())}

    def state(self):
        return {"weight": self.weight, "velocity": self.velocity}

    def load_state(self, state):
        self.weight, self.velocity = state["weight"], state["velocity"]

    def score(self):
        return {"closeness": -float((self.weight - 3).abs().max())}

    def samples(self):
        return {"picture": Picture.gray(np.zeros((4, 5), np.uint8))}

    def model(self):
        return {"weight": self.weight}, {"network": "toy"}


def ignore(step, progress, losses):
    pass


@pytest.fixture
def run(tmp_path):
    return RunFolder.new(tmp_path / "run", {"command": "toy", "options": {"rate": 0.1}})


def test_leaves_a_folder_that_explains_itself(run):
    result = fit(Toy(), Limits(steps=50, score_every=20), run=run, on_step=ignore)
    assert (result.steps, result.interrupted) == (50, None)
    for name in ("options.json", "log.jsonl", LAST, BEST, MODEL, REPORT, "samples/picture.png"):
        assert (run.path / name).is_file(), name
    history = run.history()
    assert [line["step"] for line in history if "score" in line] == [20, 40, 50]
    assert [line["step"] for line in history if "loss" in line] == [1, 20, 40]
    page = (run.path / REPORT).read_text()
    assert "50 steps" in page
    assert "options.rate" in page


def test_model_is_the_best_by_score(run):
    toy = Toy()
    scores = iter([1.0, 5.0, 2.0])
    toy.score = lambda: {"quality": next(scores)}
    result = fit(toy, Limits(steps=3, score_every=1), run=run, on_step=ignore)
    best = run.load_checkpoint(BEST)
    assert (result.best, best["step"], best["best"]) == (5.0, 2, 5.0)
    assert run.load_checkpoint(LAST)["step"] == 3


def interrupted_at(toy, number):
    """Make a toy send itself a Ctrl-C in the middle of a step."""
    plain = toy.step

    def step(current, progress):
        if current == number:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(current, progress)

    toy.step = step
    return toy


def test_going_on_after_an_interrupt_is_the_same_to_the_bit(tmp_path, listening):
    limits = Limits(steps=40, score_every=15)
    whole, cut = (RunFolder.new(tmp_path / name, {}) for name in ("whole", "cut"))
    fit(Toy(), limits, run=whole, on_step=ignore)
    first = fit(interrupted_at(Toy(), 22), limits, run=cut, on_step=ignore)
    assert isinstance(first.interrupted, KeyboardInterrupt)
    assert first.steps == 23  # the step that was under way is done, not half done
    second = Toy()
    fit(second, limits, run=RunFolder.resumed(cut.path), on_step=ignore)
    assert second.seen == list(range(23, 40))
    assert (whole.path / MODEL).read_bytes() == (cut.path / MODEL).read_bytes()
    ours, theirs = whole.load_checkpoint(LAST)["trainee"], cut.load_checkpoint(LAST)["trainee"]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


TERMINATED = """
import os, signal
from imgtool.runtime.signals import undisturbed
with undisturbed():
    os.kill(os.getpid(), signal.SIGTERM)
    print("whole", flush=True)
print("further")
"""


def test_a_signal_that_nobody_listens_to_ends_the_process_after_the_step():
    ended = subprocess.run([sys.executable, "-c", TERMINATED], capture_output=True, text=True, check=False)
    # Without "whole" it was not held back; with "further" it was lost.
    assert (ended.stdout, ended.returncode) == ("whole\n", -signal.SIGTERM)


@pytest.mark.parametrize("number", [1, 2])
def test_a_score_that_was_stopped_is_done_when_the_run_goes_on(tmp_path, listening, number):
    """Ctrl-C while the first or the last one is made."""
    limits = Limits(steps=40, score_every=20)
    whole, cut = (RunFolder.new(tmp_path / name, {}) for name in ("whole", "cut"))
    fit(Toy(), limits, run=whole, on_step=ignore)
    toy, begun = Toy(), []

    def score():
        begun.append(1)
        if len(begun) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return Toy.score(toy)

    toy.score = score
    assert fit(toy, limits, run=cut, on_step=ignore).steps == 20 * number
    again = Toy()
    fit(again, limits, run=RunFolder.resumed(cut.path), on_step=ignore)
    assert again.seen == list(range(20 * number, 40))
    scores = [
        [(line["step"], line["score"]) for line in run.history() if "score" in line] for run in (whole, cut)
    ]
    assert scores[0] == scores[1]
    assert (whole.path / MODEL).read_bytes() == (cut.path / MODEL).read_bytes()


def test_log_forgets_steps_that_are_done_again(run):
    toy = Toy()
    counts = {"step": 20, "scored": 20, "worse": 0, "calmed": 0}
    run.save_checkpoint(LAST, {"trainee": toy.state(), "seconds": 5.0, "best": -math.inf, **counts})
    for step in (10, 20, 30):
        run.log({"step": step, "seconds": 1, "loss": 0.5})
    with (run.path / "log.jsonl").open("a") as file:
        file.write('{"step": 35, "lo')  # killed while writing
    result = fit(toy, Limits(steps=40), run=run, on_step=ignore)
    assert toy.seen[0] == 20
    assert [line["step"] for line in run.history() if "loss" in line] == [10, 20, 40]
    assert result.seconds >= 5


def test_time_ends_a_run(run):
    result = fit(Toy(), Limits(time=0.05), run=run, on_step=ignore)
    assert result.steps >= 1
    again = Toy()
    fit(again, Limits(time=0.05), run=run, on_step=ignore)
    assert again.seen == []


def test_loss_that_is_not_finite_keeps_the_last_checkpoint(run):
    toy = Toy()
    fit(toy, Limits(steps=10), run=run, on_step=ignore)
    toy.step = lambda number, progress: {"loss": math.nan}
    with pytest.raises(Diverged, match="loss became nan at step 11"):
        fit(toy, Limits(steps=20), run=run, on_step=ignore)
    assert run.load_checkpoint(LAST)["step"] == 10


def test_never_replaces_a_run(run, tmp_path):
    with pytest.raises(OutputError, match="holds a training run already"):
        RunFolder.new(run.path, {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(OutputError, match="is no training run"):
        RunFolder.new(tmp_path / "other", {})


def scored(*scores):
    """A toy with these scores, one after the other."""
    toy, left = Toy(), iter(scores)
    toy.score = lambda: {"quality": next(left)}
    return toy


def test_ends_when_nothing_becomes_better(run):
    toy = scored(1.0, 5.0, 4.0, 5.0, 3.0, 9.0)
    result = fit(toy, Limits(steps=50, score_every=2, patience=3), run=run, on_step=ignore)
    assert (result.steps, result.best) == (10, 5.0)  # as good is not better
    assert run.load_checkpoint(BEST)["step"] == 4
    assert run.load_checkpoint(LAST)["step"] == 10


def test_a_better_score_begins_the_count_anew(run):
    toy = scored(1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0)
    result = fit(toy, Limits(steps=50, score_every=1, patience=2), run=run, on_step=ignore)
    assert (result.steps, result.best) == (7, 3.0)


def test_without_patience_a_run_goes_on(run):
    toy = scored(*[1.0] * 20)
    assert fit(toy, Limits(steps=20, score_every=1), run=run, on_step=ignore).steps == 20


def test_scorings_without_a_better_one_are_counted_through_a_stop(run):
    limits = Limits(steps=50, score_every=1, patience=4)
    stopped = scored(2.0, 1.0, 1.0)
    plain = stopped.step

    def step(number, progress):
        if number == 3:
            raise KeyboardInterrupt
        return plain(number, progress)

    stopped.step = step
    fit(stopped, limits, run=run, on_step=ignore)
    assert run.load_checkpoint(LAST)["worse"] == 2
    assert fit(scored(1.0, 1.0, 9.0), limits, run=run, on_step=ignore).steps == 5


def test_a_score_that_is_no_number_is_not_better(run):
    toy = scored(math.nan, math.nan, 1.0)
    result = fit(toy, Limits(steps=9, score_every=1, patience=2), run=run, on_step=ignore)
    assert (result.steps, result.best) == (2, None)
    assert (run.path / MODEL).is_file()


class Wild(Toy):
    """Goes astray at a step, unless it was calmed often enough."""

    def __init__(self, step=5, cure=2):
        super().__init__()
        self.rate, self.wild, self.cure = 1.0, step, cure

    def step(self, number, progress):
        found = super().step(number, progress)
        astray = number == self.wild and self.rate > 0.5**self.cure
        return {"loss": math.nan if astray else torch.tensor(found["loss"])}

    def calm(self, factor):
        self.rate *= factor

    def state(self):
        return {**super().state(), "rate": self.rate}

    def load_state(self, state):
        super().load_state(state)
        self.rate = state["rate"]


def test_goes_back_and_on_with_smaller_steps(run):
    toy, words = Wild(), []
    result = fit(toy, Limits(steps=10, log_every=1), run=run, on_step=ignore, on_word=words.append)
    assert result.steps == 10 and toy.rate == 0.25
    assert len(words) == 2 and "loss became nan at step 6: back to step 0" in words[0]
    assert toy.seen == [*range(6), *range(6), *range(10)]
    assert run.load_checkpoint(LAST)["calmed"] == 2
    assert [line["step"] for line in run.history() if "loss" in line] == list(range(1, 11))
    assert "back to step 0" in (run.path / REPORT).read_text()


def test_goes_back_three_times_at_most(run):
    with pytest.raises(Diverged, match="made smaller 3 times"):
        fit(Wild(cure=9), Limits(steps=10), run=run, on_step=ignore)
    assert run.load_checkpoint(LAST)["step"] == 0


def test_words_of_a_watch_are_told_and_kept(run):
    words = []
    fit(
        Toy(),
        Limits(steps=6, score_every=3),
        run=run,
        on_step=ignore,
        watch=lambda told: "alike" if "closeness" in told else "",
        on_word=words.append,
    )
    assert words == ["alike", "alike"]
    assert [line["step"] for line in run.history() if "word" in line] == [3, 6]


def test_samples_at_their_own_pace(run):
    toy, drawn = Toy(), []
    toy.samples = lambda: drawn.append(len(toy.seen)) or {}
    fit(toy, Limits(steps=8, score_every=5, sample_every=4), run=run, on_step=ignore)
    assert drawn == [4, 8]


def test_time_before_a_step_back_counts_once(run, monkeypatch):
    toy = Wild(step=40, cure=1)
    seconds = iter(range(10_000))
    monkeypatch.setattr("imgtool.training.loop.time.monotonic", lambda: float(next(seconds)))
    result = fit(toy, Limits(steps=45, save_seconds=60), run=run, on_step=ignore)
    assert result.seconds <= next(seconds)


def test_weights_that_are_not_finite_are_never_saved(run):
    toy = Wild(cure=0)
    toy.model = lambda: (
        {"weight": torch.full((2,), math.inf) if toy.rate == 1 and len(toy.seen) > 4 else toy.weight},
        {},
    )
    fit(toy, Limits(steps=10, save_seconds=0), run=run, on_step=ignore)
    assert toy.rate == 0.5 and run.load_checkpoint(LAST)["calmed"] == 1


def test_last_step_is_looked_at(run):
    toy = Wild(step=9, cure=1)
    assert fit(toy, Limits(steps=10), run=run, on_step=ignore).steps == 10
    assert toy.rate == 0.5


def test_last_samples_are_drawn(run):
    toy, drawn = Toy(), []
    toy.samples = lambda: drawn.append(len(toy.seen)) or {}
    fit(toy, Limits(steps=6, sample_every=4), run=run, on_step=ignore)
    assert drawn == [4, 6]


@pytest.mark.parametrize(
    "damage",
    [{"step": "three"}, {"step": -1}, {"seconds": None}, {"scored": 1.5}, {"trainee": 5}, {"trainee": {}}],
)
def test_a_state_that_is_none_is_told(run, damage):
    fit(Toy(), Limits(steps=3), run=run, on_step=ignore)
    run.save_checkpoint(LAST, {**run.load_checkpoint(LAST), **damage})
    with pytest.raises(DataError, match="is not of this run"):
        fit(Toy(), Limits(steps=6), run=run, on_step=ignore)
