"""`imgtool.stylize`: repaint a picture, from Python."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgtool.api.inputs import PictureLike, loaded, mask_of, options_of, picture_of
from imgtool.errors import Diverged, OptionError
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.imaging.tensors import fit, resize, to_image, to_picture, to_pixels
from imgtool.nn.vgg import VGG
from imgtool.options.fast_style import FastStyleOptions
from imgtool.options.stylize import INITS, STYLE_NETWORKS, StylizeOptions
from imgtool.runtime.device import Device, select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks import stylize as task
from imgtool.tasks.edge_term import edge_terms
from imgtool.tasks.fast_style import Painter, fast_style
from imgtool.tasks.load import activations_name, load_painter, load_style_network
from imgtool.tasks.objective_terms import MakeTerm
from imgtool.tasks.placed_styles import require_same_network
from imgtool.tasks.style_file import is_style_file, load_style
from imgtool.tasks.style_objective import Style
from imgtool.tasks.style_regions import color_regions, in_regions
from imgtool.tasks.stylize import Step, StylizeResult
from imgtool.tasks.video import Before, Carried, carried, steadied, stylize_frame

OnStep: TypeAlias = Callable[[Step, Tensor], None]


@dataclass(frozen=True, eq=False)
class Stylized:
    """A repainted picture.

    Attributes:
        image: (1, 3, H, W) sRGB in [0, 1], on the CPU.
        alpha: (1, 1, H, W) in [0, 1], the content's at this size; None if it had none.
        steps: evaluations done in each scale, coarse to fine; with these as options the result is the same. () in
            one pass.
        history: one `Step` an evaluation, with its losses.
        seconds: spent on it.
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
    style: PictureLike | Sequence[PictureLike | tuple[PictureLike, float]] | None = None,
    *,
    content_masks: Sequence[PictureLike] | Literal["auto"] = (),
    style_masks: Sequence[PictureLike] = (),
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    previous: tuple[PictureLike, PictureLike] | None = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> Stylized:
    """Repaint `content` in the style of one or more pictures, as `imgtool stylize` does.

    Args:
        content: the photo.
        style: a picture or a style file, or several, each alone or as a pair with its weight; None for `weights` of
            `train-style`, which repaint in one pass.
        content_masks: white where each style applies, one for each; "auto" finds regions by light and colour, the
            darkest for the first style.
        style_masks: white where each style is taken from; each goes with a content mask.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run; by default those of the network.
        previous: the frame before of a film, and what was made of it: what stands still or moves along begins with
            that and is held to it. Options are those of the first frame.
        on_step: told of each evaluation, and the best picture so far.
        **options: fields of `StylizeOptions`; `init` may also be a picture, `steps` a single number. In one pass
            those of `FastStyleOptions`.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
        Diverged: the loss did not stay finite.
    Example:
        >>> painted = stylize("photo.jpg", "painting.jpg", size=256, steps=50)  # doctest: +SKIP
        >>> painted.save("out.png")  # doctest: +SKIP

        A film:

        >>> previous = None  # doctest: +SKIP
        >>> for frame in frames:  # doctest: +SKIP
        ...     painted = stylize(frame, "painting.jpg", size=512, previous=previous)
        ...     previous = frame, painted.image
    """
    began = time.monotonic()
    if style is None:
        if weights is None:
            raise OptionError("style", "no style, expected a picture, or weights of train-style")
        painter = loaded(load_painter, weights, device=device, precision=precision)
        one_pass = options_of("stylize", FastStyleOptions, options)
        return _in_one_pass(picture_of(content, "content"), previous, painter, one_pass, began)
    given, init = _options(options, weights)
    photo = picture_of(content, "content")
    auto = isinstance(content_masks, str) and content_masks == "auto"
    styles = _styles(style, () if auto else content_masks, style_masks)
    if auto:
        styles = in_regions(styles, to_image(photo.pixels), _size(photo, given.size), color_regions)
    name = given.network if weights is None else os.fspath(weights)
    given, network, terms = _networks(
        given, name, styles, select_device(device, precision, exact=given.exact)
    )
    begin = partial(task.stylize, init=None if init is None else to_image(picture_of(init, "init").pixels))
    last = _last(previous, photo, given.size)
    if last is not None and last.goes_on:
        given, begin = given.of_later_frames, partial(stylize_frame, last=last)
    result = begin(
        to_image(photo.pixels),
        styles,
        given,
        network=network,
        terms=terms,
        deadline=None if given.time is None else began + given.time,
        on_step=on_step or task.ignore,
    )
    if result.interrupted:
        raise result.interrupted
    if result.diverged:
        raise Diverged("the loss became NaN or infinite", hint="precision='fp32' or a smaller style_weight")
    return _stylized(result, photo)


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
    return options_of("stylize", StylizeOptions.of_recipe, given), None if named else init


