"""The commands as functions: pictures in as paths, PIL images, arrays or tensors; results out as tensors."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from imgtool.errors import BadImage, Diverged, OptionError
from imgtool.imaging.color import luma
from imgtool.imaging.io import MAX_PIXELS, from_pillow, read_picture, write_picture
from imgtool.imaging.labels import palette
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.imaging.raster import Raster, raster_of
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.tensors import resize, to_image, to_picture
from imgtool.imaging.thin import thin_edges
from imgtool.nn.vgg import VGG
from imgtool.options import (
    EDGE_WEIGHTS,
    INITS,
    SEGMENT_WEIGHTS,
    STYLE_NETWORKS,
    EdgesOptions,
    SegmentOptions,
    StylizeOptions,
)
from imgtool.runtime.device import Device, select_device
from imgtool.runtime.registry import WeightsFile, find_weights
from imgtool.tasks import stylize as task
from imgtool.tasks.edges import edges_that_fit
from imgtool.tasks.load import activations_name, load_hed, load_segmenter, load_vgg
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import classes_of, foreground, probabilities
from imgtool.tasks.style_objective import Style
from imgtool.tasks.stylize import Step, StylizeResult

# A path; a PIL image; (H, W, 3 or 4) uint8, uint16 or float in [0, 1]; (1, 3, H, W) or (3, H, W) in [0, 1].
PictureLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
OnStep: TypeAlias = Callable[[Step, Tensor], None]


@dataclass(frozen=True, eq=False)
class Stylized:
    """A repainted picture.

    Attributes:
        image: (1, 3, H, W) sRGB in [0, 1], on the CPU.
        alpha: (1, 1, H, W) in [0, 1], the content's at this size; None if it had none.
        steps: evaluations done in each scale, coarse to fine; with these as options the result is the same.
        history: one `Step` an evaluation, with its losses.
        seconds: spent optimising.
    """

    image: Tensor
    alpha: Tensor | None
    steps: tuple[int, ...]
    history: tuple[Step, ...]
    seconds: float

    def to_pil(self) -> Image.Image:
        """As 8-bit RGB, or RGBA if the content had alpha: the pixels that the command writes."""
        picture = to_picture(self.image, self.alpha)
        if picture.alpha is None:
            return Image.fromarray(picture.pixels)
        return Image.fromarray(np.dstack([picture.pixels, picture.alpha]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it in the format of its suffix, whole or not at all, as the command does, but without a recipe.

        Raises:
            OutputError: the suffix is unknown, or the file cannot be written.
        """
        write_picture(Path(path), to_picture(self.image, self.alpha))


