import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib

import filelock
import numpy as np
import pytest
from PIL import Image

from imgtool.data.captcha_set import read_captcha_set
from imgtool.imaging.sheet import draw_sheet


@pytest.fixture
def captchas(imgtool):
    """Runs `imgtool captcha-gen` with two fonts, so that it is quick."""
    quick = ("--font", "roboto", "--font", "kalam")
    return lambda *arguments, **more: imgtool("captcha-gen", *quick, *arguments, **more)


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pixels(path):
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


# One picture


def test_a_text_in_a_file(captchas, folder):
    result = captchas("--text", "HELLO", "-o", "hello.png")
    assert result.code == 0
    assert "hello.png: HELLO" in result.stderr
    assert pixels("hello.png").shape == (60, 160, 3)


def test_default_name_and_json(captchas, folder):
    result = captchas("--json", "--length", "4", "--size", "200x80")
    (record,) = result.records
    assert record["output"] == "captcha.png" and len(record["text"]) == 4
    assert (record["width"], record["height"]) == (200, 80)
    assert [glyph["character"] for glyph in record["glyphs"]] == list(record["text"])


def test_stdout(captchas):
    result = captchas("--text", "AB", "-o", "-", "--format", "webp")
    assert result.code == 0 and result.stdout[8:12] == b"WEBP"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_inspect_and_rerun(captchas, imgtool, suffix):
    captchas("--level", "hard", "--seed", "5", "--start", "77", "-o", f"a.{suffix}")
    recipe = json.loads(imgtool("inspect", f"a.{suffix}").stdout)
    assert recipe["options"]["seed"] == 5 and recipe["options"]["lines"] == 2
    assert imgtool("rerun", f"a.{suffix}", "-o", f"b.{suffix}").code == 0
    with open(f"a.{suffix}", "rb") as one, open(f"b.{suffix}", "rb") as other:  # noqa: PTH123
        assert one.read() == other.read()


def test_rerun_with_files(imgtool, folder, families):
    (folder / "words.txt").write_bytes("\ufeffABLE\r\n\r\nBAKER\r\n".encode())
    Image.new("RGB", (50, 40), (200, 180, 90)).save("scene.png")
    shutil.copy(families[0], folder / "mine.ttf")
    done = imgtool(
        *("captcha-gen", "--text-file", "words.txt", "--font", "mine.ttf", "--font", "roboto"),
        *("--background", "scene.png", "-o", "a.png"),
    )
    assert done.code == 0
    recipe = json.loads(imgtool("inspect", "a.png").stdout)
    assert {each["param"] for each in recipe["inputs"]} == {"font", "background"}
    assert imgtool("rerun", "a.png", "-o", "b.png").code == 0
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    (folder / "mine.ttf").write_bytes(families[1].read_bytes())
    assert "has changed" in imgtool("rerun", "a.png", "-o", "c.png").error


def test_secure_picture_does_not_tell_its_text(captchas, imgtool, folder):
    text = captchas("--secure", "-o", "a.png").stderr.split()[-1]
    assert text.encode() not in (folder / "a.png").read_bytes()
    assert "no recipe" in imgtool("inspect", "a.png").error


@pytest.fixture
def families():
    import fontpkg

    return [fontpkg.path("kalam"), fontpkg.path("righteous")]


# Sets


def test_set_with_truth_and_sheet(captchas, folder):
    result = captchas("-n", "12", "-o", "set", "--truth", "--masks", "--sheet")
    assert result.code == 0
    assert result.stderr.splitlines()[-1] == "set: 12 done, 0 skipped, 0 failed"
    items = read_captcha_set(folder / "set")
    truth = [json.loads(line) for line in (folder / "set/truth.jsonl").read_text().splitlines()]
    assert [item.text for item in items] == [
        "".join(g["character"] for g in each["glyphs"]) for each in truth
    ]
    assert {g["font"] for each in truth for g in each["glyphs"]} == {"Roboto at weight 500", "Kalam Regular"}
    with Image.open("set/masks/000003.png") as mask:
        assert np.unique(np.array(mask)).tolist() == [0, 1, 2, 3, 4, 5]
    assert pixels("set/sheet.png").shape[1] > 1000


@pytest.mark.parametrize("layout", ["files", "tar", "npy"])
def test_same_bytes_for_any_number_of_workers(captchas, folder, layout):
    shape = ("-n", "50", "--shard-size", "20", "--layout", layout, "--split", "train=3,val=1")
    assert captchas(*shape, "-o", "one").code == 0
    assert captchas(*shape, "-o", "two", "--workers", "2").code == 0
    assert bytes_of(folder / "one") == bytes_of(folder / "two")


