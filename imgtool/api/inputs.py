"""What a function of Python is given: pictures as paths, PIL images, arrays or tensors, and options as keywords."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from imgtool.errors import BadImage, OptionError
from imgtool.imaging.color import luma
from imgtool.imaging.io import MAX_PIXELS, from_pillow, read_picture
from imgtool.imaging.picture import Picture
from imgtool.imaging.raster import Raster, raster_of
from imgtool.imaging.raster_files import open_raster
from imgtool.imaging.tensors import to_image
from imgtool.runtime.device import Device, select_device
from imgtool.runtime.registry import WeightsFile, find_weights

# A path; a PIL image; (H, W, 3 or 4) uint8, uint16 or float in [0, 1]; (1, 3, H, W) or (3, H, W) in [0, 1].
PictureLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
Options = TypeVar("Options")
Loaded = TypeVar("Loaded")


def options_of(function: str, make: Callable[..., Options], given: Mapping[str, Any]) -> Options:
    """Options from keywords.

    Args:
        function: that got them.
        make: the class of the options, or what makes one.
        given: the keywords.
    Raises:
        OptionError: a value makes no sense.
        TypeError: there is no such keyword, or it is of another type, as Python says it of any function.
    """
    try:
        return make(**given)
    except TypeError as error:
        raise TypeError(re.sub(r"\w+Options.__init__\(\)", f"{function}()", str(error))) from error


def loaded(
    load: Callable[[WeightsFile, Device], Loaded],
    weights: str | os.PathLike[str],
    *,
    device: str,
    precision: str,
) -> Loaded:
    """A network on its device, as `load` makes it; the random numbers of the program stay as they are.

    Raises:
        DeviceError, WeightsError: one of them cannot be had.
    """
    chosen = select_device(device, precision)
    with torch.random.fork_rng(devices=[]):  # a new network draws numbers before it gets its weights
        return load(find_weights(os.fspath(weights)), chosen)


def picture_of(given: PictureLike, name: str) -> Picture:
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


def raster_given(given: PictureLike) -> Raster:
    """What was given, with all its channels."""
    if isinstance(given, str | os.PathLike):
        return open_raster(given, max_pixels=MAX_PIXELS)
    if isinstance(given, np.ndarray):
        if given.ndim not in (2, 3) or 0 in given.shape or given.dtype.kind not in "uifb":
            raise BadImage(
                "image", f"an array of {given.shape} {given.dtype}, expected numbers (H, W) or (H, W, C)"
            )
        return raster_of(given)
    picture = picture_of(given, "image")
    return raster_of(picture.pixels[..., :1] if picture.is_gray else picture.pixels)


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
