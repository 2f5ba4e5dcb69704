"""Make docs/images/serve.jpg: the page of `serve` in Chromium, with a photo half repainted.

python docs/make_serve.py
"""

import io
import json
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
CHROMIUM = runpy.run_path(str(ROOT / "tests/web/chromium.py"))
WIDTH, HEIGHT = 1000, 920
DONE = "document.querySelector('#results').childElementCount && document.querySelector('#work').hidden"
SLIDER = "document.querySelector('#slider')"


def main() -> None:
    """Drop a photo and a style, run, and move the line to the middle."""
    command = [sys.executable, "-m", "imgtool", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        try:
            with tempfile.TemporaryDirectory() as folder:
                browser = CHROMIUM["Browser"](Path(folder))
                shot = Path(folder) / "serve.png"
                _photograph(browser.page(address, width=WIDTH, height=HEIGHT), shot)
                picture = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
                browser.close()
        finally:
            server.terminate()
    picture.save(ROOT / "docs/images/serve.jpg", quality=85)


def _photograph(page, shot: Path) -> None:  # type: ignore[no-untyped-def]
    page.until("document.querySelector('#commands button')")
    page.choose("#field-style", EXAMPLES / "night.jpg")
    page.type("#field-size", "400")
    page.type("#field-steps", "15,30")
    page.choose("#picture", EXAMPLES / "astronaut.jpg")
    page.until("!document.querySelector('#run').disabled")
    page.click("#run")
    page.until(DONE, 1200)
    page.until("document.querySelector('#after').naturalWidth > 0")
    page.run(f"{SLIDER}.value = 50; {SLIDER}.dispatchEvent(new Event('input'))")
    page.screenshot(shot)


if __name__ == "__main__":
    main()
