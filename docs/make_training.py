"""Make docs/images/training.jpg: the report of a short run of `train-gan`, in Chromium.

python docs/make_training.py
"""

import runpy
import tempfile
from pathlib import Path

from panels import IMAGES
from PIL import Image

from imgtool.cli import main as command

CHROMIUM = runpy.run_path(str(Path(__file__).parents[1] / "tests/web/chromium.py"))
WINDOW, PLOT, RESULT = 832, 680, 1200  # pixels across: the page, its left part with the plots, the picture
# What examples/gan.sh draws, and a few minutes of training on it.
LETTERS = "-n 200 --length 1 --size 32x32 --level easy --font-size 0.7-0.9 --ink dark --background plain"
TRAINING = "--augment color,shift,cutout --steps 1000 --score-every 100 --sample-every 500"
PLACES = """[[...document.querySelectorAll('svg')].at(-1).getBoundingClientRect().top,
    document.querySelector('.pictures').getBoundingClientRect().bottom + 16].map(Math.round)"""


def main() -> None:
    """Draw, train, and photograph the page down to its last sample."""
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "letters", Path(folder) / "letters-run"
        drawing = [*LETTERS.split(), "--lines", "0", "--dots", "0", "--noise", "0", "-q"]
        assert command.run(["captcha-gen", *drawing, "-o", str(data)]) == 0
        assert command.run(["train-gan", str(data), "-o", str(run), *TRAINING.split()]) == 0
        photograph(run / "report.html").save(IMAGES / "training.jpg", quality=80)


def photograph(report: Path) -> Image.Image:
    """The page without the options at its end, its lower part on the right of the upper one."""
    with tempfile.TemporaryDirectory() as folder:
        browser = CHROMIUM["Browser"](Path(folder))
        page = browser.page(report.as_uri(), width=WINDOW)
        shot = Path(folder) / "report.png"
        page.screenshot(shot)
        cut, end = page.run(PLACES)
        browser.close()
        whole = Image.open(shot).convert("RGB")
    both = Image.new("RGB", (PLOT + WINDOW, max(cut, end - cut)), "white")
    both.paste(whole.crop((0, 0, PLOT, cut)), (0, 0))
    both.paste(whole.crop((0, cut, WINDOW, end)), (PLOT, 0))
    return both.resize((RESULT, round(both.height * RESULT / both.width)), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
