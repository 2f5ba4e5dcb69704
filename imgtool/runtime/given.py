"""Weights that a user points at: a file, or the folder of a training run."""

import json
from pathlib import Path

from imgtool.errors import WeightsError
from imgtool.files import printable, sha256_file
from imgtool.runtime.entries import WeightsFile

MODEL = "model.safetensors"  # What a training run leaves for the command that uses it
SAMPLE = 1 << 20  # Bytes; names of tensors stand at the beginning of a file, in every format

# A tensor that only this network has: what it fits, and the input it was trained on. The first match counts.
SIGNS = {
    "features.34.weight": ("vgg19", "torchvision"),
    "features.28.weight": ("vgg16", "torchvision"),
    "fuse.weight": ("hed", "hed"),
    "down0.first.weight": ("unet", "none"),
    "recurrent.weight_ih_l0": ("captcha-reader", "none"),
    "Mixed_7c.branch_pool.conv.weight": ("inception", "none"),
    "conv5_4.weight": ("vgg19", "caffe"),
    "conv5_3.weight": ("vgg16", "caffe"),
}


def given_weights(path: str) -> WeightsFile | None:
    """The weights at a path; None for a word that is no path at all.

    Raises:
        WeightsError: there is nothing at this path, or nothing that can be read.
    """
    try:
        return _at(path, Path(path).expanduser())
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{printable(path)} cannot be read: {getattr(error, 'strerror', error)}"
        ) from error


def _at(name: str, path: Path) -> WeightsFile | None:
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise WeightsError(f"{printable(path)} has no {MODEL}, which a finished training run has")
        path = path / MODEL
    if path.is_file():
        return _described(name, path)
    if path.suffix or len(path.parts) > 1:
        expected = "expected weights (.safetensors or .pth) or a training run"
        raise WeightsError(f"{printable(path)}: no such file, {expected}")
    return None


def _described(name: str, path: Path) -> WeightsFile:
    """What a file is: it says so itself, or else its tensors' names do."""
    with path.open("rb") as file:
        start = file.read(SAMPLE)
    guesses = (guess for sign, guess in SIGNS.items() if sign.encode() in start)
    network, preprocessing = next(guesses, ("", "caffe"))
    said = _metadata(start)
    return WeightsFile(
        name=name,
        path=path,
        sha256=sha256_file(path),
        network=said.get("network", network),
        preprocessing=said.get("preprocessing", preprocessing),
        source=f"given as {printable(name)}",
    )


def _metadata(start: bytes) -> dict[str, str]:
    """The metadata of a safetensors file; empty for any other, and for one that has none."""
    try:
        header = json.loads(start[8 : 8 + int.from_bytes(start[:8], "little")])
        return {str(key): str(value) for key, value in header["__metadata__"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
