"""Networks by name, with their weights, on a device: where nn and runtime meet."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from imgtool.errors import OptionError, WeightsError
from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.nn.hed import HED, INPUTS
from imgtool.nn.style_net import StyleNet
from imgtool.nn.unet import UNet
from imgtool.nn.vgg import PREPROCESSING, VGG
from imgtool.options.fast_style import STYLE_NET
from imgtool.options.stylize import STYLE_NETWORKS, StylizeOptions
from imgtool.runtime.checkpoints import load_into, load_metadata, load_tensors, require_fit
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile, registry
from imgtool.tasks.fast_style import Painter
from imgtool.tasks.read_captcha import Reader
from imgtool.tasks.segment import Segmenter

Network = TypeVar("Network", bound=nn.Module)


def load_described(
    weights: WeightsFile, kind: str, build: Callable[[Mapping[str, Any]], Network]
) -> tuple[Network, Mapping[str, Any]]:
    """A network whose file says how it is made, and all that it says; counts that the file lacks are 0.

    Args:
        weights: a file of ours.
        kind: of network, by which its description is called too.
        build: makes the network of its description.
    Raises:
        WeightsError: the weights are of another network, or do not fit what they claim.
    """
    require_network(weights, kind)
    with _faults_told(weights, kind):
        about = json.loads(load_metadata(weights).get(kind, "{}"))
        network = _built(weights, load_tensors(weights), lambda: build(about))
    return network.requires_grad_(False).eval(), about


def require_network(weights: WeightsFile, *known: str) -> None:
    """Refuse weights of any other network.

    Raises:
        WeightsError: says which one they are of.
    """
    if weights.network not in known:
        found = weights.network or "an unknown network"
        expected = " or ".join(known)
        raise WeightsError(f"{weights.name} holds {found}, expected {expected}", hint="imgtool weights list")


@contextmanager
def _faults_told(weights: WeightsFile, what: str) -> Iterator[None]:
    """Tell in one line why a network cannot be what its file claims, which a stranger may have written.

    Raises:
        WeightsError: it cannot.
    """
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, RecursionError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise WeightsError(f"{weights.name} is no {what}: {reason}") from error


def _built(weights: WeightsFile, tensors: Mapping[str, Tensor], build: Callable[[], Network]) -> Network:
    """A network of the sizes that a file claims, with its weights in fp32, on the CPU.

    Whatever is claimed takes no memory before the weights are found to be of that size.

    Args:
        weights: the file.
        tensors: that it holds; what networks count, such as batches, may be missing and is 0.
        build: makes the network.
    Raises:
        WeightsError: the weights do not fit. What `build` raises too.
    """
    with torch.device("meta"):
        claimed = build()
    state = claimed.state_dict().items()
    counts = {name: torch.zeros((), dtype=each.dtype) for name, each in state if not each.is_floating_point()}
    whole = {**counts, **tensors}
    require_fit(claimed, whole, name=weights.name)
    network = build()
    network.load_state_dict(whole)
    return network


def activations_name(weights: WeightsFile) -> str | None:
    """What the mean activations measured of these very weights are called; None if nobody measured them."""
    published = (name for name, entry in registry().items() if entry.converted.sha256 == weights.sha256)
    name = f"{next(published, None)}-activations"
    return name if name in registry() else None


def load_vgg(
    weights: WeightsFile,
    layers: Collection[str],
    device: Device,
    *,
    pool: str = "max",
    margin: int = 0,
    activations: WeightsFile | None = None,
) -> VGG:
    """A frozen VGG up to its deepest layer in `layers`.

    Args:
        weights: of a VGG-16 or VGG-19.
        layers: names of the convolutions whose features are wanted.
        device: where it runs and in which type.
        pool: "max" or "average".
        margin: see `VGG`.
        activations: mean activations by which it is rescaled, see `VGG.rescale`.
    Raises:
        WeightsError: the weights are of another network, or do not fit.
        OptionError: the weights' features are too large for the device's type.
    """
    require_network(weights, "vgg16", "vgg19")
    if weights.preprocessing not in PREPROCESSING:
        raise WeightsError(
            f"{weights.name} wants {weights.preprocessing!r} input, expected {' or '.join(PREPROCESSING)}"
        )
    if device.dtype == torch.float16 and weights.preprocessing == "caffe":
        # Its Gram products pass 65504, the largest number of fp16, before they can be summed in fp32.
        raise OptionError("precision", f"fp16 overflows with {weights.name}", hint="--precision bf16 or fp32")
    network = VGG(weights.network, layers, preprocessing=weights.preprocessing, pool=pool, margin=margin)
    load_into(network, load_tensors(weights), name=weights.name, surplus=True)
    if activations:
        network.rescale(load_tensors(activations))
    for convolution in network.children():  # the normalisation before them stays fp32
        convolution.to(device.dtype)
    return device.placed(network).eval()


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


def load_hed(weights: WeightsFile, device: Device, *, gradients: bool = False) -> HED:
    """A frozen edge detector, as wide and deep as its weights say.

    Args:
        weights: of an edge detector.
        device: where it runs and in which type.
        gradients: whether those of its input are wanted, which takes longer.
    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    return for_inference(hed_of(load_tensors(weights), weights), device, gradients=gradients)


