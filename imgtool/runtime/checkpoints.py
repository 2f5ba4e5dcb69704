"""Files of weights: the only place that calls `torch.load`, and only with `weights_only=True`."""

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from imgtool.errors import BadImage, WeightsError
from imgtool.files import atomic_write, first_line, printable
from imgtool.runtime.convert import write_safetensors

if TYPE_CHECKING:
    from imgtool.runtime.entries import WeightsFile

MAX_HEADER_BYTES = 100_000_000  # The format's own limit
WRAPPERS = ("state_dict", "model", "params")  # Where other people's checkpoints keep their tensors


def load_tensors(file: "WeightsFile | Path") -> dict[str, Tensor]:
    """The tensors of a file, on the CPU, by the names that our networks use; halves become fp32.

    torchvision's VGG is recognised by its names ("features.0.weight") and gets the paper's (conv1_1.weight).

    Args:
        file: what `find_weights` returned, or a path to a `.safetensors` or to a checkpoint of torch.
    Raises:
        WeightsError: the file is damaged, or holds anything but tensors; nothing in it is ever executed.
    """
    path = file if isinstance(file, Path) else file.path
    try:
        tensors = _safetensors(path) if _is_safetensors(path) else _checkpoint(path)
    except OSError as error:
        raise WeightsError(f"{printable(path)} cannot be read: {error.strerror or error}") from error
    return {
        name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        for name, tensor in paper_names(tensors, path.name).items()
    }