def test_shards_of_a_queue_add_up(captchas, folder):
    shape = ("-n", "50", "--shard-size", "10", "--length", "3")
    captchas(*shape, "-o", "whole")
    for part in ("2/3", "3/3"):
        captchas(*shape, "-o", "parts", "--shard", part)
    assert not (folder / "parts/labels.jsonl").exists()
    captchas(*shape, "-o", "parts", "--shard", "1/3")
    assert bytes_of(folder / "whole") == bytes_of(folder / "parts")


def test_rerun_skips_what_is_whole_and_grows(captchas, folder):
    captchas("-n", "30", "--shard-size", "10", "-o", "set")
    before = {name: (folder / "set" / name).stat().st_mtime_ns for name in ("000000.png", "000029.png")}
    (folder / "set/000015.png").unlink()
    result = captchas("-n", "34", "--shard-size", "10", "-o", "set")
    assert "14 done, 20 skipped" in result.stderr
    assert before == {name: (folder / "set" / name).stat().st_mtime_ns for name in before}
    captchas("-n", "34", "--shard-size", "10", "-o", "fresh")
    assert bytes_of(folder / "set") == bytes_of(folder / "fresh")


def test_killed_run_goes_on(folder):
    command = [sys.executable, "-m", "imgtool", "captcha-gen", "--font", "roboto", "-q", "-n", "3000", "-o"]
    command += ["set", "--shard-size", "100"]
    child = subprocess.Popen(command)
    while not list(folder.glob("set/shards/*")):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    whole = len(list(folder.glob("set/shards/*")))
    assert whole < 30 and not (folder / "set/labels.jsonl").exists()
    assert subprocess.run(command, check=False).returncode == 0
    assert len(read_captcha_set(folder / "set")) == 3000
    assert not list(folder.rglob(".imgtool*"))


