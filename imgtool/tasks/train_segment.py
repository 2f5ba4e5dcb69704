"""One step of U-Net training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from imgtool.data.augment import cut, elastic, random_placement, sampled, sampling_grid
from imgtool.data.order import seen_in
from imgtool.imaging.picture import Picture
from imgtool.losses.masks import weighted_cross_entropy
from imgtool.nn.unet import UNet
from imgtool.options.segment import TrainSegmentOptions
from imgtool.runtime.checkpoints import described
from imgtool.runtime.device import Device
from imgtool.tasks.judge_segment import SegmentJudge
from imgtool.tasks.segment_examples import Example, Examples
from imgtool.training.average import Averaged, MovingAverage, decayed
from imgtool.training.schedules import warm_cosine


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
        self.network = device.placed(network).train()
        self.class_weights = torch.from_numpy(examples.class_weights()).to(device.torch)
        self.optimizer = self._optimizer()
        self.average = MovingAverage(self.network, options.average)

    def _optimizer(self) -> torch.optim.Optimizer:
        groups = decayed(self.network.parameters(), self.options.weight_decay)
        if self.options.optimizer == "sgd":
            return torch.optim.SGD(groups, momentum=self.options.momentum)
        return torch.optim.AdamW(groups)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch, one step; which crops are in it depends on the seed and the number alone."""
        rate = self.options.learning_rate * warm_cosine(progress)
        image, classes, borders = self.batch(number)
        with self.device.autocast():
            logits = self.network(image)
        loss = weighted_cross_entropy(logits, classes, self.class_weights[classes] + borders)
        self.descend(loss, rate, number)
        return {"loss": float(loss.detach()), "rate": rate}

    def batch(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """The crops of one step: images (N, C, S + halo, S + halo), classes and border weights (N, S, S)."""
        seen = seen_in(number, self.options.batch, len(self.examples), seed=self.options.seed)
        crops = [self._crop(self.examples[index], random) for index, random in seen]
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
        return {} if self.judge is None else self.judge(self.average.network)

    def samples(self) -> Mapping[str, Picture]:
        """What the judge saw last."""
        return {} if self.judge is None else self.judge.samples()

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged weights in halves, and what `segment` must know."""
        judged = self.judge.newest if self.judge else None
        probes = judged.probes if judged else False
        network = self.average.network if probes else self.average.network.folded()
        coding = self.examples.coding
        about = {
            "classes": list(coding.names),
            "objects": coding.of_objects,
            "threshold": judged.threshold if judged else 0.5,
            "probes": probes,
        }
        return described(network, "unet", segment=about)


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