def stylize(
    content: PictureLike,
    style: PictureLike | Sequence[PictureLike | tuple[PictureLike, float]],
    *,
    content_masks: Sequence[PictureLike] = (),
    style_masks: Sequence[PictureLike] = (),
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> Stylized:
    """Repaint `content` in the style of one or more pictures, as `imgtool stylize` does.

    Args:
        content: the photo.
        style: a picture, or several, each alone or as a pair with its weight.
        content_masks: white where each style applies, one for each.
        style_masks: white where each style is taken from; each goes with a content mask.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run; by default those of the network.
        on_step: told of each evaluation, and the best picture so far.
        **options: fields of `StylizeOptions`; `init` may also be a picture, `steps` a single number.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
        Diverged: the loss did not stay finite.
    Example:
        >>> painted = stylize("photo.jpg", "painting.jpg", size=256, steps=50)  # doctest: +SKIP
        >>> painted.save("out.png")  # doctest: +SKIP
    """
    began = time.monotonic()
    given, init = _options(options, weights)
    photo = _picture(content, "content")
    styles = _styles(style, content_masks, style_masks)
    chosen = select_device(device, precision, exact=given.exact)
    name = given.network if weights is None else os.fspath(weights)
    with torch.random.fork_rng(devices=[]):  # a new network draws numbers before it gets its weights
        file = find_weights(name)
        measured = activations_name(file) if given.rescale else None
        activations = None if measured is None else find_weights(measured)
        given = replace(given, rescale=activations is not None)
        network = load_style_network(file, given, chosen, activations)
    result = task.stylize(
        to_image(photo.pixels),
        styles,
        given,
        network=network,
        init=None if init is None else to_image(_picture(init, "init").pixels),
        deadline=None if given.time is None else began + given.time,
        on_step=on_step or task.ignore,
    )
    if result.interrupted:
        raise result.interrupted
    if result.diverged:
        raise Diverged("the loss became NaN or infinite", hint="precision='fp32' or a smaller style_weight")
    return _stylized(result, photo)


@dataclass(frozen=True, eq=False)
class EdgeMaps:
    """Where the edges of a picture are.

    Attributes:
        maps: probability of an edge by kind, each (H, W) fp32 in [0, 1].
        alpha: (H, W) in [0, 1], the picture's; None if it had none.
    """

    maps: Mapping[str, NDArray[np.float32]]
    alpha: NDArray[np.float32] | None

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The map of the kind that was asked for; the first one of all."""
        return next(iter(self.maps.values()))

    def thinned(self) -> NDArray[np.float32]:
        """That map with lines one pixel wide, (H, W)."""
        return thin_edges(self.probabilities)

    def to_pil(self) -> Image.Image:
        """That map as an 8-bit grey picture, white where an edge is likely."""
        return Image.fromarray(levels(self.probabilities))


def edges(
    image: PictureLike,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] = EDGE_WEIGHTS[0],
    **options: Any,
) -> EdgeMaps:
    """Find the edges of a picture, as `imgtool edges` does.

    Args:
        image: of any size.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run.
        **options: fields of `EdgesOptions`; where memory does not suffice, `tile` is halved once.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
    Example:
        >>> edges("photo.jpg", kind="fuse").to_pil().save("edges.png")  # doctest: +SKIP
    """
    given = EdgesOptions(**options)
    picture = _picture(image, "image")
    chosen = select_device(device, precision)
    with torch.random.fork_rng(devices=[]):  # a new network draws numbers before it gets its weights
        network = load_hed(find_weights(os.fspath(weights)), chosen)
    result, _ = edges_that_fit(picture.pixels, given, network=network)
    alpha = None if picture.alpha is None else to_image(picture.alpha)[0, 0].numpy()
    return EdgeMaps(result.maps, alpha)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What is where in a picture.

    Attributes:
        probabilities: of each class, (classes, H, W) fp32 in [0, 1].
        classes: their names; the first is background.
        threshold: of the probability of being no background.
        objects: whether the second class is the inside of objects, and the third their rim.
    """

    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    threshold: float
    objects: bool

    @property
    def foreground(self) -> NDArray[np.float32]:
        """The probability of being no background, (H, W)."""
        return foreground(self.probabilities)

    def mask(self) -> NDArray[np.uint8]:
        """The class of each pixel, (H, W); of objects, 1 in each of them."""
        mask = classes_of(self.probabilities, self.threshold)
        return np.minimum(mask, 1) if self.objects else mask

    def instances(self, min_area: int = SegmentOptions.min_area) -> NDArray[np.int32]:
        """The objects by number, (H, W), 0 outside of them; those below `min_area` pixels are left out."""
        return instances_of(self.probabilities, self.threshold, objects=self.objects, min_area=min_area)

    def to_pil(self) -> Image.Image:
        """The mask to look at: white on black, or a colour for each of several classes."""
        mask = self.mask()
        if self.objects or len(self.classes) == 2:
            return Image.fromarray(mask * np.uint8(255))
        image = Image.fromarray(mask)
        image.putpalette(palette(len(self.classes)).tobytes())
        return image


def segment(
    image: PictureLike,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] = SEGMENT_WEIGHTS[0],
    **options: Any,
) -> Segmentation:
    """Find the cells of a picture, or what else a model was trained for, as `imgtool segment` does.

    Args:
        image: of any size; an array may also be (H, W) or (H, W, C) of any number type.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run.
        **options: `threshold`, `tta` and `tile` of `SegmentOptions`.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
    Example:
        >>> segment("photo.jpg").to_pil().save("mask.png")  # doctest: +SKIP
    """
    try:
        given = SegmentOptions(**options)
    except TypeError as error:  # as Python says it of any function
        raise TypeError(str(error).replace("SegmentOptions.__init__()", "segment()")) from error
    chosen = select_device(device, precision)
    with torch.random.fork_rng(devices=[]):  # a new network draws numbers before it gets its weights
        segmenter = load_segmenter(find_weights(os.fspath(weights)), chosen)
    threshold = segmenter.threshold if given.threshold is None else given.threshold
    with _raster(image) as raster:
        try:
            seen = raster.with_channels(segmenter.network.channels)
            found = probabilities(seen, segmenter, tile=given.tile, tta=given.tta)
        except ValueError as error:  # other channels than the model's, or numbers that are none
            raise BadImage("image", str(error)) from error
    return Segmentation(found, segmenter.classes, threshold, segmenter.objects)


