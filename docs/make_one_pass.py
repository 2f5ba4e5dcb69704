"""Make docs/images/one_pass.jpg, a picture of the README: photos, repainted in one pass and by optimising.

python docs/make_one_pass.py
"""

from pathlib import Path

from panels import save_rows
from PIL import Image

import imgtool

ROOT = Path(__file__).parents[1]
PAIRS = (("chelsea", "waves"),)
HEIGHT = 300  # pixels


def row(photo: str, style: str) -> list[Image.Image]:
    """Photo, one pass, optimised, of one height."""
    paths = [ROOT / "examples" / f"{name}.jpg" for name in (photo, style)]
    panels = [
        Image.open(paths[0]),
        imgtool.stylize(paths[0], weights="palette", blend={style: 1.0}).to_pil(),
        imgtool.stylize(paths[0], paths[1]).to_pil(),
    ]
    width = round(panels[0].width * HEIGHT / panels[0].height)
    return [each.resize((width, HEIGHT), Image.Resampling.LANCZOS) for each in panels]


def main() -> None:
    """A row a pair."""
    save_rows([row(*pair) for pair in PAIRS], "one_pass.jpg")


if __name__ == "__main__":
    main()