def for_inference(network: HED, device: Device, *, gradients: bool = False) -> HED:
    """An edge detector on its device, in its type, frozen and as fast as can be."""
    if device.torch.type == "cpu" and not gradients:
        network.quicken()
    for convolution in network.children():  # the normalisation before them stays fp32
        convolution.to(device.dtype)
    return device.placed(network.requires_grad_(False)).eval()


def hed_of(tensors: Mapping[str, Tensor], weights: WeightsFile) -> HED:
    """An edge detector with its weights in fp32, on the CPU.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    require_network(weights, "hed")
    if weights.preprocessing not in INPUTS:
        raise WeightsError(
            f"{weights.name} wants {weights.preprocessing!r} input, expected {', '.join(INPUTS)}"
        )
    with _faults_told(weights, "edge detector"):
        return _built(weights, tensors, lambda: HED.shaped_as(tensors, preprocessing=weights.preprocessing))


def load_segmenter(weights: WeightsFile, device: Device) -> Segmenter:
    """A U-Net as `train-segment` left it.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    require_network(weights, "unet")
    tensors = load_tensors(weights)
    with _faults_told(weights, "segmenter"):
        network = _built(weights, tensors, lambda: UNet.shaped_as(tensors))
        about = json.loads(load_metadata(weights).get("segment", "{}"))
        names = tuple(str(name) for name in about.get("classes", range(network.classes)))
        threshold = float(about.get("threshold", 0.5))
        objects, probes = about.get("objects") is True, about.get("probes") is True
        if len(names) != network.classes:
            raise ValueError(f"it names {len(names)} classes and has {network.classes}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"it has a threshold of {threshold:g}")
        if objects and len(names) != 3:
            raise ValueError(f"it knows objects by {len(names)} classes, expected 3")
        if probes and not network.norm:
            raise ValueError("it wants statistics of probes and has no normalisation")
    network = network.requires_grad_(False).eval().to(device.torch)
    return Segmenter(network, device.dtype, names, threshold, objects, probes)


def load_reader(weights: WeightsFile, device: Device) -> Reader:
    """A reader of captchas as `train-captcha` left it.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    require_network(weights, "captcha-reader")
    tensors = load_tensors(weights)
    with _faults_told(weights, "reader of captchas"):
        about = json.loads(load_metadata(weights)["captcha"])
        alphabet, height = about["alphabet"], about["height"]
        if not isinstance(alphabet, str) or len(set(alphabet)) < len(alphabet):
            raise ValueError("its alphabet is none")
        if not isinstance(height, int):
            raise ValueError("its height is no number")
        network = _built(weights, tensors, lambda: CaptchaReader.shaped_as(tensors, height=height))
        if network.classes != len(alphabet) + 1:
            raise ValueError(f"it names {len(alphabet)} characters and has {network.classes - 1}")
    network = network.requires_grad_(False).eval()
    return Reader(device.placed(network), alphabet, device.dtype)


def load_painter(weights: WeightsFile, device: Device) -> Painter:
    """A style network as `train-style` left it.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    require_network(weights, STYLE_NET)
    tensors = load_tensors(weights)
    with _faults_told(weights, "style network"):
        styles = json.loads(load_metadata(weights)["style"])["styles"]
        network = _built(weights, tensors, lambda: StyleNet.shaped_as(tensors))
        if not isinstance(styles, list) or len(set(map(str, styles))) != network.styles:
            raise ValueError(f"it does not name its {network.styles} styles")
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):  # what is normalised by stays fp32
            module.to(device.dtype)
    return Painter(device.placed(network.requires_grad_(False).eval()), tuple(map(str, styles)))
