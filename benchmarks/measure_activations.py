"""Measure the mean activation of each filter of a VGG over a folder of photos, for the rescaling of Gatys et al.

python benchmarks/measure_activations.py PHOTOS [--network vgg19|vgg16] [-o FILE.safetensors]

"We normalized the network by scaling the weights such that the mean activation of each convolutional filter over
images and positions is equal to one" (Gatys et al. 2016, section 2). As there, the network is the one that was
trained, max pooling and all, and average pooling comes afterwards.
"""

import argparse
from pathlib import Path

import torch

from imgtool.imaging.io import read_picture
from imgtool.imaging.tensors import to_image
from imgtool.options.stylize import vgg_layers
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.device import select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.load import load_vgg


def mean_activations(network: torch.nn.Module, photos: list[Path]) -> dict[str, torch.Tensor]:
    """Layer -> (C,) in fp32: means over all positions of all photos, summed in fp64."""
    sums: dict[str, torch.Tensor] = {}
    places: dict[str, int] = {}
    for photo in photos:
        with torch.no_grad():
            for layer, features in network.stream(to_image(read_picture(photo).pixels)):
                sums[layer] = sums.get(layer, 0) + features.double().sum((0, 2, 3))
                places[layer] = places.get(layer, 0) + features.shape[2] * features.shape[3]
    return {layer: (total / places[layer]).float() for layer, total in sums.items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--network", default="vgg19", choices=("vgg19", "vgg16"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    photos = sorted(path for path in arguments.photos.iterdir() if path.suffix in (".jpg", ".png"))
    weights = find_weights(arguments.network)
    network = load_vgg(weights, vgg_layers(arguments.network), select_device("cpu", "fp32"))
    means = mean_activations(network, photos)
    for layer, mean in means.items():
        least, median, most = (float(value) for value in (mean.min(), mean.median(), mean.max()))
        print(
            f"{layer}: least {least:.3g}, median {median:.3g}, most {most:.3g}, {int((mean == 0).sum())} silent"
        )
    target = arguments.output or Path(f"{arguments.network}-activations.safetensors")
    note = {
        "network": f"{arguments.network}-activations",
        "preprocessing": "none",
        "photos": str(len(photos)),
    }
    save_tensors(target, means, note)
    print(f"{target}: {target.stat().st_size} bytes, {len(photos)} photos, weights {weights.sha256}")


if __name__ == "__main__":
    main()
