"""Style files: what `stylize` has to know of a style picture, without the picture."""

import hashlib
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtool.errors import BadImage, OptionError
from imgtool.files import printable
from imgtool.imaging.recipes import KEY as RECIPE
from imgtool.imaging.tensors import fit, resize
from imgtool.losses.gram import gram_matrix
from imgtool.nn.vgg import CHANNELS, VGG
from imgtool.options.style_file import LEAST_SIDE, MOST_SIDE, SUFFIX
from imgtool.runtime.checkpoints import load_safetensors
from imgtool.runtime.convert import write_safetensors
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile

FORMAT = 1
KEY = "imgstyle"  # in the metadata
MOST_BYTES = 1 << 30
MOST_SIDES = 64
BEYOND = math.sqrt(2)  # a side further than this from all that were measured has other strokes

Grams = dict[str, Tensor]  # by layer, (1, C, C)


@dataclass(frozen=True)
class Measured:
    """What Gram matrices depend on besides the picture.

    Attributes:
        weights: SHA-256 of the network's.
        network: what it is called.
        pool: a key of `POOLS`.
        rescaled: whether its filters have a mean activation of 1.
        precision: in which the network ran; matrices are fp32.
    """

    weights: str
    network: str
    pool: str
    rescaled: bool
    precision: str

    @classmethod
    def by(cls, weights: WeightsFile, device: Device, *, pool: str, rescaled: bool = False) -> Self:
        """Those of a network with these weights on a device."""
        return cls(weights.sha256, weights.network, pool, rescaled, device.precision)


@dataclass(frozen=True)
class StyleFile:
    """The Gram matrices of one style picture at several sizes.

    Attributes:
        grams: by the longest side in pixels at which they were measured, in ascending order.
        measured: how.
        name: what it is called in an error.
    """

    grams: Mapping[int, Grams]
    measured: Measured
    name: str

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        grams = {
            side: {layer: gram.to(device) for layer, gram in each.items()}
            for side, each in self.grams.items()
        }
        return replace(self, grams=grams)

    def require(self, measured: Measured, layers: Collection[str]) -> None:
        """Refuse matrices of another network.

        Raises:
            OptionError: names the first thing that differs, or a layer that is missing.
        """
        own = self.measured
        if own.weights != measured.weights:
            found, expected = (f"{each.network} {each.weights[:12]}…" for each in (own, measured))
            reason = f"was measured with {found}, not {expected}"
            raise OptionError(
                "style", f"{self.name} {reason}", hint="save-style with the same --network or --weights"
            )
        if (own.pool, own.rescaled) != (measured.pool, measured.rescaled):
            reason = f"was measured with {_network(own)}, not {_network(measured)}"
            raise OptionError("style", f"{self.name} {reason}")
        known = next(iter(self.grams.values()))
        if missing := [layer for layer in layers if layer not in known]:
            reason = f"has no {missing[0]}, only {', '.join(sorted(known))}"
            raise OptionError("style", f"{self.name} {reason}", hint="--style-layers")

    def require_sides(self, sides: Sequence[float]) -> None:
        """Refuse sizes that are too far from those that were measured.

        Raises:
            OptionError: names the first.
        """
        low, high = min(self.grams), max(self.grams)
        for side in sides:
            if not low / BEYOND <= side <= high * BEYOND:
                reason = f"was measured at {low} to {high} px and is wanted at {side:.0f} px"
                hint = "a larger --size" if side < low else f"save-style --size {math.ceil(side)}"
                raise OptionError("style", f"{self.name} {reason}", hint=hint)

    def at(self, side: float, layers: Collection[str]) -> Grams:
        """Gram matrices for a longest side in pixels, between those of the two sizes next to it."""
        low = max((each for each in self.grams if each <= side), default=min(self.grams))
        high = min((each for each in self.grams if each >= side), default=max(self.grams))
        share = math.log(side / low) / math.log(high / low) if high > low else 0.0
        below, above = self.grams[low], self.grams[high]
        return {layer: torch.lerp(below[layer], above[layer], share) for layer in layers}


def _network(measured: Measured) -> str:
    return f"{measured.pool} pooling{' and activations of 1' if measured.rescaled else ''}"


@torch.no_grad()
def measure_style(
    image: Tensor, layers: Collection[str], *, network: VGG, measured: Measured, largest: int
) -> StyleFile:
    """The style of a picture.

    Args:
        image: (1, 3, H, W) in [0, 1].
        layers: whose Gram matrices are wanted.
        network: where it is, the work is done.
        measured: what the network is.
        largest: longest side in pixels that is measured; none beyond the picture's own is, above 512.
    """
    side = max(image.shape[-2:])
    sides = [LEAST_SIDE * 2**octave for octave in range(16)]
    sides = [each for each in sides if each <= min(largest, max(512, BEYOND * side))]
    device = next(network.parameters()).device
    grams = {}
    for each in sides:
        at_side = resize(image, fit((image.shape[-2], image.shape[-1]), each)).to(device)
        features = network.stream(at_side)
        grams[each] = {layer: gram_matrix(found).cpu() for layer, found in features if layer in layers}
    return StyleFile(grams, measured, "the style")


