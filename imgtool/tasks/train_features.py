"""One step of training a classifier, for the features that it tells classes by, and how good it is."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from imgtool.data.differentiable import changed
from imgtool.data.picture_batches import batch_of
from imgtool.data.picture_set import PictureSet
from imgtool.imaging.grid import grid
from imgtool.imaging.picture import Picture
from imgtool.nn.classifier import Classifier, ClassifierShape
from imgtool.options.features import TrainFeaturesOptions
from imgtool.runtime.checkpoints import described
from imgtool.runtime.device import Device
from imgtool.training.average import Averaged, MovingAverage
from imgtool.training.schedules import warm_cosine

DECAY = 0.995  # of the average
JUDGED_TOGETHER = 500
SHOWN = 64  # of those that are taken for another class
# The sum of the variances of all features of real pictures: with it a distance has the same scale in all spaces, 1
# for each thousandth of the pictures' spread, however large the weights of a training became.
SPREAD = 1000.0
MEASURED = 1000  # pictures, for their spread


class FeaturesTrainee(Averaged[Classifier]):
    """A classifier on its way: see `imgtool.training.loop.Trainee`.

    Args:
        train: pictures with their classes.
        held_out: others, which score it.
        options: see `TrainFeaturesOptions`.
        shape: of the network.
        device: where it is; in bf16 features are halved by autocast, weights stay fp32.
    """

    def __init__(
        self,
        train: PictureSet,
        held_out: PictureSet,
        options: TrainFeaturesOptions,
        *,
        shape: ClassifierShape,
        device: Device,
    ) -> None:
        self.train, self.held_out, self.options, self.device = train, held_out, options, device
        self.network = device.placed(Classifier(shape)).train()
        self.average = MovingAverage(self.network, DECAY)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=1e-2
        )

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One step on pictures that are shifted at random; its random numbers depend on its number."""
        options, place = self.options, self.device.torch
        seed = np.random.SeedSequence((options.seed, number)).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed) >> 1)  # of the drop-outs
        random = torch.Generator(place).manual_seed(int(seed) >> 1)
        images, labels = batch_of(self.train, number, options.batch, seed=options.seed)
        with self.device.autocast():
            logits = self.network(changed(images.to(place), ("shift",), random))
        loss = cross_entropy(logits, labels.to(place))
        self.descend(loss, options.learning_rate * warm_cosine(progress), number)
        return {"loss": float(loss.detach())}

    def score(self) -> Mapping[str, float]:
        """The share of the pictures held out that are told right."""
        return {"accuracy": float((self._told() == torch.from_numpy(self.held_out.labels)).float().mean())}

    @torch.inference_mode()
    def _told(self) -> Tensor:
        """(N,) the classes that the averaged network tells of what is held out."""
        return self._seen(self.average.network).argmax(dim=1)

    def _seen(self, see: Callable[[Tensor], Tensor], most: int | None = None) -> Tensor:
        """(N, D) what is seen of the first pictures that are held out."""
        pixels = torch.from_numpy(self.held_out.pixels[:most]).permute(0, 3, 1, 2)
        parts = torch.split(pixels, JUDGED_TOGETHER)
        return torch.cat([see(part.to(self.device.torch).float() / 255).float().cpu() for part in parts])

    def samples(self) -> Mapping[str, Picture]:
        """Pictures that are taken for another class."""
        wrong = torch.nonzero(self._told() != torch.from_numpy(self.held_out.labels)).flatten()[:SHOWN]
        return {"wrong": grid([self.held_out.pixels[int(index)] for index in wrong])} if len(wrong) else {}

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged classifier in halves."""
        about = {"shape": self.network.shape.as_dict(), "classes": list(self.train.classes)}
        network = deepcopy(self.average.network)
        if spread := self._spread():
            network.scale_features(math.sqrt(SPREAD / spread))
        return described(network, "classifier", classifier=about)

    @torch.inference_mode()
    def _spread(self) -> float:
        """The sum of the variances of features, of pictures held out."""
        return float(self._seen(self.average.network.features, MEASURED).var(dim=0, correction=0).sum())
