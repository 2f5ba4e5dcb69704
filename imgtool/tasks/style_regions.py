"""Which part of a photo takes which style, found by ourselves: by light and colour, or by a segmenting network."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from imgtool.errors import OptionError
from imgtool.imaging.color import luma
from imgtool.imaging.raster import raster_of
from imgtool.imaging.tensors import fit, resize, to_pixels
from imgtool.options.segment import SegmentOptions
from imgtool.tasks.segment import Segmenter, foreground, probabilities
from imgtool.tasks.style_objective import Style

SIDE = 512  # pixels of the longest side of the pictures in which regions are looked for
REGIONS = 3  # where one style alone is taken apart
CHROMA = 0.7  # what a difference in colour counts against one in light
ROUNDS = 30  # of k-means; most pictures settle in ten
GRAIN = 0.02  # deviation of the blur that smooths regions, in parts of the longest side
HARDLY = 0.5  # of a mask's highest value: there is nothing of the region
CRISP = 4  # how decided a pixel between regions is; 1 leaves it as soft as the blur

# Masks of so many regions of a picture (1, 3, H, W), each (1, 1, h, w) in [0, 1]; together they are 1 everywhere.
FindRegions = Callable[[Tensor, int], list[Tensor]]


def in_regions(
    styles: Sequence[Style],
    content: Tensor,
    size: tuple[int, int],
    find: FindRegions,
    *,
    count: int = REGIONS,
) -> list[Style]:
    """Each style with a region of the photo to itself, in the order of `find`.

    A single style is taken apart in the same way, so that dark strokes go where the photo is dark.

    Args:
        styles: at least one, without masks.
        content: the photo, (1, 3, H, W).
        size: (height, width) of the result.
        find: `color_regions`, or `segmented` of a network.
        count: of the regions, where there is one style.
    Raises:
        OptionError: the single style has no picture that could be taken apart.
    """
    if len(styles) == 1:
        image = styles[0].image
        if image is None:
            raise OptionError(
                "content_mask", "a style file cannot be taken apart; give its picture, or more styles"
            )
        parts = find(image, count)
        own = (image.shape[-2], image.shape[-1])
        # A region that the style has not at all is painted in the whole of it.
        there = [_enlarged(part, own) if part.max() > HARDLY else None for part in parts]
        styles = [replace(styles[0], style_mask=part) for part in there]
    masks = find(content, len(styles))
    return [
        replace(style, content_mask=_enlarged(mask, size)) for style, mask in zip(styles, masks, strict=True)
    ]


def color_regions(image: Tensor, count: int) -> list[Tensor]:
    """Regions of like light and colour, from the darkest to the lightest.

    K-means in light and two differences of colour. It starts from shares of equal size between dark and light
    instead of from chance, so that a picture has one answer, and like pictures like ones.

    Args:
        image: (1, 3, H, W) in [0, 1].
        count: of the regions.
    Reference:
        Lloyd 1982, Least squares quantization in PCM. https://doi.org/10.1109/TIT.1982.1056489
    """
    small = _small(image)
    light = luma(small)
    seen = torch.cat((light, CHROMA * (small[:, :1] - light), CHROMA * (small[:, 2:] - light)), dim=1)
    points = seen.flatten(2)[0].T.contiguous()  # (H*W, 3)
    centres = _settled(points, _by_light(points, count))
    nearest = torch.cdist(points, centres[centres[:, 0].argsort()]).argmin(dim=1)
    shares = functional.one_hot(nearest, count).T.float().view(1, count, *small.shape[-2:])
    return _soft(shares)


def segmented(segmenter: Segmenter) -> FindRegions:
    """Regions by a segmenting network: background and foreground, or each of its classes, in its own order."""

    def find(image: Tensor, count: int) -> list[Tensor]:
        raster = raster_of(to_pixels(_small(image))).with_channels(segmenter.network.channels)
        found = probabilities(raster, segmenter, tile=SegmentOptions.tile)
        if count == 2:
            front = foreground(found)
            found = np.stack((1 - front, front))
        return _soft(torch.from_numpy(found)[None])

    return find


def require_regions(segmenter: Segmenter, styles: int) -> None:
    """Refuse another number of styles than a network can tell regions, and one that sees no photos.

    Raises:
        OptionError: says what is expected.
    """
    if segmenter.network.channels not in (1, 3):
        raise OptionError("mask_weights", f"it is for pictures of {segmenter.network.channels} channels")
    classes = len(segmenter.classes)
    if styles not in (1, 2, classes):
        more = "" if classes == 2 else f", or {classes}: {', '.join(segmenter.classes)}"
        raise OptionError(
            "mask_weights", f"{styles} styles for regions that are 2, background and foreground{more}"
        )


def _by_light(points: Tensor, count: int) -> Tensor:
    """The mean of each of so many shares of the points, (count, 3), from dark to light."""
    by_light = points[points[:, 0].argsort(stable=True)]
    return torch.stack([part.mean(dim=0) for part in by_light.tensor_split(count) if len(part)])


def _settled(points: Tensor, centres: Tensor) -> Tensor:
    """The centres where k-means leaves them; one that no point is nearest to stays."""
    for _ in range(ROUNDS):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=len(centres))[:, None]
        moved = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _soft(shares: Tensor) -> list[Tensor]:
    """Regions of (1, count, H, W) without specks, with soft borders."""
    shares = _blurred(shares, GRAIN * max(shares.shape[-2:])).clamp_min(0) ** CRISP
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return list(shares.chunk(shares.shape[1], dim=1))


def _blurred(image: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur that knows no border: the picture's own pixels alone are averaged."""
    for axis in (2, 3):
        length = image.shape[axis]
        places = torch.arange(length, dtype=torch.float32)
        kernel = torch.exp(-((places[:, None] - places) ** 2) / (2 * deviation**2))
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        image = torch.tensordot(kernel, image, dims=([1], [axis])).movedim(0, axis)
    return image


def _small(image: Tensor) -> Tensor:
    """A picture no larger than it needs to be for its regions to be seen."""
    size = (image.shape[-2], image.shape[-1])
    return resize(image, fit(size, min(max(size), SIDE))).cpu()


def _enlarged(mask: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(mask, size, mode="bilinear", antialias=True)
