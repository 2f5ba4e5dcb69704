"""Make docs/images/gallery.jpg, the picture of the README: what `stylize` makes of the examples.

python docs/make_gallery.py
"""

from pathlib import Path

from PIL import Image

import imgtool

ROOT = Path(__file__).parents[1]
# Photo and style, all repainted with default options.
PAIRS = (("astronaut", "night"), ("coffee", "window"), ("chelsea", "waves"), ("rocket", "night"))
HEIGHT, GAP, INSET = 400, 8, 0.3  # pixels, pixels, and the share of the height that the style's picture takes


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
    rows = [panels[:2], panels[2:]]
    width = max(sum(each.width for each in row) for row in rows) + GAP
    gallery = Image.new("RGB", (width, 2 * HEIGHT + GAP), "white")
    for index, row in enumerate(rows):
        left = (width - sum(each.width for each in row) - GAP) // 2
        for each in row:
            gallery.paste(each, (left, index * (HEIGHT + GAP)))
            left += each.width + GAP
    target = ROOT / "docs" / "images" / "gallery.jpg"
    target.parent.mkdir(exist_ok=True)
    gallery.save(target, quality=90)


if __name__ == "__main__":
    main()
