"""What `stylize` minimises at one size: content kept, style gained, and smoothness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from imgtool.imaging.tensors import fit, resize
from imgtool.losses.gram import content_loss, gram_matrix, style_loss
from imgtool.losses.smoothness import total_variation
from imgtool.nn.vgg import VGG
from imgtool.options.stylize import StylizeOptions
from imgtool.tasks.objective_terms import Term
from imgtool.tasks.style_file import StyleFile

# With `normalize`, weights of 1 mean: half the mean squared difference of features; ten times the mean squared
# difference of Gram matrices over the squared number of channels, as in Gatys' own later code; and a roughness
# that is felt but not seen. For a VGG whose input is scaled to 255.
CONTENT_UNIT = 1.0
STYLE_UNIT = 40.0
TV_UNIT = 4e6
# With `rescale`: the mean squared difference of features, and that of Gram matrices over the squared number of
# channels, added up over layers. So Gatys' own code has it (https://github.com/leongatys/PytorchNeuralStyleTransfer),
# with alpha / beta = 1e-3 as in the paper; these undo the 1/2, the 1/4 and w_l = 1/5 of the sums printed there.
# Those sums do not go with that ratio when features are around 1: the photo itself is then next to the minimum.
AUTHORS_CONTENT_UNIT = 2.0
AUTHORS_STYLE_UNIT = 4.0 * 5


@dataclass(frozen=True)
class Style:
    """A picture whose style is wanted, and where.

    Attributes:
        image: (1, 3, H, W) in [0, 1]; None where `saved` stands for it.
        weight: against the other styles, above 0.
        content_mask: (1, 1, H', W') in [0, 1], the part of the result that takes this style; None for all of it.
        style_mask: (1, 1, H, W) in [0, 1], the part of `image` that the style is taken from; None for all of it.
        saved: its Gram matrices from a style file.
    """

    image: Tensor | None
    weight: float = 1.0
    content_mask: Tensor | None = None
    style_mask: Tensor | None = None
    saved: StyleFile | None = None


class Losses(NamedTuple):
    """The terms of the objective, weighted; each a scalar."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    others: Mapping[str, Tensor]  # the further terms by name

    def detach(self) -> "Losses":
        """The same numbers without a graph behind them."""
        others = {name: term.detach() for name, term in self.others.items()}
        return Losses(
            self.total.detach(), self.content.detach(), self.style.detach(), self.tv.detach(), others
        )


class _Target(NamedTuple):
    """Gram matrices by layer that the part of the result under `mask` should have."""

    grams: dict[str, Tensor]
    weight: float
    mask: Tensor | None


