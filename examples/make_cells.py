"""Draw examples/cells.png, nuclei as a fluorescence microscope shows them: `python examples/make_cells.py`.

Ellipses with grainy insides on a dark ground, some of them touching, blurred by the lens and with the noise of
counting photons. The same seed draws the same picture. It is free for any use (CC0).
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

HEIGHT, WIDTH = 480, 640
COUNT = 70
SEED = 7


def main() -> None:
    """Draw it."""
    random = np.random.default_rng(SEED)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    grain = ndimage.gaussian_filter(random.standard_normal((HEIGHT, WIDTH)), 2)
    light = np.full((HEIGHT, WIDTH), 0.03) + 0.03 * (columns / WIDTH)
    taken = np.zeros((HEIGHT, WIDTH), bool)
    drawn = 0
    while drawn < COUNT:
        y, x = random.uniform((0, 0), (HEIGHT, WIDTH))
        long, angle = random.uniform(13, 22), random.uniform(0, np.pi)
        short = long * random.uniform(0.6, 0.95)
        down, across = rows - y, columns - x
        along = (across * np.cos(angle) + down * np.sin(angle)) / long
        beside = (down * np.cos(angle) - across * np.sin(angle)) / short
        distance = np.hypot(along, beside)
        inside = distance < 1
        if (taken & inside).sum() > 0.02 * inside.sum():  # neighbours may touch, not lie upon each other
            continue
        taken |= inside
        brightness = random.uniform(0.25, 0.8) * (1 + 1.5 * grain[inside]) * (1 - 0.3 * distance[inside] ** 4)
        light[inside] = np.maximum(light[inside], brightness)
        drawn += 1
    light = ndimage.gaussian_filter(light, 1.2)
    photons = random.poisson(np.clip(light, 0, None) * 400) / 400
    pixels = np.rint(np.clip(photons, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(Path(__file__).with_name("cells.png"), optimize=True)


if __name__ == "__main__":
    main()
