"""Judges of a stylisation: J, the objective of the default recipe, and SCORE, which no recipe optimises.

Both look at the picture that a user gets: 8 bits, clamped, evaluated in fp32.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from imgtool.imaging.io import read_picture
from imgtool.imaging.tensors import fit, resize, to_image
from imgtool.losses.gram import gram_matrix
from imgtool.nn.vgg import VGG
from imgtool.runtime.device import Device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.load import load_vgg

CPU = Device(torch.device("cpu"), torch.float32, "judges are fp32")
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYER = "conv4_2"
JUDGE_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")
GRID = 28


def load_pair(content: Path, style: Path, size: int) -> tuple[Tensor, Tensor]:
    """Two picture files as `stylize` sees them at `size`."""
    photo, painting = (to_image(read_picture(path).pixels) for path in (content, style))
    photo = resize(photo, fit(tuple(photo.shape[-2:]), size))
    return photo, resize(painting, fit(tuple(painting.shape[-2:]), max(photo.shape[-2:])))


def plain_gram(features: Tensor) -> Tensor:
    """Gram matrix per place as tutorials write it: (1, C, H, W) -> (C, C)."""
    rows = features.flatten(2)[0]
    return rows @ rows.T / rows.shape[1]


def eight_bits(image: Tensor) -> Tensor:
    """The picture as it is saved: clamped and rounded to 256 levels."""
    return (image.clamp(0, 1) * 255).round() / 255


class Objective:
    """J = 0.5 mse(relu4_2) + sum over style layers of 10 / C^2 mse(Gram), on VGG-19 of a 255-scaled input.

    Args:
        content, style: (1, 3, H, W) in [0, 1].
        plain: contiguous memory and a plain matrix product for the Gram, as in every tutorial.
    """

    def __init__(self, content: Tensor, style: Tensor, *, plain: bool = False) -> None:
        self.pair = content, style
        self.size = (content.shape[-2], content.shape[-1])
        self.gram = plain_gram if plain else gram_matrix
        self.vgg: VGG = load_vgg(find_weights("vgg19"), {*STYLE_LAYERS, CONTENT_LAYER}, CPU)
        if plain:
            self.vgg = self.vgg.to(memory_format=torch.contiguous_format)
            self.vgg.memory_format = torch.contiguous_format
        with torch.no_grad():
            self.content = self.vgg(content)[CONTENT_LAYER]
            features = self.vgg(style)
            self.grams = {layer: self.gram(features[layer]) for layer in STYLE_LAYERS}

    def loss(self, image: Tensor) -> Tensor:
        """J of an image as it is, differentiable."""
        features = self.vgg(image)
        total = 0.5 * functional.mse_loss(features[CONTENT_LAYER], self.content)
        for layer, target in self.grams.items():
            total = total + 10 / target.shape[-1] ** 2 * functional.mse_loss(
                self.gram(features[layer]), target
            )
        return total

    @torch.no_grad()
    def __call__(self, image: Tensor) -> float:
        """J of the saved picture."""
        return float(self.loss(eight_bits(image)))


class Score:
    """SCORE = 100 x content kept x style gained, on VGG-16: 0 for the untouched photo and for a copied style.

    kept = 1 - d(out) / d(copy), d = 1 - correlation of the self-similarities of relu3_3 and relu4_3 on a 28 x 28
    grid; gained = (1 - f(out)) / (1 - f(copy)), f = mean over five layers of the Frechet distance of unit-length
    features to the style's, against the photo's.
    """

    def __init__(self, content: Tensor, style: Tensor) -> None:
        self.vgg: VGG = load_vgg(find_weights("vgg16"), JUDGE_LAYERS, CPU)
        copy = eight_bits(resize(style, (content.shape[-2], content.shape[-1])))
        with torch.no_grad():
            self.similarity = self._similarity(self.vgg(content))
            self.gaussians = self._gaussians(self.vgg(style))
            self.far = [
                _frechet(a, b)
                for a, b in zip(self._gaussians(self.vgg(content)), self.gaussians, strict=True)
            ]
        self.copy_distance, self.copy_style = self._measure(copy)

    def __call__(self, image: Tensor) -> tuple[float, float, float]:
        """(SCORE, kept, gained) of the saved picture."""
        distance, style = self._measure(eight_bits(image))
        kept = 1 - distance / self.copy_distance
        gained = (1 - style) / (1 - self.copy_style)
        return 100 * max(kept, 0) * max(gained, 0), kept, gained

    @torch.no_grad()
    def _measure(self, image: Tensor) -> tuple[float, float]:
        features = self.vgg(image)
        correlations = [
            torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
            for a, b in zip(self._similarity(features), self.similarity, strict=True)
        ]
        ratios = [
            _frechet(a, b) / far
            for a, b, far in zip(self._gaussians(features), self.gaussians, self.far, strict=True)
        ]
        return float(1 - torch.stack(correlations).mean()), float(torch.stack(ratios).mean())

    def _similarity(self, features: dict[str, Tensor]) -> list[Tensor]:
        matrices = []
        for layer in ("conv3_3", "conv4_3"):
            grid = functional.adaptive_avg_pool2d(features[layer], GRID).flatten(2)[0]
            unit = functional.normalize(grid - grid.mean(1, keepdim=True), dim=0)
            matrices.append(unit.T @ unit)
        return matrices

    def _gaussians(self, features: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        units = [
            functional.normalize(features[layer].flatten(2)[0].double(), dim=0) for layer in JUDGE_LAYERS
        ]
        return [(unit.mean(1), torch.cov(unit)) for unit in units]


def _frechet(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """Frechet distance of two Gaussians: Dowson & Landau 1982, eq. 4."""
    values, vectors = torch.linalg.eigh(one[1])
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other[1] @ root).clamp_min(0).sqrt().sum()
    return (one[0] - other[0]).square().sum() + one[1].trace() + other[1].trace() - 2 * cross
