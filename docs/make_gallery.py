"""Make docs/images/gallery.jpg, the picture of the README: what `stylize` makes of the examples.

python docs/make_gallery.py
"""

from pathlib import Path

from panels import save_rows
from PIL import Image

import imgtool

ROOT = Path(__file__).parents[1]
# Photo and style, all repainted with default options.
PAIRS = (("astronaut", "night"), ("coffee", "window"), ("chelsea", "waves"), ("rocket", "night"))
HEIGHT, INSET = 400, 0.3  # pixels, and the share of the height that the style's picture takes


def scaled(image: Image.Image, height: int) -> Image.Image:
    """The image at another height."""
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)


def panel(photo: str, style: str) -> Image.Image:
    """A result with its style picture in the corner."""
    paths = [ROOT / "examples" / f"{name}.jpg" for name in (photo, style)]
    painted = imgtool.stylize(paths[0], paths[1])
    result = scaled(painted.to_pil(), HEIGHT)
    inset = scaled(Image.open(paths[1]), round(HEIGHT * INSET))
    framed = Image.new("RGB", (inset.width + 4, inset.height + 4), "white")
    framed.paste(inset, (2, 2))
    result.paste(framed, (6, HEIGHT - framed.height - 6))
    return result


def main() -> None:
    """Two rows of two."""
    panels = [panel(*pair) for pair in PAIRS]
    save_rows([panels[:2], panels[2:]], "gallery.jpg")


if __name__ == "__main__":
    main()