def _networks(
    options: StylizeOptions, name: str, styles: Sequence[Style], device: Device
) -> tuple[StylizeOptions, VGG, list[MakeTerm]]:
    """The network that judges style and further terms, and the options as they hold with them."""
    with torch.random.fork_rng(devices=[]):  # a new network draws numbers before it gets its weights
        weights = find_weights(name)
        measured = activations_name(weights) if options.rescale else None
        activations = None if measured is None else find_weights(measured)
        options = replace(options, rescale=activations is not None)
        require_same_network(styles, options, weights, device)
        network = load_style_network(weights, options, device, activations)
        return options, network, edge_terms(options, find_weights, device)


def _in_one_pass(
    photo: Picture,
    previous: tuple[PictureLike, PictureLike] | None,
    painter: Painter,
    options: FastStyleOptions,
    began: float,
) -> Stylized:
    pixels = fast_style(photo.pixels, options, painter=painter)
    if last := _last(previous, photo, options.size):
        pixels = to_pixels(steadied(to_image(pixels), last, options.temporal_weight))
    result = StylizeResult(to_image(pixels), (), (), time.monotonic() - began)
    return _stylized(result, photo)


def _size(photo: Picture, longest: int | None) -> tuple[int, int]:
    """(height, width) of the result."""
    return fit((photo.height, photo.width), longest)


def _last(
    previous: tuple[PictureLike, PictureLike] | None, photo: Picture, longest: int | None
) -> Carried | None:
    """The result of the frame before, where its things are in this one."""
    if previous is None:
        return None
    frame, made = (picture_of(each, "previous") for each in previous)
    if (frame.height, frame.width) != (photo.height, photo.width):
        sizes = f"{frame.width}x{frame.height}, and the content {photo.width}x{photo.height}"
        raise OptionError("previous", f"it is {sizes}; frames of one film are of one size")
    before = Before(to_image(frame.pixels), to_image(made.pixels))
    return carried(before, to_image(photo.pixels), _size(photo, longest))


def _styles(
    style: PictureLike | Sequence[PictureLike | tuple[PictureLike, float]],
    content_masks: Sequence[PictureLike],
    style_masks: Sequence[PictureLike],
) -> list[Style]:
    """The style pictures with their weights and masks; a single one is used for every mask."""
    for name, masks in (("content_masks", content_masks), ("style_masks", style_masks)):
        if isinstance(masks, str | os.PathLike):
            raise OptionError(name, f"one picture, {os.fspath(masks)!r}, expected a list of them")
    several = isinstance(style, list | tuple) and not _is_pair(style)
    given: Sequence[Any] = style if several else [style]  # type: ignore[assignment]
    pairs: list[tuple[Any, float]] = [each if _is_pair(each) else (each, 1.0) for each in given]
    if not pairs:
        raise OptionError("style", "no style, expected one picture or more")
    if content_masks and len(pairs) not in (1, len(content_masks)):
        raise OptionError("content_masks", f"{len(content_masks)} for {len(pairs)} styles, expected one each")
    if style_masks and len(style_masks) != len(content_masks):
        raise OptionError("style_masks", f"{len(style_masks)} for {len(content_masks)} content masks")
    found = [_style(picture, weight) for picture, weight in pairs]
    if len(found) == 1:
        found *= max(1, len(content_masks))
    return [
        replace(
            style,
            content_mask=_mask(content_mask, "content_masks"),
            style_mask=_mask(style_mask, "style_masks"),
        )
        for style, content_mask, style_mask in zip_longest(found, content_masks, style_masks)
    ]


def _style(given: PictureLike, weight: float) -> Style:
    """A style picture, or what a style file says of one."""
    if not 0 < weight < float("inf"):
        raise OptionError("style", f"a weight must be above 0, got {weight:g}")
    if isinstance(given, str | os.PathLike) and is_style_file(Path(given)):
        return Style(None, weight, saved=load_style(Path(given)))
    return Style(to_image(picture_of(given, "style").pixels), weight)


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int | float)


def _mask(given: PictureLike | None, name: str) -> Tensor | None:
    """A mask as (1, 1, H, W) in [0, 1]."""
    return None if given is None else mask_of(picture_of(given, name), name)


def _stylized(result: StylizeResult, photo: Picture) -> Stylized:
    size = (result.image.shape[-2], result.image.shape[-1])
    alpha = None if photo.alpha is None else resize(to_image(photo.alpha), size)
    return Stylized(result.image, alpha, result.steps, result.history, result.seconds)
