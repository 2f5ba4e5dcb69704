"""Colours of other spaces become the sRGB they stand for."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from imgtool.imaging.io import read_picture

# Columns: the primaries' XYZ, adapted to D50
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
D50 = np.array([0.9642, 1.0, 0.8249])
P3_PATCHES = np.array(
    [[200, 100, 50], [90, 160, 100], [128, 128, 128], [60, 70, 180], [250, 240, 235]], np.uint8
)


def linear(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def icc(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile, version 2.4, from its tags."""
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(fixed, D50)), **tags}
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", offset + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + len(body), b"test", 0x02400000, kind, space, connection, bytes(12), b"acsp"
    )
    head += bytes(28) + b"".join(map(fixed, D50))
    return head.ljust(128, b"\0") + body


def curve(values: np.ndarray) -> bytes:
    levels = np.rint(values * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(levels)) + levels.tobytes()


def rgb_profile(primaries: np.ndarray, transfer: np.ndarray) -> bytes:
    tags = {}
    for index, channel in enumerate(b"rgb"):
        tags[bytes([channel]) + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(map(fixed, primaries[:, index]))
        tags[bytes([channel]) + b"TRC"] = curve(transfer)
    return icc(b"RGB ", tags)


DISPLAY_P3 = rgb_profile(P3, linear(np.linspace(0, 1, 1024)))
SRGB_BY_HAND = rgb_profile(SRGB, linear(np.linspace(0, 1, 1024)))
GRAY_LINEAR = icc(b"GRAY", {b"kTRC": curve(np.linspace(0, 1, 256))})


def saved(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer


def assert_close(pixels: np.ndarray, expected: np.ndarray, delta_e: float) -> None:
    distance = deltaE_ciede2000(rgb2lab(pixels), rgb2lab(expected.astype(float)))
    assert distance.max() < delta_e, f"{distance.max():.2f}: {pixels} {expected}"


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_display_p3(format: str) -> None:
    expected = encoded(linear(P3_PATCHES / 255) @ (np.linalg.inv(SRGB) @ P3).T)
    blocks = P3_PATCHES.repeat(16, axis=0)[None].repeat(16, axis=0)  # (16, 80, 3)
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}.get(
        format, {"quality": 100, "subsampling": "4:4:4"}
    )
    picture = read_picture(saved(Image.fromarray(blocks), format, icc_profile=DISPLAY_P3, **options))
    assert_close(picture.pixels[8, 8::16], expected, 1.0 if format in ("PNG", "TIFF", "WEBP") else 2.0)
    assert picture.notes == ("test converted to sRGB",)
    assert np.abs(picture.pixels[8, 8].astype(int) - P3_PATCHES[0]).max() > 8  # it was not left as it is


def test_alpha_is_kept_apart_from_the_profile() -> None:
    alpha = np.array([[0, 1, 128, 254, 255]], np.uint8)
    image = Image.fromarray(np.dstack((P3_PATCHES[None], alpha)))
    picture = read_picture(saved(image, "PNG", icc_profile=DISPLAY_P3))
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert_close(picture.pixels[0], encoded(linear(P3_PATCHES / 255) @ (np.linalg.inv(SRGB) @ P3).T), 1.0)


@pytest.mark.parametrize(
    "profile", [SRGB_BY_HAND, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]
)
def test_srgb_profiles_change_nothing(profile: bytes) -> None:
    array = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = read_picture(saved(Image.fromarray(array), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(picture.pixels, array)
    assert picture.notes == ()


def test_gray_profile() -> None:
    levels = np.array([[0, 10, 64, 128, 255]], np.uint8)
    picture = read_picture(saved(Image.fromarray(levels), "PNG", icc_profile=GRAY_LINEAR))
    assert np.abs(picture.pixels[0, :, 1] - encoded(levels / 255)[0] * 255).max() <= 1


def test_gray_with_an_rgb_profile() -> None:
    levels = np.array([[0, 64, 255]], np.uint8)
    profile = rgb_profile(SRGB, np.linspace(0, 1, 256))
    picture = read_picture(saved(Image.fromarray(levels), "PNG", icc_profile=profile))
    assert np.abs(picture.pixels[0, :, 1] - encoded(levels / 255)[0] * 255).max() <= 1


def test_gamma_2_2_is_not_srgb() -> None:
    profile = rgb_profile(SRGB, np.linspace(0, 1, 1024) ** 2.2)
    picture = read_picture(
        saved(Image.fromarray(np.full((1, 1, 3), 32, np.uint8)), "PNG", icc_profile=profile)
    )
    assert abs(int(picture.pixels[0, 0, 0]) - encoded(np.array((32 / 255) ** 2.2)) * 255) <= 1
    assert picture.pixels[0, 0, 0] < 28


def test_palette_with_a_profile() -> None:
    image = Image.fromarray(np.arange(5, dtype=np.uint8)[None])
    image.putpalette(P3_PATCHES.tobytes())
    picture = read_picture(saved(image, "PNG", icc_profile=DISPLAY_P3))
    assert_close(picture.pixels[0], encoded(linear(P3_PATCHES / 255) @ (np.linalg.inv(SRGB) @ P3).T), 1.0)


def test_16_bits() -> None:
    ramp = np.linspace(0, 65535, 300).astype(np.uint16)[None]
    kept = read_picture(saved(Image.fromarray(ramp), "PNG", icc_profile=SRGB_BY_HAND))
    np.testing.assert_array_equal(kept.pixels[..., 0], ramp)
    for profile in (GRAY_LINEAR, rgb_profile(SRGB, np.linspace(0, 1, 256))):
        reduced = read_picture(saved(Image.fromarray(ramp), "PNG", icc_profile=profile))
        assert reduced.pixels.dtype == np.uint8
        assert reduced.notes[0] == "16 bits reduced to 8, to apply the colour profile"
        assert np.abs(reduced.pixels[0, :, 0] - encoded(np.rint(ramp / 257) / 255)[0] * 255).max() <= 1


@pytest.mark.parametrize("profile", [b"nonsense", DISPLAY_P3[:200], GRAY_LINEAR, bytes(4000)])
def test_useless_profile_is_ignored_with_a_note(profile: bytes) -> None:
    array = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    picture = read_picture(saved(Image.fromarray(array), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(picture.pixels, array)
    assert picture.notes[0].startswith("colour profile ignored: ")
    assert "\n" not in picture.notes[0]


INKS = np.array(
    [[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 128], [0, 128, 0, 0]], np.uint8
)
INKS_RGB = np.array(
    [[255, 255, 255], [0, 0, 0], [0, 255, 255], [255, 0, 0], [127, 127, 127], [255, 127, 255]]
)


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_cmyk_without_a_profile(format: str) -> None:
    blocks = INKS.repeat(16, axis=0)[None].repeat(16, axis=0)
    options = {"quality": 100} if format == "JPEG" else {}
    buffer = saved(Image.frombytes("CMYK", (96, 16), blocks.tobytes()), format, **options)
    if format == "JPEG":  # Adobe's inverted inks: no ink is stored as 255
        assert b"Adobe" in buffer.getvalue()
    picture = read_picture(buffer)
    assert np.abs(picture.pixels[8, 8::16].astype(int) - INKS_RGB).max() <= 3
    assert picture.notes == ("CMYK without a colour profile: colours are approximate",)


def test_cmyk_with_a_profile() -> None:
    # A press whose inks are all grey: L* falls from 100 by a third for each of C, M, Y, and to 0 with K
    grid = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    lightness = 255 * (1 - grid[:, :3].sum(1) / 3) * (1 - grid[:, 3])
    lab = np.stack((lightness, np.full(16, 128), np.full(16, 128)), axis=1).round().astype(np.uint8)
    line = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + b"".join(map(fixed, np.eye(3).ravel()))
    profile = icc(b"CMYK", {b"A2B0": table + line * 4 + lab.tobytes() + line * 3}, b"prtr", b"Lab ")
    picture = read_picture(
        saved(Image.frombytes("CMYK", (6, 1), INKS.tobytes()), "TIFF", icc_profile=profile)
    )
    light = np.array([100, 0, 200 / 3, 100 / 3, 100 * (1 - 128 / 255), 100 - 100 / 3 * 128 / 255])
    y = np.where(light > 8, ((light + 16) / 116) ** 3, light / 903.3)
    assert np.abs(picture.pixels[0] - encoded(y)[:, None] * 255).max() <= 3


def test_lab() -> None:
    lab = np.array(
        [[255, 128, 128], [0, 128, 128], [127, 128, 128], [135, 168, 158], [150, 100, 148]], np.uint8
    )
    picture = read_picture(
        saved(Image.merge("LAB", [Image.fromarray(band[None]) for band in lab.T.copy()]), "TIFF")
    )
    light, a, b = lab[:, 0] / 2.55, lab[:, 1] - 128.0, lab[:, 2] - 128.0
    f = np.stack(((light + 16) / 116 + a / 500, (light + 16) / 116, (light + 16) / 116 - b / 200), axis=1)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * D50
    expected = encoded(xyz @ np.linalg.inv(SRGB).T)
    assert_close(picture.pixels[0], expected, 2.0)
    assert picture.notes == ("Lab converted to sRGB",)
