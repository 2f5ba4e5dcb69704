"""Make docs/images/captcha.jpg, captcha_read.jpg and captcha_suspects.jpg: captchas, their readings, wrong labels.

python docs/make_captcha.py
"""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from panels import IMAGES, save_rows, save_titled
from PIL import Image, ImageOps

import imgtool
from imgtool.cli import main as command
from imgtool.options.captcha import CAPTCHA_LEVELS

COUNT, SIZE = 4, (240, 90)
READ = {"easy": 4, "medium": 4, "hard": 8}
WRONG = "#d55e00"
LABELS, ERRORS = 200, 10


def main() -> None:
    """A row for each level, easy first; then what a reader makes of such."""
    rows = [
        [Image.fromarray(captcha.pixels) for captcha in imgtool.captchas(COUNT, level, size=SIZE, seed=1)]
        for level in CAPTCHA_LEVELS
    ]
    save_rows(rows, "captcha.jpg")
    save_titled(list(readings()), "captcha_read.jpg", columns=4, height=120, quality=80)
    with tempfile.TemporaryDirectory() as folder:
        suspects(Path(folder)).save(IMAGES / "captcha_suspects.jpg", quality=85)


def readings() -> Iterator[tuple[str, Image.Image]]:
    """Captchas with what is read; what is read wrongly is framed."""
    for level, count in READ.items():
        for captcha in imgtool.captchas(count, level, seed=1):
            found, image = imgtool.read_captcha(captcha.pixels), Image.fromarray(captcha.pixels)
            title = f"{level}: {found.text}, {found.confidence:.0%}"
            if found.text == captcha.text:
                yield title, image
            else:
                framed = ImageOps.expand(ImageOps.crop(image, 3), 3, WRONG)
                yield f"{title}; it says {captcha.text}", framed


def suspects(folder: Path) -> Image.Image:
    """The sheet of a set in some of whose labels one character was changed."""
    data, place = folder / "set", folder / "clean"
    drawn = ["captcha-gen", "-n", str(LABELS), "--seed", "77", "-o", str(data), "-q"]
    assert command.run(drawn) == 0
    spoil(data / "labels.jsonl")
    assert command.run(["train-captcha", str(data), "-o", str(place), "--clean", "5", "--steps", "60"]) == 0
    return Image.open(place / "suspects.png").convert("RGB")


def spoil(labels: Path) -> None:
    """Change one character of some labels."""
    draw = random.Random(1)
    lines = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    alphabet = sorted({character for line in lines for character in line["text"]})
    for line in draw.sample(lines, ERRORS):
        text, at = line["text"], draw.randrange(len(line["text"]))
        other = draw.choice([each for each in alphabet if each != text[at]])
        line["text"] = text[:at] + other + text[at + 1 :]
    labels.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