def load_safetensors(path: Path, *, at_most: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file as they are, and its metadata; no other format is tried.

    Raises:
        BadImage: it cannot be read, is damaged, or larger than `at_most` bytes.
    """
    try:
        size = path.stat().st_size
        if size > at_most:
            raise BadImage(printable(path), f"it is {size:,} bytes, expected at most {at_most:,}")
        return read_safetensors(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadImage(printable(path), f"it cannot be read: {reason.lower()}") from error
    except (WeightsError, SafetensorError) as error:
        reason = str(error).removeprefix(f"{printable(path)} ").removeprefix("is ")
        raise BadImage(printable(path), reason) from error


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file as they are, and its metadata.

    Raises:
        OSError: it cannot be read.
        WeightsError: it is damaged, or no safetensors file.
    """
    tensors = _safetensors(path)
    with safe_open(path, "pt") as opened:
        return tensors, dict(opened.metadata() or {})


def load_metadata(file: "WeightsFile | Path") -> dict[str, str]:
    """What a safetensors file says about itself; nothing, if it is of another format.

    Raises:
        WeightsError: the file is damaged.
    """
    path = file if isinstance(file, Path) else file.path
    try:
        if not _is_safetensors(path):
            return {}
        with safe_open(path, "pt") as opened:
            return dict(opened.metadata() or {})
    except OSError as error:
        raise WeightsError(f"{printable(path)} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise WeightsError(f"{printable(path)} is damaged or cut short: {error}") from error


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbers in halves, as `load_tensors` takes them back; tensors with a number too large for that stay fp32."""
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    return {name: half if half.isfinite().all() else tensors[name].float() for name, half in halves.items()}


def described(
    network: nn.Module, kind: str, *, preprocessing: str = "none", **about: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `save_tensors` writes of a network: its weights in halves, and what the file says about itself.

    Args:
        network: what it counts, such as batches, is left out.
        kind: what files call it.
        preprocessing: the input it was trained on, a word that the network knows.
        **about: what else there is to say, by a name; as JSON.
    """
    floats = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
    words = {name: json.dumps(each) for name, each in about.items()}
    return halved(floats), {"format": "pt", "network": kind, "preprocessing": preprocessing, **words}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file of fp32 or fp16; whole or not at all, the same bytes for the same tensors."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        write_safetensors(file, arrays, metadata)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint of torch, for libraries that take nothing else; whole or not at all."""
    with atomic_write(path) as file:
        torch.save(dict(tensors), file)


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, name: str, surplus: bool = False) -> None:
    """Give a network its weights, after checking that each one fits.

    Args:
        module: the network, on any device; its own tensors say what is expected.
        tensors: what `load_tensors` returned.
        name: what these weights are called in an error.
        surplus: allow tensors that the network has no place for, as when a VGG is cut short.
    Raises:
        WeightsError: see `require_fit`.
    """
    require_fit(module, tensors, name=name, surplus=surplus)
    module.load_state_dict({key: tensors[key] for key in module.state_dict()})


def require_fit(
    module: nn.Module, tensors: Mapping[str, Tensor], *, name: str, surplus: bool = False
) -> None:
    """Check that weights fit a network, which may lie on the meta device; see `load_into`.

    Raises:
        WeightsError: names the first tensor that is missing, misshapen, mistyped, not finite or unknown.
    """
    expected = module.state_dict()
    for key in expected:
        if key not in tensors:
            raise WeightsError(f"{name}: {key} is missing, expected {_looks(expected[key])}")
        _require_fit(f"{name}: {key}", tensors[key], expected[key])
    unknown = [key for key in tensors if key not in expected]
    if unknown and not surplus:
        close = f"expected only {', '.join(list(expected)[:3])}, ..." if expected else "expected no tensors"
        raise WeightsError(f"{name}: {unknown[0]} is unknown to the network, {close}")


def _require_fit(what: str, found: Tensor, expected: Tensor) -> None:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise WeightsError(f"{what} is {_looks(found)}, expected {_looks(expected)}")
    if found.is_floating_point() and not torch.isfinite(found).all():
        raise WeightsError(f"{what} holds NaN or infinity, expected finite numbers")


def _looks(tensor: Tensor) -> str:
    """ "float32 (64, 3, 3, 3)"."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _is_safetensors(path: Path) -> bool:
    """By name, or by the JSON that begins after eight bytes; no checkpoint of torch has a brace there."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose header is plausible."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(MAX_HEADER_BYTES, size - 8):
        raise WeightsError(
            f"{printable(path)} is no safetensors file: it is {size:,} bytes and claims a header of {header:,}"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{printable(path)} is damaged or cut short: {error}") from error


def _checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint of torch, by its restricted unpickler."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Old checkpoints speak of storages that torch has renamed.
            mapped = zipfile.is_zipfile(path)
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError:
        raise
    except Exception as error:  # The unpickler raises whatever the bytes lead it to
        raise WeightsError(
            f"{printable(path)} is no checkpoint of plain tensors: {first_line(error)}",
            hint="save it as .safetensors, or as a state dict",
        ) from error
    for key in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError(f"{printable(path)} holds a {type(loaded).__name__}, expected tensors by name")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{printable(path)}: {key} is a {type(value).__name__}, expected a tensor")
        special = value.is_sparse or value.is_quantized or value.is_nested or value.layout != torch.strided
        if special or value.device.type != "cpu":
            raise WeightsError(f"{printable(path)}: {key} is no plain tensor, expected numbers one by one")
    # One number can claim to be any number of repeated ones.
    claimed, size = sum(value.nbytes for value in loaded.values()), path.stat().st_size
    if claimed > size:
        raise WeightsError(f"{printable(path)} is {size:,} bytes and claims tensors of {claimed:,}")
    return loaded


def paper_names(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """torchvision's VGG by the paper's layer names, without its classifier; anything else as it is.

    In torchvision's list a ReLU follows each convolution, and a pooling ends each block, so indices of
    convolutions are 2 apart within a block, and 3 apart from one block to the next.
    """
    if "features.0.weight" not in tensors:
        return tensors
    found = {key: re.fullmatch(r"features\.(\d+)\.(weight|bias)", key) for key in tensors}
    strange = [key for key in tensors if not found[key] and not key.startswith("classifier.")]
    if strange:
        raise WeightsError(f"{name}: {strange[0]} is unknown, expected a plain VGG of torchvision")
    indices = sorted({int(match[1]) for match in found.values() if match})
    layers, block, index = {0: "conv1_1"}, 1, 1
    for before, after in pairwise(indices):
        if after - before not in (2, 3):
            raise WeightsError(
                f"{name}: features.{after} is out of place, expected a plain VGG of torchvision"
            )
        block, index = (block, index + 1) if after - before == 2 else (block + 1, 1)
        layers[after] = f"conv{block}_{index}"
    return {f"{layers[int(match[1])]}.{match[2]}": tensors[key] for key, match in found.items() if match}
