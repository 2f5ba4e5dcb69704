"""Make docs/images/captcha.jpg, the picture of the README: four captchas of each level.

python docs/make_captcha.py
"""

from panels import save_rows
from PIL import Image

import imgtool
from imgtool.options.captcha import CAPTCHA_LEVELS

COUNT, SIZE = 4, (240, 90)


def main() -> None:
    """A row for each level, easy first."""
    rows = [
        [Image.fromarray(captcha.pixels) for captcha in imgtool.captchas(COUNT, level, size=SIZE, seed=1)]
        for level in CAPTCHA_LEVELS
    ]
    save_rows(rows, "captcha.jpg")


if __name__ == "__main__":
    main()
