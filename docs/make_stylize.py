"""Make docs/images/stylize_options.jpg, what some options of `stylize` change, and strengths.jpg, a sheet of it.

python docs/make_stylize.py
"""

import tempfile
from pathlib import Path
from typing import Any

from panels import IMAGES, save_titled
from PIL import Image

import imgtool
from imgtool.cli import main as command

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO, STYLE = EXAMPLES / "chelsea.jpg", EXAMPLES / "waves.jpg"
SIZE = 320  # pixels
# Each option as it is typed, and as Python takes it.
OPTIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "--style-weight 0.2": {"style_weight": 0.2},
    "--style-weight 5": {"style_weight": 5.0},
    "--style-scale 0.5": {"style_scale": 0.5},
    "--style-scale 2": {"style_scale": 2.0},
    "--preserve-color": {"preserve_color": True},
    "--init noise": {"init": "noise"},
    "--recipe gatys2016 --steps 200": {"recipe": "gatys2016", "steps": 200},
}


def main() -> None:
    """Photo and style, then a panel an option."""
    panels: list[tuple[str, Image.Image]] = [
        ("the photo", Image.open(PHOTO)),
        ("the style", Image.open(STYLE)),
    ]
    for title, options in OPTIONS.items():
        panels.append((title, imgtool.stylize(PHOTO, STYLE, size=SIZE, **options).to_pil()))
    save_titled(panels, "stylize_options.jpg", columns=5, height=220)
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "strengths.png"
        styles = [f"--style={EXAMPLES / name}" for name in ("waves.jpg", "night.jpg")]
        photo = str(EXAMPLES / "coffee.jpg")
        assert command.run(["stylize", photo, *styles, "--kind=strengths", f"--output={sheet}"]) == 0
        Image.open(sheet).convert("RGB").save(IMAGES / "strengths.jpg", quality=85)


if __name__ == "__main__":
    main()
