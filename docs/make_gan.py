"""Make docs/images/gan_nearest.png, gan_walk.png and gan_truncation.png, by the generator that ships with imgtool.

python docs/make_gan.py FASHION-MNIST

FASHION-MNIST is the folder of the set's IDX files: https://github.com/zalandoresearch/fashion-mnist.
"""

import sys
import tempfile
from pathlib import Path

from panels import IMAGES, save_titled
from PIL import Image

from imgtool.cli import main as command

TRAINED_ON = "train-images-idx3-ubyte.gz"
NEAREST = ("-n", "20", "--seed", "1", "--scale", "2", "--fit", "pad")
WALK = ("-n", "5", "--seed", "1", "--scale", "2", "--interpolate", "10")
TRUNCATED = ("-n", "25", "--seed", "1", "--scale", "2", "--classes", "bag,boot,dress,sandal,pullover")
FACTORS = ("0.5", "1")


def main(data: Path) -> None:
    """Samples beside training pictures, a walk, and the same samples by several truncations."""
    draw(IMAGES / "gan_nearest.png", *NEAREST, "--nearest", str(data / TRAINED_ON))
    draw(IMAGES / "gan_walk.png", *WALK)
    with tempfile.TemporaryDirectory() as folder:
        panels = []
        for factor in FACTORS:
            path = Path(folder) / f"{factor}.png"
            draw(path, *TRUNCATED, "--truncation", factor)
            panels.append((f"--truncation {factor}", Image.open(path)))
        save_titled(panels, "gan_truncation.png", columns=len(panels), height=panels[0][1].height)


def draw(path: Path, *options: str) -> None:
    """Run `sample-gan`."""
    assert command.run(["sample-gan", *options, "-o", str(path), "--force"]) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
