"""Edges kept: what `stylize` loses where the edge map of the result is not that of the photo."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from imgtool.imaging.tiling import Tile, Tiling, mirrored
from imgtool.nn.hed import HED, LEAST, STRIDE
from imgtool.options.edges import EDGE_TILE
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.load import load_hed
from imgtool.tasks.objective_terms import MakeTerm, Term, with_gradient

DETECTOR = "hed-lite"  # in the package, and the fastest
EDGE_UNIT = 2e7  # at which a weight of 1 is seen but moderate, for a VGG whose input is scaled to 255
NAME = "edges"


def edge_terms(
    options: StylizeOptions, find_weights: Callable[[str], WeightsFile], device: Device
) -> list[MakeTerm]:
    """What options make of it: a term, with a detector on a device, or none."""
    if not options.keep_edges:
        return []
    network = load_hed(find_weights(DETECTOR), device, gradients=True)
    return [lambda content: edge_term(content, network, options.keep_edges)]


def edge_term(content: Tensor, network: HED, weight: float, *, tile: int = EDGE_TILE) -> Term:
    """The mean squared difference of the fused edge probabilities of a picture and of the photo.

    Both maps are of the size that is worked at. Map and gradient are found tile by tile, each with as much around
    it as the network sees, so that memory does not grow with the picture; they are those of the whole.

    Args:
        content: (1, 3, H, W) in [0, 1].
        network: an edge detector that knows gradients.
        weight: 1 for an effect that is seen but moderate.
        tile: side of a tile in pixels.
    Reference:
        Xie & Tu 2015, Holistically-nested edge detection. https://arxiv.org/abs/1504.06375
    """
    return Term(NAME, _EdgeLoss(content, network, weight * EDGE_UNIT, tile))


class _EdgeLoss:
    def __init__(self, content: Tensor, network: HED, weight: float, tile: int) -> None:
        self.network, self.weight = network, weight
        self.tiling = Tiling(
            side=tile, reach=network.reach, stride=STRIDE, least=LEAST, multiple=network.cell
        )
        self.wanted = torch.empty_like(content[:, :1])
        with torch.no_grad():
            padded = self._padded(content)
            for each, window in self._windows(content, padded):
                self.wanted[..., *each.place] = self._map(window)[..., *each.inner]

    @torch.enable_grad()
    def __call__(self, image: Tensor) -> Tensor:
        leaf = image.detach().requires_grad_()
        padded = self._padded(leaf)
        gradient, total = torch.zeros_like(padded), image.new_zeros(())
        for tile, window in self._windows(image, padded.detach()):
            seen = window.clone().requires_grad_()
            difference = self._map(seen)[..., *tile.inner] - self.wanted[..., *tile.place]
            loss = difference.square().sum() * (self.weight / self.wanted.numel())
            (own,) = torch.autograd.grad(loss, seen)
            gradient[..., *tile.seen].add_(own)
            total = total + loss.detach()
        (whole,) = torch.autograd.grad(padded, leaf, gradient)
        return with_gradient(image, total, whole)

    def _map(self, window: Tensor) -> Tensor:
        """The fused probabilities, (1, 1, H, W)."""
        logits: Tensor = self.network(window)[:, -1:]
        return logits.sigmoid()

    def _windows(self, image: Tensor, padded: Tensor) -> Iterator[tuple[Tile, Tensor]]:
        height, width = image.shape[-2:]
        for tile in self.tiling.tiles(height, width):
            yield tile, padded[..., *tile.seen]

    def _padded(self, image: Tensor) -> Tensor:
        """The picture, mirrored to the right and below as far as the network needs it."""
        rows, columns = (
            mirrored((0, -(-max(LEAST, side) // self.network.cell) * self.network.cell), side)
            for side in image.shape[-2:]
        )
        places = [each if isinstance(each, slice) else torch.from_numpy(each) for each in (rows, columns)]
        return image[..., places[0], :][..., places[1]]
