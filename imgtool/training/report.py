"""What a run has come to, as a page: options, curves, scores, samples."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtool.imaging.report import Block, Heading, Paragraph, Pictures, Plot, Table, html_page
from imgtool.training.run_folder import RunFolder

NOT_CURVES = ("step", "seconds", "score", "rate")
SHOWN = 40  # samples on the page
LARGE = 2  # a score beyond this is no share
SMOOTH = 100  # points of a curve of losses, each the mean of a stretch


def run_report(run: RunFolder) -> str:
    """The page of a run, as far as it has come."""
    history = run.history()
    losses = [line for line in history if "score" not in line and "word" not in line]
    scores = [line for line in history if "score" in line]
    blocks: list[Block] = [Paragraph(_summary(history, scores))]
    blocks += [Paragraph(f"Step {line['step']}: {line['word']}") for line in history if "word" in line]
    if losses:
        curves = {name: _means(losses, name) for name in losses[-1] if name not in NOT_CURVES}
        blocks += [Heading("Losses"), Plot(curves, "step", "loss", log_y=True)]
    if scores:
        names = list(scores[-1]["score"])
        blocks += [Heading("Scores"), *_score_plots(scores, names)]
        rows = [[line["step"], *(line["score"].get(name) for name in names)] for line in scores]
        blocks.append(Table(["step", *names], rows))
    if samples := _some(run.samples()):
        blocks += [Heading("Samples"), Pictures([(path.stem, path.read_bytes()) for path in samples])]
    blocks += [Heading("Options"), Table(["option", "value"], _flat(run.options))]
    return html_page(f"{run.options.get('command', 'training')}: {run.path.name}", blocks)


def _some(samples: Sequence[Path]) -> list[Path]:
    """At most as many as a page can hold, evenly from the first to the last."""
    last, count = len(samples) - 1, min(SHOWN, len(samples))
    return [samples[round(index * last / max(1, count - 1))] for index in range(count)]


def _summary(history: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]) -> str:
    if not history:
        return "Nothing was logged yet."
    last = history[-1]
    words = f"{last['step']} steps in {last['seconds'] / 60:.1f} minutes."
    if scores:
        name = next(iter(scores[-1]["score"]))
        best = max(scores, key=lambda line: float(line["score"][name]))
        words += f" Best {name} {best['score'][name]:.4f} at step {best['step']}."
    return words


def _means(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """(step, mean of a loss) over stretches of the log."""
    known = [(line["step"], line[name]) for line in lines if name in line]
    width = max(1, len(known) // SMOOTH)
    stretches = [known[start : start + width] for start in range(0, len(known), width)]
    return [(each[-1][0], sum(value for _, value in each) / len(each)) for each in stretches]


def _score_plots(scores: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Plot]:
    """Curves of scores: shares in one plot, and in another what is so large that it would flatten them."""
    curves = {name: [(line["step"], line["score"].get(name, math.nan)) for line in scores] for name in names}
    large = {name: curve for name, curve in curves.items() if any(abs(value) > LARGE for _, value in curve)}
    small = {name: curve for name, curve in curves.items() if name not in large}
    return [Plot(each, "step", "score") for each in (large, small) if each]


def _flat(options: Mapping[str, Any], prefix: str = "") -> list[list[object]]:
    """Options and those inside them as rows."""
    rows: list[list[object]] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append([prefix + name, _told(value)])
    return rows


def _told(value: object) -> str:
    """A value of an option; null, such as the steps of a run that ends by its time, is none."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