def _raster(given: PictureLike) -> Raster:
    """What was given, with all its channels."""
    if isinstance(given, str | os.PathLike):
        return open_raster(given, max_pixels=MAX_PIXELS)
    if isinstance(given, np.ndarray):
        if given.ndim not in (2, 3) or 0 in given.shape or given.dtype.kind not in "uifb":
            raise BadImage(
                "image", f"an array of {given.shape} {given.dtype}, expected numbers (H, W) or (H, W, C)"
            )
        return raster_of(given)
    picture = _picture(given, "image")
    return raster_of(picture.pixels[..., :1] if picture.is_gray else picture.pixels)


def load_style_network(
    weights: WeightsFile, options: StylizeOptions, device: Device, activations: WeightsFile | None = None
) -> VGG:
    """The network that judges style, with all layers of the options.

    Args:
        weights: of the network that the options name.
        options: of the task.
        device: where it runs.
        activations: what it is rescaled by, see `activations_name`.
    Raises:
        OptionError: the weights are of another network than the options name.
        WeightsError: they do not fit it.
    """
    if weights.network != STYLE_NETWORKS[options.network]:
        found = weights.network or "an unknown network"
        hint = f"--network {weights.network}" if weights.network in STYLE_NETWORKS else None
        raise OptionError("weights", f"{weights.name} holds {found}, not {options.network}", hint=hint)
    layers = {*options.content_layers, *options.style_layers}
    return load_vgg(
        weights, layers, device, pool=options.pool, margin=options.margin, activations=activations
    )


def _options(
    given: dict[str, Any], weights: str | os.PathLike[str] | None
) -> tuple[StylizeOptions, PictureLike | None]:
    """The task's options, and the picture to start from if `init` is one."""
    if isinstance(given.get("steps"), Integral):
        given["steps"] = (given["steps"],)
    if weights in STYLE_NETWORKS:
        given.setdefault("network", weights)
    init = given.get("init", "content")
    named = isinstance(init, str) and init in INITS
    if not named:
        given["init"] = "picture"
    try:
        return StylizeOptions.of_recipe(**given), None if named else init
    except TypeError as error:  # as Python says it of any function: no such keyword, or of another type
        raise TypeError(str(error).replace("StylizeOptions.__init__()", "stylize()")) from error


def _styles(
    style: PictureLike | Sequence[PictureLike | tuple[PictureLike, float]],
    content_masks: Sequence[PictureLike],
    style_masks: Sequence[PictureLike],
) -> list[Style]:
    """The style pictures with their weights and masks; a single one is used for every mask."""
    several = isinstance(style, list | tuple) and not _is_pair(style)
    given: Sequence[Any] = style if several else [style]  # type: ignore[assignment]
    pairs: list[tuple[Any, float]] = [each if _is_pair(each) else (each, 1.0) for each in given]
    if not pairs:
        raise OptionError("style", "no style, expected one picture or more")
    if content_masks and len(pairs) not in (1, len(content_masks)):
        raise OptionError("content_masks", f"{len(content_masks)} for {len(pairs)} styles, expected one each")
    if style_masks and len(style_masks) != len(content_masks):
        raise OptionError("style_masks", f"{len(style_masks)} for {len(content_masks)} content masks")
    images = [(to_image(_picture(picture, "style").pixels), weight) for picture, weight in pairs]
    for _, weight in images:
        if not 0 < weight < float("inf"):
            raise OptionError("style", f"a weight must be above 0, got {weight:g}")
    if len(images) == 1:
        images *= max(1, len(content_masks))
    return [
        Style(image, weight, _mask(content_mask, "content_masks"), _mask(style_mask, "style_masks"))
        for (image, weight), content_mask, style_mask in zip_longest(images, content_masks, style_masks)
    ]


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int | float)


