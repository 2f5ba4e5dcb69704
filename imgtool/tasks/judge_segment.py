"""How good a U-Net is while it is trained, and which threshold and statistics suit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.mask_pairs import numbered
from imgtool.imaging.overlay import overlay
from imgtool.imaging.picture import Picture
from imgtool.imaging.raster import raster_of
from imgtool.metrics.masks import BORDER_THRESHOLDS, average_precision, best_borders, border_table, dice
from imgtool.nn.unet import UNet
from imgtool.options.segment import SegmentOptions
from imgtool.runtime.device import Device
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import Probabilities, Segmenter, foreground, probabilities
from imgtool.tasks.segment_examples import Example, Examples

JUDGED = 40  # pictures: enough to choose by, few enough to be looked at often
SHOWN = 4  # of them, as samples: the worst
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
OBJECT_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TILE = 512  # pixels of a tile's side

# The scores of one picture at each threshold: those of its borders, or by the metric of the run and by Dice.
Table = Sequence[Any]


@dataclass(frozen=True)
class Judgement:
    """How good a network is on held-out pictures.

    Attributes:
        score: by the metric of the run.
        threshold: at which it is that good.
        probes: whether with each picture's own statistics.
        details: further scores by name.
    """

    score: float
    threshold: float
    probes: bool
    details: Mapping[str, float]


class SegmentJudge:
    """Scores a network on pictures that it is not trained on, with either statistics, and keeps the better choice.

    Args:
        examples: the pictures to choose from; some, evenly spaced, are judged.
        metric: "dice", "v-rand" or "ap".
        device: where the network runs.
    """

    def __init__(self, examples: Examples, metric: str, device: Device) -> None:
        chosen = np.linspace(0, len(examples) - 1, min(JUDGED, len(examples))).round().astype(int)
        self.examples, self.chosen, self.metric, self.device = examples, list(chosen), metric, device
        self.seen: list[NDArray[np.float16]] = []  # the foreground of each picture, to be looked at
        self.newest: Judgement | None = None

    def __call__(self, network: UNet) -> dict[str, float]:
        """The score by the metric first, then that of the other statistics, the threshold and more."""
        self.seen = []  # the old go before the new come
        found = []
        for probes in (False, True) if network.norm else (False,):
            segmenter = self.segmenter(network, probes=probes)
            tables, seen = [], []
            for index in self.chosen:
                raster = raster_of(self.examples[index].pixels)
                new = probabilities(raster, segmenter, tile=TILE)
                tables.append(self._table(new, self.examples[index]))
                seen.append(foreground(new).astype(np.float16))
            found.append((self._judged(tables, probes), seen))
        self.newest, self.seen = max(found, key=lambda pair: pair[0].score)
        scores = {self.metric: self.newest.score, "threshold": self.newest.threshold, **self.newest.details}
        if len(found) > 1:
            scores |= {"running": found[0][0].score, "probes": found[1][0].score}
        return scores

    def segmenter(self, network: UNet, *, probes: bool) -> Segmenter:
        """The network as `segment` uses it."""
        coding = self.examples.coding
        return Segmenter(network, self.device.dtype, coding.names, objects=coding.of_objects, probes=probes)

    def _table(self, seen: Probabilities, truth: Example) -> Table:
        """The scores of one picture at each threshold, so that its probabilities can go."""
        front = foreground(seen)
        if self.metric == "v-rand":
            return border_table(front, truth.objects, BORDER_THRESHOLDS)
        scores = [dice(front >= threshold, truth.classes > 0) for threshold in self._thresholds()]
        if self.metric == "dice":
            return [(score, score) for score in scores]
        objects, real = self.examples.coding.of_objects, numbered(truth.objects)
        return [
            (
                average_precision(
                    instances_of(seen, threshold, objects=objects, min_area=SegmentOptions.min_area), real
                ),
                score,
            )
            for threshold, score in zip(self._thresholds(), scores, strict=True)
        ]

    def _thresholds(self) -> tuple[float, ...]:
        return OBJECT_THRESHOLDS if self.metric == "ap" else THRESHOLDS

    def _judged(self, tables: Sequence[Table], probes: bool) -> Judgement:
        if self.metric == "v-rand":
            scores = best_borders(tables, BORDER_THRESHOLDS)
            details = {"v-info": scores.info, "v-rand at 0.5": scores.rand_at_half}
            # V-Rand jumps where two large cells merge; over a few pictures V-Info tells the better threshold.
            return Judgement(scores.rand, scores.info_threshold, probes, details)
        thresholds = self._thresholds()
        means = [
            [np.mean(scores) for scores in zip(*(table[at] for table in tables), strict=True)]
            for at in range(len(thresholds))
        ]
        best = int(np.argmax([mean[0] for mean in means]))
        details = {} if self.metric == "dice" else {"dice": float(means[best][1])}
        return Judgement(float(means[best][0]), thresholds[best], probes, details)

    def samples(self) -> dict[str, Picture]:
        """The worst of the pictures: beside each the probability, and where it is wrong in red."""
        if self.newest is None:
            return {}
        truths = [self.examples[index] for index in self.chosen]
        wrong = [
            (each >= self.newest.threshold) != (truth.classes > 0)
            for each, truth in zip(self.seen, truths, strict=True)
        ]
        order = sorted(range(len(wrong)), key=lambda at: -float(wrong[at].mean()))[:SHOWN]
        found = {}
        for place, at in enumerate(order, start=1):
            photo = truths[at].scale.viewable(truths[at].pixels)
            gray = Picture.gray(np.rint(self.seen[at].astype(np.float32) * 255).astype(np.uint8)).pixels
            marked = overlay(photo, wrong[at].astype(np.float32))
            found[f"worst-{place}"] = Picture(np.hstack([photo, gray, marked]))
        return found
