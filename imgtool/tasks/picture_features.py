"""Features of pictures in a named space, in which sets of pictures are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from imgtool.errors import WeightsError
from imgtool.nn.alexnet import AlexNet
from imgtool.nn.classifier import Classifier, ClassifierShape
from imgtool.runtime.checkpoints import load_into, load_tensors, save_checkpoint
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.load import load_described, require_network

BATCH = 100

# Told the pictures done and how many there are.
OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """A network that sees pictures.

    Attributes:
        name: what numbers of this space are called; those of two spaces must not be compared.
        network: (N, C, H, W) in [0, 1] to (N, D).
        device: where it is.
    """

    name: str
    network: nn.Module
    device: Device

    def __call__(
        self, pixels: NDArray[np.uint8], on_picture: OnPicture = lambda done, count: None
    ) -> NDArray[np.float32]:
        """Features of pictures (N, S, S, C): (N, D)."""
        found = []
        for start in range(0, len(pixels), BATCH):
            on_picture(start, len(pixels))
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH])).to(
                self.device.torch
            )
            found.append(self.of_images(batch.permute(0, 3, 1, 2).float() / 255))
        return torch.cat(found).numpy()

    @torch.inference_mode()
    def of_images(self, images: Tensor) -> Tensor:
        """Features of images (N, C, H, W) in [0, 1]: (N, D), on the CPU."""
        features: Tensor = self.network(images)
        return features.float().cpu()


def space_of(weights: WeightsFile, device: Device) -> FeatureSpace:
    """The space of a network: AlexNet, a classifier that `train-features` left, or the Inception of FID.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    spaces = {"alexnet": alexnet_space, "inception": inception_space}
    return spaces.get(weights.network, classifier_space)(weights, device)


def classifier_space(weights: WeightsFile, device: Device) -> FeatureSpace:
    """The space "classifier-D-HASH", whose name has its weights' hash: two trainings are two spaces.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    network, _ = load_described(
        weights, "classifier", lambda about: Classifier(ClassifierShape.of(about["shape"]))
    )
    name = f"classifier-{network.shape.features}-{weights.sha256[:8]}"
    return FeatureSpace(name, _Inside(network).to(device.torch), device)


class _Inside(nn.Module):
    """The features of a classifier, of pictures of any size and of grey ones or colours."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        shape = self.network.shape
        if image.shape[1] != shape.channels:
            image = image.mean(dim=1, keepdim=True) if shape.channels == 1 else image.expand(-1, 3, -1, -1)
        if image.shape[-1] != shape.size:
            image = interpolate(image, (shape.size, shape.size), mode="bilinear", antialias=True)
        return self.network.features(image)


def alexnet_space(weights: WeightsFile, device: Device) -> FeatureSpace:
    """The space "alexnet-256": AlexNet's last convolution.

    Raises:
        WeightsError: the weights are of another network, or do not fit.
    """
    require_network(weights, "alexnet")
    network = AlexNet()
    load_into(network, load_tensors(weights), name=weights.name)
    return FeatureSpace("alexnet-256", network.eval().requires_grad_(False).to(device.torch), device)


def inception_space(weights: WeightsFile, device: Device) -> FeatureSpace:
    """The space in which a distance is FID: pool3 of the Inception network of 2015, from a file that the user has.

    Raises:
        WeightsError: the extra is missing, or the weights do not fit.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise WeightsError("the extra fid is not installed", hint="pip install 'imgtool[fid]'") from error
    tensors = load_tensors(weights)
    with TemporaryDirectory() as folder:
        # The library would run code that a file holds: it gets a file of tensors alone.
        clean = Path(folder) / "inception.pt"
        save_checkpoint(clean, tensors)
        try:
            network = FeatureExtractorInceptionV3(
                "inception", ["2048"], feature_extractor_weights_path=str(clean)
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise WeightsError(f"{weights.name} is no Inception of FID: {reason}") from error
    return FeatureSpace("fid-inception-2048", _Levels(network).to(device.torch), device)


class _Levels(nn.Module):
    """A network that wants colours as bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.network((image.expand(-1, 3, -1, -1) * 255).round().to(torch.uint8))[0]
        return features