def test_interrupted_run_says_how_to_go_on(folder, listening):
    command = [sys.executable, "-m", "imgtool", "captcha-gen", "--font", "roboto", "-n", "50000", "-o", "set"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(folder.glob("set/.imgtool-*-00000")):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate()
    assert child.returncode == 130
    assert "the same command goes on" in told and "Traceback" not in told
    assert not list(folder.glob("set/*.png")) and not list(folder.glob("set/.imgtool*"))


def test_any_picture_of_a_set_again(captchas, imgtool, folder):
    captchas("-n", "12", "--start", "60", "-o", "set", "--level", "hard", "--seed", "3")
    assert imgtool("captcha-gen", "--config", "set/manifest.json", "--start", "70", "-o", "a.png").code == 0
    np.testing.assert_array_equal(pixels("a.png"), pixels("set/000070.png"))


def test_same_bytes_in_a_set_of_one(captchas, imgtool, folder):
    captchas("-n", "4", "-o", "set", "--format", "jpg", "--quality", "70")
    assert imgtool("captcha-gen", "--config", "set/manifest.json", "--start", "2", "-o", "one/").code == 0
    assert (folder / "one/000002.jpg").read_bytes() == (folder / "set/000002.jpg").read_bytes()


def test_picture_of_a_set_whose_background_changed(captchas, imgtool, folder):
    Image.new("RGB", (50, 40), (200, 180, 90)).save("scene.png")
    captchas("-n", "2", "-o", "set", "--background", "scene.png")
    again = ("captcha-gen", "--config", "set/manifest.json", "-o")
    assert imgtool(*again, "a.png").code == 0
    Image.new("RGB", (50, 40), (20, 180, 90)).save("scene.png")
    assert "the scenes here are not those of the set" in imgtool(*again, "b.png").error


def test_sheet_shows_what_is_in_a_secure_set(captchas, folder, monkeypatch):
    shown = []

    def drawn(panels, **more):
        shown.extend(panels)
        return draw_sheet(panels, **more)

    monkeypatch.setattr("imgtool.cli.captcha_gen_work.draw_sheet", drawn)
    captchas("-n", "3", "--secure", "-o", "set", "--sheet")
    items = read_captcha_set(folder / "set")
    assert [title for title, _ in shown] == [item.text for item in items]
    for (_, picture), item in zip(shown, items, strict=True):
        np.testing.assert_array_equal(picture.pixels, item.read())


def test_picture_of_a_secure_set_again(captchas, imgtool, folder):
    captchas("-n", "3", "--secure", "-o", "set")
    text = read_captcha_set(folder / "set")[2].text
    again = ("captcha-gen", "--config", "set/manifest.json", "--start", "2", "-o", "a.png")
    assert "no seed tells its secure texts. Try: --text TEXT" in imgtool(*again).error
    imgtool(*again, "--text", text)
    np.testing.assert_array_equal(pixels("a.png"), pixels("set/000002.png"))


@pytest.mark.parametrize("split", [(), ("--split", "train=3,val=1")])
def test_inspect_tells_how_a_picture_of_a_set_is_made_again(captchas, imgtool, folder, split):
    captchas("-n", "6", "--start", "60", "-o", "set", "--level", "hard", "--seed", "3", *split)
    picture = next(folder.glob("set/**/000063.png"))
    told = json.loads(imgtool("inspect", picture.relative_to(folder)).stdout)
    assert (told["manifest"], told["start"]) == ("set/manifest.json", 63)
    again = told["again"].split()
    assert again[0] == "imgtool" and imgtool(*again[1:]).code == 0
    np.testing.assert_array_equal(pixels(again[-1]), pixels(picture))
    assert told["again"] in imgtool("rerun", picture, "-o", "b.png").error.replace(str(folder) + "/", "")


def test_inspect_of_a_picture_beside_a_set(captchas, imgtool, folder):
    captchas("-n", "2", "-o", "set")
    for name in ("other.png", "000002.png", "sub/000001.png"):
        (folder / "set/sub").mkdir(exist_ok=True)
        shutil.copy("set/000001.png", folder / "set" / name)
        assert "no recipe in it" in imgtool("inspect", f"set/{name}").error
    captchas("-n", "2", "--secure", "-o", "secret")
    assert "--text TEXT" in json.loads(imgtool("inspect", "secret/000001.png").stdout)["again"]


def test_words_of_a_set_lie_in_their_file_alone(captchas, imgtool, folder):
    (folder / "words.txt").write_text("ABLE\nBAKER\nCHARLY\n")
    assert captchas("-n", "4", "-o", "set", "--text-file", "words.txt").code == 0
    manifest = (folder / "set/manifest.json").read_text()
    assert "BAKER" not in manifest and json.loads(manifest)["texts"][0]["count"] == 3
    again = ("captcha-gen", "--config", "set/manifest.json", "--start", "2")
    assert imgtool(*again, "-o", "a.png").code == 0
    np.testing.assert_array_equal(pixels("a.png"), pixels("set/000002.png"))
    (folder / "words.txt").rename(folder / "moved.txt")
    assert "words.txt cannot be read: there is no such file. Try: --text-file" in imgtool(*again).error
    assert imgtool(*again, "-o", "b.png", "--text-file", "moved.txt").code == 0
    assert (folder / "b.png").read_bytes() == (folder / "a.png").read_bytes()
    (folder / "words.txt").write_text("ABLE\nBAKER\nCHARLIE\n")
    assert "the texts here are not those of the set" in imgtool(*again).error
    assert "differs in alphabet, texts" in captchas("-n", "4", "-o", "set", "--text-file", "words.txt").error


@pytest.mark.ray
def test_same_bytes_on_a_cluster(captchas, folder):
    import ray

    shape = ("-n", "40", "--shard-size", "10", "--layout", "tar")
    captchas(*shape, "-o", "here")
    try:
        assert captchas(*shape, "-o", "there", "--ray", "local").code == 0
    finally:
        ray.shutdown()
    assert bytes_of(folder / "here") == bytes_of(folder / "there")


# Styles


def test_saved_style(captchas, imgtool, folder):
    saved = captchas("--level", "hard", "--lines", "3", "--wave", "0.02-0.04", "--save-config", "mine.toml")
    assert saved.code == 0 and not (folder / "captcha.png").exists()
    style = tomllib.loads((folder / "mine.toml").read_text())
    assert style["lines"] == 3 and style["wave"] == [0.02, 0.04] and style["fonts"] == ["roboto", "kalam"]
    captchas("--level", "hard", "--lines", "3", "--wave", "0.02-0.04", "-o", "a.png")
    imgtool("captcha-gen", "--config", "mine.toml", "-o", "b.png")
    np.testing.assert_array_equal(pixels("a.png"), pixels("b.png"))
    imgtool("captcha-gen", "--config", "mine.toml", "--lines", "0", "-o", "c.png")
    assert not np.array_equal(pixels("a.png"), pixels("c.png"))


def test_what_is_typed_goes_before_a_style_and_that_before_settings(captchas, imgtool, folder, monkeypatch):
    captchas("--level", "hard", "--lines", "3", "--save-config", "mine.toml")
    (folder / "imgtool.toml").write_text("[captcha-gen]\ndots = 7\n")
    for name, value in {"lines": "1", "level": "easy", "font": "bitter", "noise": "1"}.items():
        monkeypatch.setenv(f"IMGTOOL_CAPTCHA_GEN_{name.upper()}", value)
    imgtool("captcha-gen", "--config", "mine.toml", "--noise", "2", "--save-config", "result.toml")
    style = tomllib.loads((folder / "result.toml").read_text())
    assert (style["lines"], style["level"], style["dots"], style["noise"]) == (3, "hard", 60, 2.0)
    assert style["fonts"] == ["roboto", "kalam"]
    imgtool("captcha-gen", "--save-config", "settings.toml")
    style = tomllib.loads((folder / "settings.toml").read_text())
    assert (style["lines"], style["level"], style["dots"], style["noise"]) == (1, "easy", 7, 1.0)


def test_texts_come_from_the_strongest_place_that_names_any(captchas, imgtool, folder, monkeypatch):
    (folder / "words.txt").write_text("ABLE\n")
    captchas("-n", "2", "-o", "set", "--text-file", "words.txt")
    monkeypatch.setenv("IMGTOOL_CAPTCHA_GEN_TEXT", "SETTING")
    assert "a.png: ABLE" in imgtool("captcha-gen", "--config", "set/manifest.json", "-o", "a.png").stderr
    assert "b.png: TYPED" in captchas("--text", "TYPED", "-o", "b.png").stderr
    assert "c.png: ABLE" in captchas("--text-file", "words.txt", "-o", "c.png").stderr
    assert "d.png: SETTING" in captchas("-o", "d.png").stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lins = 3", "no option is called lins. Did you mean 'lines'?"),
        ('words = ["A"]', "no option is called words"),
        ('lines = "many"', "lines: 'many' is not a valid integer"),
        ("wave = [0.1]\nsize = 3", "size: 3 is no size"),
        ("lines = -2", "--lines: must be from 0 to 20, got -2"),
        ("fonts = 3", "fonts must be a list of strings"),
        ("not toml", "cannot be read"),
        ("rotation = [1, 2]", "rotation: "),
        ("background = 3", "background: 3 is of another kind"),
        ("lines = true", "lines: True is of another kind"),
        ("\ufefflines = 99", "--lines: must be from 0 to 20"),
    ],
)
def test_faults_of_a_style(captchas, folder, text, message):
    (folder / "style.toml").write_text(text)
    result = captchas("--config", "style.toml")
    assert result.code == 2 and message in result.error
    assert not (folder / "captcha.png").exists()


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alphabet", ""), "--alphabet: is empty"),
        (("--alphabet", "A B"), "--alphabet: ' ' cannot be drawn"),
        (("-o", ""), "-o is empty"),
        (("-o", "a.bmp"), "a.bmp has a format unknown here"),
        (("--truth",), "--truth is of a set"),
        (("-o", "a.png", "--workers", "2"), "--workers is of a set"),
        (("-o", "a.png", "--save-config", "a.toml"), "--save-config draws nothing"),
        (("--background", ""), "--background: '' is neither"),
        (("--font", ""), "--font: is empty"),
        (("-n", "2", "-o", "set", "--force", "--shard", "1/2"), "does not go with --force"),
        (("-n", "2", "-o", "set", "--split", "masks=1"), "--split: its split 'masks'"),
        (("--start", "9" * 30), "is not in the range"),
        (("-o", "x" * 300 + ".png"), "cannot write"),
        (("--font", "kalam", "--text", "e\u0300\u0301"), "has no glyph for U+0301"),
        (("--text", ""), "--text: is empty"),
        (("--text", "A B"), "--text: ' ' cannot be drawn"),
        (("--length", "6-4"), "neither a number nor a range"),
        (("--length", "0"), "--length: must be from 1 to 64"),
        (("--size", "160"), "is no size; write 160x60"),
        (("--size", "40x60"), "pixels high, expected at least 10"),
        (("--min-contrast", "22"), "--min-contrast: must be from 1 to 21"),
        (("--min-contrast", "nan"), "--min-contrast: must be from 1 to 21"),
        (("--wave", "0.4"), "would fold. Try: --wave-length 2.8 or more"),
        (("--font", "missing.ttf"), "neither a file, a folder nor an installed family"),
        (("--text", "中"), "has no glyph for 中"),
        (("--background", "missing.png"), "neither plain, gradient nor a picture"),
        (("--text-file", "missing.txt"), "--text-file: missing.txt cannot be read"),
        (("--text", "A", "--text-file", "x"), "does not go with --text-file"),
        (("--config", "missing.toml"), "--config: missing.toml cannot be read"),
        (("--overlap", "x"), "neither a number nor a range"),
        (("-n", "2"), "a set needs a folder"),
        (("-n", "2", "-o", "a.png"), "is one file for 2 pictures"),
        (("-n", "2", "-o", "set", "--split", "a/b=1"), "--split: its split 'a/b'"),
        (("-n", "2", "-o", "set", "--shard", "3/2"), "--shard: '3/2' is no part of a whole"),
    ],
)
def test_impossible_options(imgtool, folder, arguments, message):
    result = imgtool("captcha-gen", *arguments)
    assert result.code == (1 if "cannot write" in message else 2)
    assert message in result.error
    assert list(folder.iterdir()) == []


