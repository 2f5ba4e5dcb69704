"""Make docs/images/regions.jpg: two styles where `--content-mask auto` finds their places, and outlines kept.

python docs/make_regions.py
"""

import tempfile
from pathlib import Path

from panels import save_titled
from PIL import Image

from imgtool.cli import main as command

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO, STYLES = EXAMPLES / "astronaut.jpg", ("night", "waves")
REGIONS = ("--content-mask", "auto")
# Each panel by the words that are typed for it.
WAYS = {
    " ".join(REGIONS): (*REGIONS, "--save-masks"),
    f"{' '.join(REGIONS)} --keep-edges 2": (*REGIONS, "--keep-edges", "2"),
    "neither: a mix": (),
}
SIZE = "360"


def main() -> None:
    """The photo and the place of the first style, then a panel a way."""
    with tempfile.TemporaryDirectory() as folder:
        panels = []
        for index, (title, words) in enumerate(WAYS.items()):
            made = Path(folder) / f"{index}.png"
            styles = [f"--style={EXAMPLES / style}.jpg" for style in STYLES]
            typed = ["stylize", str(PHOTO), *styles, f"--output={made}", f"--size={SIZE}", *words]
            assert command.run(typed) == 0
            panels.append((title, Image.open(made)))
        mask = Image.open(next(Path(folder).glob("0-*mask*1.png")))
        first = [("the photo", Image.open(PHOTO)), (f"where {STYLES[0]} goes", mask)]
        save_titled([*first, *panels], "regions.jpg", columns=5, height=240)


if __name__ == "__main__":
    main()