def _mask(given: PictureLike | None, name: str) -> Tensor | None:
    """A mask as (1, 1, H, W) in [0, 1]."""
    return None if given is None else mask_of(_picture(given, name), name)


def mask_of(picture: Picture, name: str) -> Tensor:
    """A picture as a mask (1, 1, H, W) in [0, 1], white where it holds; transparent is black.

    Raises:
        OptionError: it holds nowhere; `name` is the option that gave it.
    """
    mask = luma(to_image(picture.pixels))
    mask = mask if picture.alpha is None else mask * to_image(picture.alpha)
    if float(mask.max()) == 0:
        raise OptionError(name, "the mask is all black, so it holds nowhere")
    return mask


def _picture(given: PictureLike, name: str) -> Picture:
    """What was given as pixels and alpha.

    Raises:
        BadImage: it is no picture, or its values are none.
    """
    if isinstance(given, str | os.PathLike):
        return read_picture(given)
    if isinstance(given, Image.Image):
        try:
            return from_pillow(given)
        except (OSError, ValueError) as error:
            raise BadImage(name, str(error)) from error
    if isinstance(given, Tensor):
        return _from_tensor(given, name)
    if isinstance(given, np.ndarray):
        return _from_array(given, name)
    raise BadImage(name, f"got {type(given).__name__}, expected a path, a PIL image, an array or a tensor")


def _from_tensor(given: Tensor, name: str) -> Picture:
    """(1, 3, H, W) or (3, H, W) as the array that it is."""
    planes = given.detach().cpu()
    planes = planes[0] if planes.ndim == 4 and planes.shape[0] == 1 else planes
    if planes.ndim != 3 or planes.shape[0] != 3:
        raise BadImage(name, f"a tensor of {tuple(given.shape)}, expected (1, 3, H, W) or (3, H, W)")
    planes = planes.float() if planes.is_floating_point() else planes
    return _from_array(planes.permute(1, 2, 0).numpy(), name)


def _from_array(given: NDArray[Any], name: str) -> Picture:
    """(H, W, 3 or 4) as pixels: floats get 16 bits."""
    if given.ndim != 3 or given.shape[2] not in (3, 4) or 0 in given.shape:
        raise BadImage(name, f"an array of {given.shape}, expected (H, W, 3) or (H, W, 4)")
    if np.issubdtype(given.dtype, np.floating):
        if not (np.isfinite(given).all() and given.min() >= 0 and given.max() <= 1):
            raise BadImage(name, "floats outside of [0, 1], or NaN")
        given = np.rint(given.astype(np.float64) * 65535).astype(np.uint16)
    if given.dtype not in (np.uint8, np.uint16):
        raise BadImage(name, f"{given.dtype} values, expected uint8, uint16 or floats in [0, 1]")
    pixels = np.ascontiguousarray(given[..., :3])
    return Picture(pixels, np.ascontiguousarray(given[..., 3]) if given.shape[2] == 4 else None)


def _stylized(result: StylizeResult, photo: Picture) -> Stylized:
    size = (result.image.shape[-2], result.image.shape[-1])
    alpha = None if photo.alpha is None else resize(to_image(photo.alpha), size)
    return Stylized(result.image, alpha, result.steps, result.history, result.seconds)


__all__ = ["EdgeMaps", "PictureLike", "Segmentation", "Stylized", "edges", "segment", "stylize"]