def test_font_that_is_none(imgtool, folder):
    (folder / "bad.ttf").write_bytes(b"nonsense")
    assert "bad.ttf cannot be read: it is no font" in imgtool("captcha-gen", "--font", "bad.ttf").error


def test_background_that_is_no_picture(captchas, folder):
    (folder / "bad.png").write_bytes(b"nonsense")
    result = captchas("--background", "bad.png")
    assert result.code == 1 and "bad.png" in result.error


def test_what_exists_is_kept(captchas, folder):
    (folder / "a.png").write_bytes(b"mine")
    assert "a.png exists" in captchas("-o", "a.png").error
    assert (folder / "a.png").read_bytes() == b"mine"
    assert captchas("-o", "a.png", "--force").code == 0
    (folder / "full").mkdir()
    (folder / "full/mine.txt").write_text("mine")
    assert "is not empty, and holds no set" in captchas("-n", "2", "-o", "full").error


def test_another_set_is_kept(captchas, folder):
    captchas("-n", "3", "-o", "set")
    before = bytes_of(folder / "set")
    result = captchas("-n", "3", "-o", "set", "--seed", "1", "--level", "easy")
    assert result.code == 1
    assert "holds another set, it differs in seed, style" in result.error
    assert "differs in count" in captchas("-n", "2", "-o", "set").error
    assert "differs in truth, masks" in captchas("-n", "3", "-o", "set", "--truth", "--masks").error
    assert bytes_of(folder / "set") == before
    assert captchas("-n", "2", "-o", "set", "--layout", "npy", "--force").code == 0
    assert not (folder / "set/000000.png").exists() and (folder / "set/00000.npy").exists()