def style_bytes(style: StyleFile, recipe: str) -> bytes:
    """A style file: one triangle of each matrix, what they are, and how it was made."""
    arrays = {
        f"{side}/{layer}": gram[0][tuple(torch.tril_indices(*gram.shape[-2:]))].float().numpy()
        for side, grams in style.grams.items()
        for layer, gram in grams.items()
    }
    about = {"format": FORMAT, "sha256": _digest(arrays), **asdict(style.measured)}
    file = io.BytesIO()
    write_safetensors(file, arrays, {KEY: json.dumps(about), RECIPE: recipe})
    return file.getvalue()


def is_style_file(path: Path) -> bool:
    """Whether a file looks like one: no picture has a brace after eight bytes of a small number."""
    try:
        if not path.is_file():  # a pipe can be read only once
            return False
        with path.open("rb") as file:
            start = file.read(9)
    except (OSError, ValueError):
        return False
    return path.suffix.lower() == f".{SUFFIX}" or (start[8:] == b"{" and start[4:8] == bytes(4))


def load_style(path: Path) -> StyleFile:
    """What `style_bytes` made; nothing in a file is ever executed.

    Raises:
        BadImage: it is damaged, or not what it claims to be.
    """
    name = printable(path)
    try:
        tensors, metadata = load_safetensors(path, at_most=MOST_BYTES)
    except BadImage as error:
        raise BadImage(name, error.reason, hint="imgtool save-style PAINTING") from error
    try:
        about = json.loads(metadata[KEY])
        measured = _measured(about)
        grams = _grams(tensors)
        held = {name: tensor.numpy() for name, tensor in tensors.items()}
        _require(about["sha256"] == _digest(held), "its numbers are not those that were written")
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise BadImage(name, f"no style file: {reason}", hint="imgtool save-style PAINTING") from error
    return StyleFile(grams, measured, name)


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """The SHA-256 of all names and numbers: damage that leaves numbers finite would only be seen in pictures."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _measured(about: Mapping[str, Any]) -> Measured:
    _require(about["format"] == FORMAT, f"it is of format {str(about['format'])[:20]}, expected {FORMAT}")
    found = Measured(**{name: about[name] for name in Measured.__dataclass_fields__})
    words = (found.weights, found.network, found.pool, found.precision)
    _require(all(isinstance(word, str) and word.isascii() and word.isprintable() for word in words), "words")
    _require(max(map(len, words)) <= 64 and isinstance(found.rescaled, bool), "its description is none")
    return found


def _grams(tensors: Mapping[str, Tensor]) -> dict[int, Grams]:
    """Whole matrices by size and layer, each checked; every size has the same layers."""
    grams: dict[int, Grams] = {}
    for name, triangle in tensors.items():
        side, _, layer = name.partition("/")
        _require(side.isdecimal() and len(side) <= 5, f"{name[:40]!r} is no size and layer")
        _require(LEAST_SIDE <= int(side) <= MOST_SIDE, f"a size of {side} px")
        grams.setdefault(int(side), {})[layer] = _whole(name, layer, triangle)
    _require(0 < len(grams) <= MOST_SIDES, f"{len(grams)} sizes")
    first, *others = grams.values()
    _require(all(first.keys() == other.keys() for other in others), "its sizes have not the same layers")
    return dict(sorted(grams.items()))


def _whole(name: str, layer: str, triangle: Tensor) -> Tensor:
    """(1, C, C) from one triangle of it."""
    block = layer.removeprefix("conv").partition("_")[0]
    _require(block in ("1", "2", "3", "4", "5"), f"{name[:40]!r} is no layer")
    channels = CHANNELS[int(block) - 1]
    expected = channels * (channels + 1) // 2
    found = f"{str(triangle.dtype).removeprefix('torch.')} {tuple(triangle.shape)}"
    _require(found == f"float32 ({expected},)", f"{name} is {found}, expected float32 ({expected},)")
    _require(bool(torch.isfinite(triangle).all()), f"{name} holds NaN or infinity")
    whole = torch.zeros(channels, channels)
    rows, columns = torch.tril_indices(channels, channels)
    whole[rows, columns] = triangle
    whole[columns, rows] = triangle
    return whole[None]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
