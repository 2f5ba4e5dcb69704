"""The objective of `stylize` for pictures whose features do not fit in memory: the same numbers, tile by tile."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from imgtool.imaging.tiling import Span, Tile, Tiling
from imgtool.losses.gram import content_loss, gram_matrix
from imgtool.losses.smoothness import total_variation_gradient
from imgtool.nn.vgg import STRIDE, VGG, crop
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime import processor
from imgtool.tasks.objective_terms import Term, with_gradient
from imgtool.tasks.style_objective import Losses, Style, StyleObjective, guide_of

Grams = dict[str, list[Tensor]]  # by layer, one for each mask


class _Part(NamedTuple):
    """The features of a layer that are a tile's own, and where they belong among those of the picture."""

    layer: str
    features: Tensor
    place: tuple[slice, slice]


class _Window(NamedTuple):
    """What the network sees in a tile, and which rows and columns of the picture these are, mirrored ones twice."""

    tile: Tile
    rows: Tensor
    columns: Tensor
    pixels: Tensor

    def add(self, values: Tensor, picture: Tensor) -> None:
        """Add the window's values (1, 3, h, w) to those of the picture."""
        across = values.new_zeros((*values.shape[:-1], picture.shape[-1]))
        picture.index_add_(-2, self.rows, across.index_add_(-1, self.columns, values))


