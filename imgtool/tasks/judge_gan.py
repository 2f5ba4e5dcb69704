"""How near the pictures of a generator are to real ones, if there are enough those that it was not trained on."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtool.metrics.images import Moments, frechet_distance, neighbourhood, spread
from imgtool.nn.gan import Generator
from imgtool.tasks.picture_features import FeatureSpace
from imgtool.tasks.sample_gan import in_batches, latents

JUDGED = 2000  # pictures at most: enough to see progress, few enough to be looked at often
COMPARED = 1000  # of them, for neighbours
SEED = 1 << 40  # far from those that users take
BATCHES = (100, 25, 5, 1)  # samples at once, as memory allows


class GanJudge:
    """Fréchet distance, precision, recall, coverage and spread in a feature space.

    Args:
        real: (N, S, S, C) pictures, best such as the generator is not trained on.
        others: some more, for the floor: how far apart real sets are; None if there are no others.
        labels: (N,) classes of the real ones, which samples get too.
        space: where pictures are compared.
        classes: how many the generator knows.
    """

    def __init__(
        self,
        real: NDArray[np.uint8],
        others: NDArray[np.uint8] | None,
        labels: NDArray[np.int64],
        space: FeatureSpace,
        *,
        classes: int = 0,
    ) -> None:
        self.space, self.classes = space, classes
        self.labels = labels[:JUDGED]
        self.real = space(real[:JUDGED])
        self.moments = Moments.of(self.real)
        apart = self.real if others is None else space(others[: len(self.real)])
        self.floor = frechet_distance(self.moments, Moments.of(apart))
        self.real_spread = spread(self.real)

    def __call__(self, generator: Generator) -> Mapping[str, float]:
        """Scores; the first is the distance, negative so that more is better."""
        fake = self.features(generator)
        around = neighbourhood(self.real[:COMPARED], fake[:COMPARED])
        return {
            "-distance": -frechet_distance(self.moments, Moments.of(fake)),
            "precision": around.precision,
            "recall": around.recall,
            "coverage": around.coverage,
            "spread": spread(fake) / max(self.real_spread, 1e-9),
        }

    def features(self, generator: Generator) -> NDArray[np.float32]:
        """Of as many samples as there are real pictures."""

        place, count = next(generator.parameters()).device, len(self.real)

        @torch.inference_mode()
        def seen(part: slice) -> Tensor:
            z = latents(SEED, range(count)[part], generator.shape.latent).to(place)
            labels = torch.from_numpy(self.labels[part]).to(place) if self.classes else None
            images = generator(z, labels).float()
            return self.space.of_images((images * 255).round() / 255)  # as they would be saved: in levels

        return in_batches(seen, count, BATCHES).numpy()
