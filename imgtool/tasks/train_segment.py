"""One step of U-Net training, and how it is scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtool.data.augment import cut, elastic, random_placement, sampled, sampling_grid
from imgtool.data.kept import Kept
from imgtool.data.mask_pairs import Coding, MaskPair, PairContents, numbered
from imgtool.imaging.overlay import overlay
from imgtool.imaging.picture import Picture
from imgtool.imaging.raster import raster_of
from imgtool.losses.masks import border_weights, weighted_cross_entropy
from imgtool.metrics.masks import THRESHOLDS as BORDER_THRESHOLDS
from imgtool.metrics.masks import average_precision, best_borders, border_table, dice
from imgtool.nn.unet import UNet
from imgtool.options import SegmentOptions, TrainSegmentOptions
from imgtool.runtime.checkpoints import packed
from imgtool.runtime.device import Device
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import (
    Probabilities,
    Scale,
    Segmenter,
    foreground,
    probabilities,
    scale_of,
)
from imgtool.training.average import Averaged, MovingAverage
from imgtool.training.schedules import warm_cosine

KEPT_BYTES = 2 << 30  # of pairs that stay in memory with their weight maps
JUDGED = 40  # pictures: enough to choose by, few enough to be looked at often
SHOWN = 4  # of them, as samples: the worst
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
OBJECT_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
VIEW_TILE = 512


# The scores of one picture at each threshold: those of its borders, or by the metric of the run and by Dice.
Table = Sequence[Any]


@dataclass(frozen=True, eq=False)
class Example:
    """A pair as it is trained on.

    Attributes:
        pixels: (H, W, C) as the file has them.
        scale: by which they are reduced.
        classes: (H, W) uint8.
        borders: (H, W) float16, the weights that keep gaps open.
        objects: (H, W) int32, what these are between.
    """

    pixels: NDArray[Any]
    scale: Scale
    classes: NDArray[np.uint8]
    borders: NDArray[np.float16]
    objects: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(each.nbytes for each in (self.pixels, self.classes, self.borders, self.objects))


class Examples:
    """Pairs, made ready when they are first asked for.

    Args:
        pairs: of images and masks.
        coding: of the masks.
        options: see `TrainSegmentOptions`.
        channels: of the network; images are seen with so many.
        contents: what `check_pairs` found in these pairs, so that their masks need not be read to be counted.
        beside: others of the same kind, to share the memory with.
    """

    def __init__(
        self,
        pairs: Sequence[MaskPair],
        coding: Coding,
        options: TrainSegmentOptions,
        *,
        channels: int,
        contents: Mapping[MaskPair, PairContents] | None = None,
        beside: Examples | None = None,
    ) -> None:
        self.contents = contents or {}
        self.pairs, self.coding, self.options, self.channels = pairs, coding, options, channels
        self.kept: Kept[MaskPair, Example] = (
            beside.kept if beside else Kept(KEPT_BYTES, lambda made: made.nbytes)
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        pair = self.pairs[index]
        return self.kept.get(pair, lambda: self._make(pair))

    def _make(self, pair: MaskPair) -> Example:
        options = self.options
        raster = raster_of(pair.pixels()).with_channels(self.channels)
        pixels, values = raster.whole(), pair.values()
        objects = self.coding.objects(values)
        borders = border_weights(objects, height=options.border_weight, sigma=options.border_sigma)
        return Example(
            pixels,
            scale_of(raster),
            self.coding.classes(values),
            borders.astype(np.float16),
            objects,
        )

    def class_weights(self) -> NDArray[np.float32]:
        """w_c: what a pixel of each class weighs, of mean 1 over all pixels."""
        counts = np.zeros(len(self.coding.names))
        for pair in self.pairs:
            counts += self._counts(pair)
        shares = np.maximum(counts / counts.sum(), 1e-4)
        weights = shares**-self.options.balance
        scaled: NDArray[np.float32] = (weights / (weights * shares).sum()).astype(np.float32)
        return scaled

    def _counts(self, pair: MaskPair) -> NDArray[Any]:
        """Pixels of each class. Those of cores and rims are in no table of values."""
        known = self.contents.get(pair)
        if known is None or self.coding.of_objects:
            classes, weights = self.coding.classes(pair.values()).ravel(), None
        else:
            classes, weights = self.coding.classes(known.values), known.counts
        return np.bincount(classes, weights, minlength=len(self.coding.names))


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
                new = probabilities(raster, segmenter, tile=VIEW_TILE)
                tables.append(self._table(new, self.examples[index]))
                seen.append(foreground(new).astype(np.float16))
            found.append((self._judged(tables, probes), seen))
        self.newest, self.seen = max(found, key=lambda pair: pair[0].score)
        scores = {self.metric: self.newest.score, "threshold": self.newest.threshold, **self.newest.details}
        if len(found) > 1:
            scores |= {"running": found[0][0].score, "probes": found[1][0].score}
        return scores

    def segmenter(self, network: UNet, *, probes: bool, threshold: float = 0.5) -> Segmenter:
        """The network as `segment` uses it."""
        coding = self.examples.coding
        return Segmenter(network, self.device.dtype, coding.names, threshold, coding.of_objects, probes)

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


class SegmentTrainee(Averaged[UNet]):
    """A U-Net on its way: see `imgtool.training.loop.Trainee`.

    Args:
        examples: to train on.
        options: see `TrainSegmentOptions`.
        device: where it is trained; in bf16 features are halved by autocast, the weights stay fp32.
        judge: what scores it; None for none.
    """

    def __init__(
        self,
        examples: Examples,
        options: TrainSegmentOptions,
        *,
        device: Device,
        judge: SegmentJudge | None = None,
    ) -> None:
        self.examples, self.options, self.device, self.judge = examples, options, device, judge
        network = new_network(examples, options)
        self.network = network.to(device.torch, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.class_weights = torch.from_numpy(examples.class_weights()).to(device.torch)
        self.optimizer = self._optimizer()
        self.average = MovingAverage(self.network, options.average)

    def _optimizer(self) -> torch.optim.Optimizer:
        parameters = list(self.network.parameters())
        groups = [
            {
                "params": [each for each in parameters if each.dim() > 1],
                "weight_decay": self.options.weight_decay,
            },
            {"params": [each for each in parameters if each.dim() <= 1], "weight_decay": 0.0},
        ]
        if self.options.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.options.learning_rate, momentum=self.options.momentum)
        return torch.optim.AdamW(groups, lr=self.options.learning_rate)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch, one step; which crops are in it depends on the seed and the number alone."""
        rate = self.options.learning_rate * warm_cosine(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        image, classes, borders = self.batch(number)
        with torch.autocast(self.device.torch.type, self.device.dtype, self.device.dtype != torch.float32):
            logits = self.network(image)
        loss = weighted_cross_entropy(logits, classes, self.class_weights[classes] + borders)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update(self.network, number + 1)
        return {"loss": float(loss.detach()), "rate": rate}

    def batch(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """The crops of one step: images (N, C, S + halo, S + halo), classes and border weights (N, S, S)."""
        size, count = self.options.batch, len(self.examples)
        crops = []
        for index in range(number * size, (number + 1) * size):
            order = np.random.default_rng((self.options.seed, 0, index // count)).permutation(count)
            random = np.random.default_rng((self.options.seed, 1, index))
            crops.append(self._crop(self.examples[int(order[index % count])], random))
        images, classes, borders = (
            torch.cat(part).to(self.device.torch) for part in zip(*crops, strict=True)
        )
        return images, classes, borders

    def _crop(self, example: Example, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One crop of a pair, turned, bent and mirrored at the picture's border.

        Inference mirrors about the middle of the outermost pixel, crops about its outer edge: they have it twice.
        """
        options, network = self.options, self.network
        inner = network.output_side(options.crop)
        side = inner + 2 * network.halo
        height, width = example.classes.shape
        # The crop may reach over the border by its halo: `random_placement` sees the part that is scored.
        placement = random_placement(
            (height, width), inner, angles=options.angles, scales=options.crop_scales, random=random
        )
        bend = elastic(side, spacing=options.elastic_spacing, deviation=options.elastic, random=random)
        grid = sampling_grid(placement, (height, width), side, bend=bend)
        place, grid = cut(grid, (height, width))
        image = sampled(example.scale(example.pixels[place]), grid, mode="bilinear")
        middle = grid[:, network.halo : network.halo + inner, network.halo : network.halo + inner]
        classes = torch.from_numpy(example.classes[place]).float()[None, None]
        borders = torch.from_numpy(example.borders[place]).float()[None, None]
        return (
            recolored(image, options, random),
            sampled(classes, middle, mode="nearest")[:, 0].long(),
            sampled(borders, middle, mode="bilinear")[:, 0],
        )

    def score(self) -> Mapping[str, float]:
        """What the judge says of the averaged network."""
        return {} if self.judge is None else self.judge(self._averaged())

    def samples(self) -> Mapping[str, Picture]:
        """What the judge saw last."""
        return {} if self.judge is None else self.judge.samples()

    def _averaged(self) -> UNet:
        network = self.average.network
        assert isinstance(network, UNet)
        return network

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged weights in halves, and what `segment` must know."""
        judged = self.judge.newest if self.judge else None
        probes = judged.probes if judged else False
        network = self._averaged() if probes else self._averaged().folded()
        coding = self.examples.coding
        about = {
            "classes": list(coding.names),
            "objects": coding.of_objects,
            "threshold": judged.threshold if judged else 0.5,
            "probes": probes,
        }
        metadata = {"format": "pt", "network": "unet", "preprocessing": "none", "segment": json.dumps(about)}
        tensors = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
        return packed(tensors, "fp16"), metadata


def new_network(examples: Examples, options: TrainSegmentOptions) -> UNet:
    """A network with random weights (He et al. 2015, as the paper says) for these examples."""
    torch.manual_seed(options.seed)
    network = UNet(
        examples.channels,
        len(examples.coding.names),
        width=options.width,
        depth=options.depth,
        norm=options.norm,
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(network.head.weight, std=0.01)
    return network


def recolored(image: Tensor, options: TrainSegmentOptions, random: np.random.Generator) -> Tensor:
    """A crop (1, C, H, W) of mean 0 with other contrast and light in each channel, some noise, perhaps inverted."""
    channels = image.shape[1]
    contrast = random.normal(1, options.gray, (2, channels)).astype(np.float32)
    light = random.normal(0, options.gray, (2, channels)).astype(np.float32)
    # Half of the change is one for all channels
    gain, shift = ((each[0, :1] + each[1]) / 2 for each in (contrast, light))
    image = image * torch.from_numpy(gain).view(1, -1, 1, 1) + torch.from_numpy(shift).view(1, -1, 1, 1)
    noise = torch.from_numpy(random.standard_normal(image.shape, np.float32))
    image = image + noise * float(random.uniform(0, options.gray / 2))
    return -image if random.random() < options.invert else image