class TiledObjective(StyleObjective):
    """`StyleObjective`, but for the order in which sums are rounded, without all features of a picture at a time.

    A Gram matrix is a sum over places. A first pass over the tiles adds it up; what the loss changes with it is then
    a fixed matrix, with which a second pass has each tile's part of the gradient. A tile sees as much around itself
    as the network reaches.

    Args:
        content, styles, options, network, terms: see `StyleObjective`.
        tile: side of a tile in pixels, rounded down to a multiple of 16.
    """

    def __init__(
        self,
        content: Tensor,
        styles: Sequence[Style],
        options: StylizeOptions,
        network: VGG,
        *,
        tile: int,
        terms: Sequence[Term] = (),
    ) -> None:
        self.settle()
        self.tiling = Tiling(side=tile, reach=network.reach, stride=STRIDE, least=1)
        super().__init__(content, styles, options, network, terms=terms)

    def __call__(self, image: Tensor) -> Losses:
        """Losses of an image (1, 3, H, W) in [0, 1]; `total` is differentiable."""
        with torch.no_grad():
            grams = self._grams_under(image, [target.mask for target in self.targets])
            smoothness = self._smoothness(image)
        style, slopes = self._slopes(grams)
        content, gradient = self._pull(image, slopes)
        others = self._further(image, gradient)
        terms = content, style, smoothness
        total = with_gradient(image, torch.stack([*terms, *others.values()]).sum(), gradient)
        return Losses(total, *terms, others)

    def settle(self) -> None:
        """Tiles and steps need blocks of other sizes: those of the one, if kept, lie beside those of the other."""
        processor.give_back_memory()

    def _slopes(self, grams: Grams) -> tuple[Tensor, Grams]:
        """The style loss, and what it changes with each Gram matrix."""
        leaves = {layer: [gram.detach().requires_grad_() for gram in each] for layer, each in grams.items()}
        with torch.enable_grad():
            loss = self._asked(
                torch.stack([self._style(layer, each) for layer, each in leaves.items()]).sum()
            )
            found = torch.autograd.grad(loss, [gram for each in leaves.values() for gram in each])
        rest = iter(found)
        return loss.detach(), {layer: [next(rest) for _ in each] for layer, each in leaves.items()}

    @torch.enable_grad()
    def _pull(self, image: Tensor, slopes: Grams) -> tuple[Tensor, Tensor]:
        """The content loss, and the gradient of it, of the style loss and of smoothness."""
        gradient, content = torch.zeros_like(image), image.new_zeros(())
        guides = self._guides(image, [target.mask for target in self.targets])
        for window in self._windows(image.detach()):
            window.pixels.requires_grad_()
            terms = []
            for part in self._parts(window, image):
                if part.layer in self.options.content_layers:
                    kept = self.content[part.layer][..., *part.place]
                    terms.append(self._content_weight(part.layer) * content_loss(part.features, kept))
                    content = content + terms[-1].detach()
                for slope, guide in zip(slopes.get(part.layer, ()), guides, strict=False):
                    terms.append((slope * _share(part, guide[part.layer])).sum())
            if terms:
                (own,) = torch.autograd.grad(torch.stack(terms).sum(), window.pixels)
                window.add(own, gradient)
        if self._smoothness_weight:
            gradient.add_(total_variation_gradient(image), alpha=self._smoothness_weight)
        return content, gradient

    @torch.enable_grad()
    def _further(self, image: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        """The further terms, whose gradients are added to that of the others, one after the other."""
        leaf, found = image.detach().requires_grad_(), {}
        for term in self.terms:
            loss = term.loss(leaf)
            gradient.add_(torch.autograd.grad(loss, leaf)[0])
            found[term.name] = loss.detach()
        return found

    def _kept(self, content: Tensor) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        for part in self._all_parts(content):
            if part.layer in self.options.content_layers:
                if part.layer not in kept:
                    shape = (1, part.features.shape[1], *self._size(content, part.layer))
                    empty = part.features.new_empty(shape)
                    kept[part.layer] = empty.contiguous(memory_format=torch.channels_last)
                kept[part.layer][..., *part.place] = part.features
        return kept

    def _grams_of(self, image: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        return {layer: grams[0] for layer, grams in self._grams_under(image, [mask]).items()}

    def _grams_under(self, image: Tensor, masks: Sequence[Tensor | None]) -> Grams:
        """The Gram matrices of the style layers under each mask."""
        sums: Grams = {}
        guides = self._guides(image, masks)
        for part in self._all_parts(image):
            if part.layer in self.options.style_layers:
                shares = [_share(part, guide[part.layer]) for guide in guides]
                before = sums.get(part.layer, [torch.zeros_like(share) for share in shares])
                sums[part.layer] = [one + other for one, other in zip(before, shares, strict=True)]
        return sums

    def _all_parts(self, image: Tensor) -> Iterator[_Part]:
        for window in self._windows(image):
            yield from self._parts(window, image)

    def _windows(self, image: Tensor) -> Iterator[_Window]:
        """What tiles see, cut from the picture itself: with its margin it would lie in memory twice."""
        rows, columns = (each.to(image.device) for each in self.network.places(*image.shape[-2:]))
        for tile in self.tiling.tiles(len(rows), len(columns)):
            seen = rows[tile.seen[0]], columns[tile.seen[1]]
            yield _Window(tile, *seen, image.index_select(-2, seen[0]).index_select(-1, seen[1]))
            self.settle()

    def _parts(self, window: _Window, image: Tensor) -> Iterator[_Part]:
        """What the layers say of a tile, but for those that have nothing of the picture itself there."""
        height, width = image.shape[-2:]
        for layer, features in self.network.windowed(window.pixels):
            rows = self._own(layer, window.tile.rows, height)
            columns = self._own(layer, window.tile.columns, width)
            if rows and columns:
                yield _Part(layer, crop(features, rows[0], columns[0]), (rows[1], columns[1]))

    def _own(self, layer: str, span: Span, length: int) -> tuple[slice, slice] | None:
        """Of a side of a tile: where its own features lie in its window's, and among those of the picture."""
        stride = self.network.stride(layer)
        first = self.network.margin // stride
        begin = max(span.kept[0] // stride, first)
        end = min(-(-span.kept[1] // stride), first - (-length // stride))
        if begin >= end:
            return None
        seen = span.window[0] // stride
        return slice(begin - seen, end - seen), slice(begin - first, end - first)

    def _size(self, image: Tensor, layer: str) -> tuple[int, int]:
        """(height, width) of a layer's features of a picture."""
        height, width = (-(-side // self.network.stride(layer)) for side in image.shape[-2:])
        return height, width

    def _guides(self, image: Tensor, masks: Sequence[Tensor | None]) -> list[dict[str, Tensor]]:
        """For each mask and layer what features are multiplied by, so that the products' mean is the Gram matrix."""
        found = []
        for mask in masks:
            guides = {}
            for layer in self.options.style_layers:
                size = self._size(image, layer)
                if mask is None:
                    guides[layer] = image.new_ones(()).expand(1, 1, *size)
                else:
                    guide, energy = guide_of(mask, size)
                    guides[layer] = guide / energy.sqrt()
            found.append(guides)
        return found


def _share(part: _Part, guide: Tensor) -> Tensor:
    """What a tile adds to the Gram matrix of a picture whose guide is (1, 1, H, W)."""
    features, places = part.features, part.features.shape[2] * part.features.shape[3]
    if guide.stride()[-1]:  # a guide of ones has no memory of its own
        features = features * guide[..., *part.place].to(features.dtype)
    return gram_matrix(features) * (places / (guide.shape[2] * guide.shape[3]))
