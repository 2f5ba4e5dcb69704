"""What a style network minimises: content kept, style gained, smoothness, and no grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgtool.imaging.tensors import fit, resize
from imgtool.losses.gram import content_loss, gram_matrix, style_loss
from imgtool.losses.smoothness import lattice, total_variation
from imgtool.nn.style_net import STRIDE
from imgtool.nn.vgg import VGG
from imgtool.options.fast_style import TrainStyleOptions

LATTICE_UNIT = 1000  # so that a grid of 2 levels of 255, which is seen, adds 0.06
LATTICE_WINDOW = 48  # pixels: 144 squares of the network's grid, and still a third of a crop


@dataclass(frozen=True)
class NamedStyle:
    """A style to be learnt: its name, and its picture (1, 3, H, W) in [0, 1]."""

    name: str
    image: Tensor


class Terms(dict[str, Tensor]):
    """The terms of the objective by name, weighted; each a scalar."""

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return torch.stack(list(self.values())).sum()


class FastObjective:
    """The objective of a style network.

    The content term of a layer is the squared difference of features relative to the photo's own; its style term is
    the distance of Gram matrices relative to that of untouched photos. So a photo that nothing was done to has
    content 0 and style 1, whatever the style. A network paints each square of its grid alike where a photo is plain,
    and style losses, which see no places, let it: what comes again at the grid's distance costs too.

    Args:
        styles: at least one.
        photos: (N, 3, H, W) in [0, 1], by which style is measured.
        options: layers and weights.
        network: a `VGG` with all layers of `options`.
    Reference:
        Johnson, Alahi & Fei-Fei 2016, section 3.2. https://arxiv.org/abs/1603.08155
    """

    def __init__(
        self, styles: Sequence[NamedStyle], photos: Tensor, options: TrainStyleOptions, network: VGG
    ) -> None:
        self.options, self.network = options, network
        with torch.no_grad():
            grams = [self._grams(self._at_size(style.image)) for style in styles]
            self.targets = {
                layer: torch.cat([each[layer] for each in grams]) for layer in options.style_layers
            }
            untouched = [self._grams(photo[None]) for photo in photos]
            self.far = {
                layer: [
                    float(torch.stack([style_loss(photo[layer][0], target) for photo in untouched]).mean())
                    for target in targets
                ]
                for layer, targets in self.targets.items()
            }

    def _at_size(self, image: Tensor) -> Tensor:
        return resize(image, fit((image.shape[-2], image.shape[-1]), self.options.style_size))

    def _grams(self, image: Tensor) -> dict[str, Tensor]:
        features = self.network.stream(image)
        return {layer: gram_matrix(each) for layer, each in features if layer in self.options.style_layers}

    def content(self, photos: Tensor) -> dict[str, Tensor]:
        """What the network should keep of photos (B, 3, H, W): features by layer."""
        with torch.no_grad():
            features = self.network.stream(photos)
            return {layer: each for layer, each in features if layer in self.options.content_layers}

    def __call__(self, images: Tensor, content: Mapping[str, Tensor]) -> Terms:
        """The terms of images, differentiable.

        Args:
            images: (S * B, 3, H, W), all photos in the first style, then in the next.
            content: of the photos.
        """
        options = self.options
        kept, gained = [], []
        for layer, features in self.network.stream(images):
            if layer in options.content_layers:
                kept.append(options.content_layers[layer] * _changed(features, content[layer]))
            if layer in options.style_layers:
                gained.append(options.style_layers[layer] * self._distance(layer, gram_matrix(features)))
        return Terms(
            content=options.content_weight * torch.stack(kept).sum() / sum(options.content_layers.values()),
            style=options.style_weight * torch.stack(gained).sum() / sum(options.style_layers.values()),
            tv=options.tv_weight * total_variation(images),
            lattice=options.lattice_weight * LATTICE_UNIT * lattice(images, STRIDE, LATTICE_WINDOW),
        )

    def _distance(self, layer: str, grams: Tensor) -> Tensor:
        """Of Gram matrices to those of their styles, relative to that of photos; the mean of all styles."""
        far, targets = self.far[layer], self.targets[layer]
        ours = grams.chunk(len(far))
        terms = [
            style_loss(gram, target.expand_as(gram)) / scale
            for gram, target, scale in zip(ours, targets, far, strict=True)
        ]
        return torch.stack(terms).mean()


def _changed(features: Tensor, content: Tensor) -> Tensor:
    """How far features (S * B, C, H, W) are from those of the photos (B, C, H, W), against their energy."""
    repeats = len(features) // len(content)
    energy = content_loss(content, torch.zeros_like(content)) * repeats
    return content_loss(features, content.repeat(repeats, 1, 1, 1)) / energy.clamp_min(1e-12)
