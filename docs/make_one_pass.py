"""Make docs/images/one_pass.jpg, a picture of the README: photos, repainted in one pass and by optimising.

python docs/make_one_pass.py
"""

from pathlib import Path

from panels import save_titled
from PIL import Image

import imgtool

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO, STYLE = EXAMPLES / "chelsea.jpg", EXAMPLES / "waves.jpg"


def main() -> None:
    """The photo and both results in a row."""
    panels = [
        ("photo", Image.open(PHOTO)),
        ("in one pass", imgtool.stylize(PHOTO, weights="palette", blend={STYLE.stem: 1.0}).to_pil()),
        ("by optimising", imgtool.stylize(PHOTO, STYLE).to_pil()),
    ]
    save_titled(panels, "one_pass.jpg", columns=len(panels), height=300)


if __name__ == "__main__":
    main()