def test_set_without_its_manifest_does_not_pass_for_another(captchas, folder):
    captchas("-n", "3", "-o", "set")
    before = (folder / "set/000001.png").read_bytes()
    (folder / "set/manifest.json").unlink()
    (folder / "set/mine.txt").write_text("mine")
    result = captchas("-n", "3", "-o", "set", "--level", "hard", "--force")
    assert "3 done, 0 skipped" in result.stderr
    assert (folder / "set/000001.png").read_bytes() != before
    assert (folder / "set/mine.txt").read_text() == "mine"


def test_secure_sets_do_not_grow(captchas, folder):
    captchas("-n", "3", "--secure", "-o", "set")
    before = bytes_of(folder / "set")
    assert "differs in count" in captchas("-n", "6", "--secure", "-o", "set").error
    assert bytes_of(folder / "set") == before


@pytest.mark.parametrize("text", ["[1]", "{}", '{"command": "captcha-gen", "set": 5}', "x", "[" * 100_000])
def test_foreign_manifests_are_kept(captchas, folder, text):
    (folder / "set").mkdir()
    (folder / "set/manifest.json").write_text(text)
    result = captchas("-n", "2", "-o", "set", "--force")
    assert result.code == 1 and "cannot be gone on with" in result.error
    assert bytes_of(folder / "set") == {"manifest.json": text.encode()}


def test_one_process_in_a_folder(captchas, folder):
    (folder / "set").mkdir()
    with filelock.FileLock(folder / "set/.imgtool-lock"):
        assert "another process is drawing" in captchas("-n", "2", "-o", "set").error


def test_part_without_shards(captchas, folder):
    result = captchas("-n", "3", "-o", "set", "--shard", "2/3")
    assert "of 1 shards none is in part 2" in result.stderr and "1 of 1 shards are to come" in result.stderr


def test_full_disk(captchas, folder):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        result = captchas("-n", "3", "-o", "set", "--layout", "tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert result.code == 1 and "larger than a file may be here" in result.stderr
    assert not (folder / "set/00000.tar").exists() and not (folder / "set/labels.jsonl").exists()


def test_no_torch(folder):
    script = (
        "import sys\nfrom imgtool.cli.main import run\n"
        "code = run(['captcha-gen', '--font', 'roboto', '--text', 'AB', '-q'])\n"
        "print(code, {'torch', 'torchvision', 'skimage', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 set()"
