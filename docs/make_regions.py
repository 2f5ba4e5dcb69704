"""Make docs/images/regions.jpg and keep_edges.jpg: two styles, each in its place, and outlines kept.

python docs/make_regions.py
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from panels import save_titled
from PIL import Image

from imgtool.cli import main as command

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZE = "360"


def painted(out: Path, photo: str, styles: Sequence[str], *words: str) -> Image.Image:
    """An example in styles of the examples."""
    named = [f"--style={EXAMPLES / style}.jpg" for style in styles]
    typed = ["stylize", f"{EXAMPLES / photo}.jpg", *named, f"--output={out}", f"--size={SIZE}", *words]
    assert command.run(typed) == 0
    return Image.open(out)


def regions(folder: Path) -> None:
    """The astronaut in two styles: where the first goes, each in its place, and mixed everywhere."""
    styles = ("night", "waves")
    auto = painted(folder / "auto.png", "astronaut", styles, "--content-mask", "auto", "--save-masks")
    panels = [
        ("the photo", Image.open(EXAMPLES / "astronaut.jpg")),
        (f"where {styles[0]} goes", Image.open(next(folder.glob("auto-*mask*1.png")))),
        ("--content-mask auto", auto),
        ("without: a mix", painted(folder / "mix.png", "astronaut", styles)),
    ]
    save_titled(panels, "regions.jpg", columns=len(panels), height=280)


def edges(folder: Path) -> None:
    """The cat in a style that takes its face, and with its outlines kept a little and much."""
    panels: list[tuple[str, Image.Image]] = [("the photo", Image.open(EXAMPLES / "chelsea.jpg"))]
    for weight in "014":
        words = ("--keep-edges", weight)
        panels.append((" ".join(words), painted(folder / f"{weight}.png", "chelsea", ("night",), *words)))
    save_titled(panels, "keep_edges.jpg", columns=2, height=280)


def main() -> None:
    """Both."""
    with tempfile.TemporaryDirectory() as folder:
        regions(Path(folder))
        edges(Path(folder))


if __name__ == "__main__":
    main()