class StyleObjective:
    """The objective of Gatys et al. (2016) for a result of the content's size.

    Args:
        content: (1, 3, H, W) in [0, 1].
        styles: at least one; those without a mask share the whole result by weight.
        options: layers, weights, units, `style_scale`.
        network: a `VGG` that returns all layers of `options`.
        terms: what else is minimised.
    """

    def __init__(
        self,
        content: Tensor,
        styles: Sequence[Style],
        options: StylizeOptions,
        network: VGG,
        *,
        terms: Sequence[Term] = (),
    ) -> None:
        self.options, self.network, self.terms = options, network, terms
        longest = max(content.shape[-2:]) * options.style_scale
        with torch.no_grad():
            self.content = self._kept(content)
            self.targets = self._targets(styles, longest)
            self.far = self._far(content) if options.strength < 1 else None

    def __call__(self, image: Tensor) -> Losses:
        """Losses of an image (1, 3, H, W) in [0, 1], differentiable."""
        options = self.options
        content, style = [], []
        for layer, features in self.network.stream(image):
            if layer in options.content_layers:
                loss = content_loss(features, self.content[layer])
                content.append(self._content_weight(layer) * loss)
            if layer in options.style_layers:
                grams = [_masked_gram(features, target.mask) for target in self.targets]
                style.append(self._style(layer, grams))
        terms = torch.stack(content).sum(), self._asked(torch.stack(style).sum()), self._smoothness(image)
        others = {term.name: term.loss(image) for term in self.terms}
        return Losses(torch.stack([*terms, *others.values()]).sum(), *terms, others)

    def settle(self) -> None:
        """Told after each part of the work that large blocks of memory were freed; they are kept for the next."""

    def _content_weight(self, layer: str) -> float:
        """Of the content loss of one layer."""
        unit = self._content_unit(layer) / self.content[layer].numel() if self._means else 1.0
        return self.options.content_weight * self.options.content_layers[layer] * unit

    def _style(self, layer: str, grams: Sequence[Tensor]) -> Tensor:
        """The weighted style loss of one layer, over the Gram matrices that go with the targets."""
        unit = self._style_unit(layer) / grams[0].shape[-1] ** 2 if self._means else 1.0
        weight = self.options.style_weight * self.options.style_layers[layer] * unit
        losses = [
            target.weight * style_loss(gram, target.grams[layer])
            for target, gram in zip(self.targets, grams, strict=True)
        ]
        return weight * torch.stack(losses).sum()

    @property
    def _means(self) -> bool:
        return self.options.normalize or self.options.rescale

    def _content_unit(self, layer: str) -> float:
        scale = self.network.feature_scale(layer)
        return CONTENT_UNIT * scale**2 if self.options.normalize else AUTHORS_CONTENT_UNIT

    def _style_unit(self, layer: str) -> float:
        scale = self.network.feature_scale(layer)
        return STYLE_UNIT * scale**4 if self.options.normalize else AUTHORS_STYLE_UNIT

    def _smoothness(self, image: Tensor) -> Tensor:
        weight = self._smoothness_weight
        return weight * total_variation(image) if weight else image.new_zeros(())

    @property
    def _smoothness_weight(self) -> float:
        """As strong as the style is: alone it would move the photo."""
        return self.options.tv_weight * TV_UNIT * self.options.strength

    def _targets(self, styles: Sequence[Style], longest: float) -> list[_Target]:
        """One target for all styles that have no region of their own, and one for each that has."""
        everywhere = [style for style in styles if style.content_mask is None]
        targets = []
        if everywhere:
            total = sum(style.weight for style in everywhere)
            mixed = {layer: torch.zeros(()) for layer in self.options.style_layers}
            for style in everywhere:
                for layer, gram in self._grams(style, longest).items():
                    mixed[layer] = mixed[layer].to(gram.device) + gram * (style.weight / total)
            targets.append(_Target(mixed, 1.0, None))
        for style in styles:
            if style.content_mask is not None:
                # A small region's Gram matrix is a mean over few places; its share keeps each place's pull equal.
                share = float(style.content_mask.square().mean())
                targets.append(_Target(self._grams(style, longest), style.weight * share, style.content_mask))
        return targets

    def _far(self, content: Tensor) -> Tensor:
        """The style loss of the photo."""
        grams = [self._grams_of(content, target.mask) for target in self.targets]
        layers = self.options.style_layers
        return torch.stack([self._style(layer, [each[layer] for each in grams]) for layer in layers]).sum()

    def _asked(self, loss: Tensor) -> Tensor:
        """Of a style loss what `strength` asks for: (sqrt(loss) - (1 - s) sqrt(far))^2, and 0 when that is reached.

        A distance of 1 - s of the photo's own may be left. The slope is that of the loss times 1 - (1 - s) sqrt(far /
        loss): a style weight that falls by itself to what this photo and this style need, where no weight means the
        same on two of them.
        """
        if self.far is None:
            return loss
        least = torch.finfo(loss.dtype).tiny
        distance = loss.clamp_min(least).sqrt() - (1 - self.options.strength) * self.far.sqrt()
        return distance.clamp_min(0).square()

    def _grams(self, style: Style, longest: float) -> dict[str, Tensor]:
        """Gram matrices of a style picture at the size at which its strokes are wanted."""
        if style.saved is not None:
            return style.saved.at(longest, self.options.style_layers)
        assert style.image is not None
        size = fit((style.image.shape[-2], style.image.shape[-1]), longest)
        return self._grams_of(resize(style.image, size), style.style_mask)

    def _kept(self, content: Tensor) -> dict[str, Tensor]:
        """The features of the content layers."""
        features = self.network.stream(content)
        return {layer: each for layer, each in features if layer in self.options.content_layers}

    def _grams_of(self, image: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """The Gram matrices of the style layers, under a mask."""
        features = self.network.stream(image)
        return {
            layer: _masked_gram(each, mask) for layer, each in features if layer in self.options.style_layers
        }


def _masked_gram(features: Tensor, mask: Tensor | None) -> Tensor:
    """Gram matrix of the features under a mask (1, 1, H', W'), per place of the mask.

    Reference:
        Gatys et al. 2017, "Controlling perceptual factors", eq. 5. https://arxiv.org/abs/1611.07865
    """
    if mask is None:
        return gram_matrix(features)
    guide, energy = guide_of(mask, (features.shape[-2], features.shape[-1]))
    return gram_matrix(features * guide.to(features.dtype)) / energy


def guide_of(mask: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A mask at the size of a feature map, (1, 1, H, W), and its mean square."""
    guide = functional.interpolate(mask, size, mode="area")
    return guide, guide.square().mean().clamp_min(1e-6)
