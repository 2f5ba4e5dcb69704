"""Networks by name, with their weights, on a device: where nn and runtime meet."""

from collections.abc import Collection

import torch

from imgtool.errors import WeightsError
from imgtool.nn.vgg import VGG
from imgtool.options import STYLE_NETWORKS
from imgtool.runtime.checkpoints import load_into, load_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile


def load_vgg(
    weights: WeightsFile, layers: Collection[str], device: Device, *, pool: str = "max", margin: int = 0
) -> VGG:
    """A frozen VGG up to its deepest layer in `layers`.

    Args:
        weights: of a VGG-16 or VGG-19.
        layers: names of the convolutions whose features are wanted.
        device: where it runs and in which type.
        pool: "max" or "average".
        margin: see `VGG`.
    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    if weights.network not in STYLE_NETWORKS.values():
        found = weights.network or "an unknown network"
        raise WeightsError(
            f"{weights.name} holds {found}, expected vgg16 or vgg19", hint="imgtool weights list"
        )
    network = VGG(weights.network, layers, preprocessing=weights.preprocessing, pool=pool, margin=margin)
    load_into(network, load_tensors(weights), name=weights.name, surplus=True)
    for convolution in network.children():  # the normalisation before them stays fp32
        convolution.to(device.dtype)
    return network.to(device.torch, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]
