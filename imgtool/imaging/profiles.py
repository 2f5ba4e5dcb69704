"""Colours of other spaces brought to sRGB: embedded ICC profiles, CMYK and Lab."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

_SPACE = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK", "LAB": "Lab "}


def to_srgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """An 8-bit picture without alpha as mode RGB in sRGB, and what there is to tell about it.

    A profile that moves no colour by more than one level is left out, so sRGB pictures keep their exact
    pixels. A damaged or unfitting profile is left out too, with a note.

    Args:
        image: Mode L, RGB, CMYK or LAB.
        icc: The embedded profile, if any.
    """
    if icc:
        try:
            return _apply(image, icc)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            rgb, notes = to_srgb(image, None)
            return rgb, (f"colour profile ignored: {str(error) or 'unreadable'}", *notes)
    if image.mode == "LAB":
        transform = _transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")
        return _converted(image, transform), ("Lab converted to sRGB",)
    if image.mode == "CMYK":
        return image.convert("RGB"), ("CMYK without a colour profile: colours are approximate",)
    return image.convert("RGB"), ()


def changes_colors(mode: str, icc: bytes) -> bool:
    """Whether a profile moves the colours of a picture of mode L or RGB visibly away from sRGB."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return _fits(profile, mode) and not _is_identity(_transform(profile, mode), mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False


def _apply(image: Image.Image, icc: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    if image.mode == "L" and _fits(profile, "RGB"):
        image = image.convert("RGB")
    if not _fits(profile, image.mode):
        raise ValueError(f"it is for {profile.profile.xcolor_space.strip()}, the picture is {image.mode}")
    transform = _transform(profile, image.mode)
    if image.mode in ("L", "RGB") and _is_identity(transform, image.mode):
        return image.convert("RGB"), ()
    name = " ".join((profile.profile.profile_description or "its colour profile").split())
    return _converted(image, transform), (f"{name} converted to sRGB",)


def _fits(profile: ImageCms.ImageCmsProfile, mode: str) -> bool:
    return profile.profile.xcolor_space == _SPACE[mode]


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    # The shortcuts that are exact enough for colours miss dark greys by ten levels
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.PERCEPTUAL
    return ImageCms.buildTransform(profile, srgb, mode, "RGB", intent, flags)


def _converted(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves a lattice of colours where it is, within one level."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    probe = (
        levels[None]
        if mode == "L"
        else np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    )
    moved = np.asarray(_converted(Image.fromarray(probe), transform)).astype(int)
    same = np.broadcast_to(probe[..., None], moved.shape) if mode == "L" else probe
    return int(np.abs(moved - same).max()) <= 1
