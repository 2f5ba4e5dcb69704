"""The page in a real browser, used as people use it."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.web

EXAMPLES = Path(__file__).parents[2] / "examples"
CHROMIUM = runpy.run_path(str(Path(__file__).with_name("chromium.py")))
DONE = "document.querySelector('#results').childElementCount && document.querySelector('#work').hidden"
RUNNING = "document.querySelector('#state').textContent == 'working'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = CHROMIUM["Browser"](tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def server(start):
    return start("--max-upload", "2", "--max-pixels", "1000000")


@pytest.fixture
def visit(browser, server):
    """Opens the page as a new user; nothing on it may fail or be forbidden by its own policy."""
    pages = []

    def visit(**look):
        pages.append(browser.page(server.address, **look))
        pages[-1].until("document.querySelector('#commands button')")
        return pages[-1]

    yield visit
    for page in pages:
        assert page.complaints() == []


@pytest.fixture
def coffee(tmp_path):
    """A photo of a size that does not take long."""
    path = tmp_path / "coffee.png"
    Image.open(EXAMPLES / "coffee.jpg").resize((300, 200)).save(path)
    return path


def begin(page, file, command="edges"):
    page.click(f"#commands button[value={command}]")
    page.choose("#picture", file)
    page.until("!document.querySelector('#run').disabled")
    page.click("#run")
    page.until("!document.querySelector('#typed').hidden")


def test_from_upload_to_result(visit, server, coffee):
    page = visit()
    begin(page, coffee)
    page.until(DONE)
    page.until("document.querySelector('#after').naturalWidth == 300")
    assert page.text("#results").split() == ["coffee.png", "Save", "Recipe"]
    assert "300" in page.text("#facts")
    assert page.text("#typed code") == "imgtool edges coffee.png -o results/"
    saved = page.run(
        "fetch(document.querySelector('#results a').href).then(answer => answer.arrayBuffer())"
        ".then(data => Array.from(new Uint8Array(data).slice(1, 4)))"
    )
    assert bytes(saved) == b"PNG"


def test_slider_uncovers_the_result(visit, coffee):
    page = visit()
    begin(page, coffee)
    page.until(DONE)
    box = page.run(
        "(r => [r.x, r.y, r.width, r.height])(document.querySelector('#compare').getBoundingClientRect())"
    )
    shown = {}
    for place in (1, 99):
        x, y = box[0] + box[2] * place / 100, box[1] + box[3] / 2
        for kind in ("mousePressed", "mouseReleased"):
            page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        assert abs(float(page.run("document.querySelector('#slider').value")) - place) < 5
        shown[place] = page.pixels()
    reds = {
        place: float(np.mean(picture[..., 0].astype(int) - picture[..., 2]))
        for place, picture in shown.items()
    }
    assert reds[99] > reds[1] + 5, "the photo is red, its edges are grey"


def test_options_are_those_of_the_command(visit, coffee):
    page = visit()
    page.click("#commands button[value=edges]")
    page.click("#more summary")
    page.click("#field-invert")
    page.type("#field-scales", "0.5")
    begin(page, coffee)
    page.until(DONE)
    assert page.text("#typed code") == "imgtool edges coffee.png --scales=0.5 --invert -o results/"


def test_several_styles(visit, coffee):
    page = visit()
    page.choose("#field-style", EXAMPLES / "night.jpg")
    page.choose("#field-style-2", EXAMPLES / "waves.jpg")
    page.until("document.querySelectorAll('.weight:not([hidden])').length == 2")
    assert page.run("document.querySelector('.weight').offsetWidth") < 100  # leaves room for the name
    page.run("document.querySelector('.weight').value = '0.7'")
    page.type("#field-steps", "many")  # refused, and so done at once
    begin(page, coffee, "stylize")
    page.until("!document.querySelector('#error').hidden")
    assert "--style=night.jpg:0.7 --style=waves.jpg" in page.text("#typed code")
    assert "many" in page.text("#error")


def test_refused_option_is_told(visit, coffee):
    page = visit()
    page.click("#commands button[value=edges]")
    page.type("#field-scales", "100")
    begin(page, coffee)
    page.until("!document.querySelector('#error').hidden")
    assert "--scales: must be from 0.05 to 8" in page.text("#error")


def test_two_users_wait_for_each_other_and_one_cancels(visit, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (1000, 1000)).save(large)
    ours, theirs = visit(), visit()
    ours.click("#commands button[value=edges]")
    ours.type("#field-scales", "8")  # long enough to be cancelled
    begin(ours, large)
    ours.until(RUNNING)
    begin(theirs, large)
    theirs.until("document.querySelector('#state').textContent == 'waiting, 1 before it'")
    assert theirs.run("document.querySelectorAll('#jobs button').length") == 1
    ours.click("#cancel")
    ours.until("document.querySelector('#work').hidden")
    assert ours.text("#results") == ""
    theirs.until(DONE)


def test_progress_is_that_of_the_command(visit, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (1000, 1000)).save(large)
    page = visit()
    page.click("#commands button[value=edges]")
    page.click("#more summary")
    page.type("#field-tile", "256")
    begin(page, large)
    page.until("/^[1-9]\\d? %$/.test(document.querySelector('#state').textContent)")
    page.until(DONE)


@pytest.mark.parametrize(("format", "shown"), [("svg", True), ("tif", False)])
def test_formats(visit, coffee, format, shown):
    page = visit()
    page.click("#commands button[value=edges]")
    page.run(f"document.querySelector('#field-format').value = '{format}'")
    begin(page, coffee)
    page.until(DONE)
    if shown:
        page.until("document.querySelector('#after').naturalWidth > 0")
        page.until("document.querySelector('#after').src.endsWith('coffee.svg')")
    else:
        assert "coffee.tif" in page.text("#results")
        assert page.run("document.querySelector('#after').src").endswith("/given")


def test_one_pass(visit, coffee):
    page = visit()
    page.click("#commands button[value=stylize]")
    page.run("document.querySelector('#field-weights').value = 'palette'")
    begin(page, coffee, "stylize")
    page.until(DONE)
    assert page.text("#results").split() == ["coffee.png", "Save", "Recipe"]
    assert "--weights=palette" in page.text("#typed")


@pytest.mark.weights
def test_a_sheet_of_strengths(visit, coffee):
    page = visit()
    page.choose("#field-style", EXAMPLES / "night.jpg")
    for name, value in (("kind", "strengths"), ("size", "64"), ("steps", "2")):
        page.run(f"document.querySelector('#field-{name}').value = '{value}'")
    begin(page, coffee, "stylize")
    page.until(DONE, 600)
    assert page.text("#results").split()[0] == "coffee.png"


@pytest.mark.weights
def test_the_picture_grows(visit, coffee):
    page = visit()
    page.choose("#field-style", EXAMPLES / "night.jpg")
    page.type("#field-size", "200")
    begin(page, coffee, "stylize")
    page.until("/step\\d+[.]png$/.test(document.querySelector('#after').src)", 600)
    page.click("#cancel")  # which keeps the best so far
    page.until(DONE)
    assert page.text("#results").split() == ["coffee.png", "Save", "Recipe"]
    page.until("document.querySelector('#after').src.endsWith('coffee.png')")


def test_text_of_a_captcha(visit, tmp_path):
    page = visit()
    Image.new("RGB", (160, 60), "white").save(tmp_path / "captcha.png")
    begin(page, tmp_path / "captcha.png", "captcha-read")
    page.until("document.querySelector('#work').hidden")
    assert "confidence" in page.text("#facts")


def test_looking_at_one_of_several_results(visit, coffee):
    page = visit()
    page.click("#commands button[value=edges]")
    page.click("#more summary")
    page.click("#field-overlay")
    begin(page, coffee)
    page.until(DONE)
    page.click("#results div:nth-child(2) button")
    page.until("document.querySelector('#after').src.endsWith('coffee-overlay.png')")
    assert page.run(f"Boolean({DONE})")


@pytest.mark.parametrize("kind", ["text", "bomb"])
def test_hostile_pictures(visit, tmp_path, bomb, kind):
    path = tmp_path / "evil.png"
    path.write_bytes(bomb if kind == "bomb" else b"<script>alert(1)</script>")
    page = visit()
    begin(page, path)
    page.until("!document.querySelector('#error').hidden")
    assert page.text("#error").startswith("evil.png: ")


def test_too_large_a_file_is_not_even_sent(visit, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(b"x" * 2_000_001)
    page = visit()
    page.choose("#picture", path)
    page.until("!document.querySelector('#refusal').hidden")
    assert "the most is 2 MB" in page.text("#refusal")
    assert page.run("document.querySelector('#run').disabled")


def test_names_are_text(visit, coffee, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    coffee.rename(path)
    page = visit()
    page.choose("#picture", path)
    page.until("!document.querySelector('#run').disabled")
    assert path.name in page.text("#drop")


def test_jobs_survive_a_reload(visit, coffee):
    page = visit()
    begin(page, coffee)
    page.until(DONE)
    page.send("Page.reload")
    page.until("document.querySelector('#commands button')")
    page.until(DONE)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out(visit, width, dark):
    page = visit(width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth") == width
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    levels = [int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(levels) < 80) == dark


def test_without_the_token_there_is_no_page(browser, server):
    page = browser.page(server.address.replace(server.place.path, "/wrong/"))
    assert "lacks its token" in page.text()
