import json
import os
import shutil
from pathlib import Path

import pytest

from imgtool.cli.recipes import shown_path
from imgtool.imaging.io import read_recipe


def test_shown_path(folder):
    assert shown_path(Path("in/a.png")) == "in/a.png"
    assert shown_path(folder / "in" / "a.png") == "in/a.png"
    assert shown_path(Path("/home/somebody/a.png")) == "a.png"
    assert shown_path(Path("../elsewhere/a.png")) == "a.png"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--steps", "2,1", "--scales", "2"),
        ("--time", "0.1s"),
        ("--recipe", "gatys2016", "--seed", "3", "--scales", "1"),
        ("--init", "second.png"),
        ("--init", "noise", "--seed", "7", "--optimizer", "adam", "--pool", "average"),
        ("--style", "second.png:0.25", "--style", "photo.png"),
        ("--content-mask", "photo.png", "--content-mask", "second.png"),
        (
            *("--style", "painting.png", "--style", "painting.png:2"),
            *("--content-mask", "photo.png", "--content-mask", "second.png"),
            *("--style-mask", "second.png", "--style-mask", "photo.png"),
        ),
        ("--preserve-color", "--style-scale", "0.75", "--tv-weight", "0.5", "--size", "full"),
    ],
)
def test_same_bytes(stylize, rerun, pictures, save, random_vgg19, options):
    save("second.png", seed=5)
    given = ["photo.png"] if "--style" in options else ["photo.png", "painting.png"]
    result = stylize(*given, *options, "-o", "out.png")
    assert result.code == 0, result.stderr
    rerun("out.png", "--find", str(random_vgg19.parent))


@pytest.mark.parametrize("format", ["jpg", "webp", "tiff", "bmp"])
def test_other_formats(stylize, rerun, pictures, random_vgg19, format):
    assert stylize("photo.png", "painting.png", "-o", f"out.{format}").code == 0
    shutil.copy(random_vgg19, ".")
    rerun(f"out.{format}")


def test_stdout_has_the_format_of_the_picture(stylize, imgtool, pictures, random_vgg19):
    shutil.copy(random_vgg19, ".")
    stylize("photo.png", "painting.png", "-o", "out.jpg")
    assert imgtool("rerun", "out.jpg", "-o", "-").stdout == Path("out.jpg").read_bytes()


def test_ingredients(stylize, pictures, random_vgg19):
    """One style for several masks is recorded once, and no folder of this machine is told."""
    masks = ("--content-mask", "photo.png", "--content-mask", "painting.png")
    assert stylize("photo.png", "painting.png", *masks, "-o", "out.png").code == 0
    recipe = read_recipe(Path("out.png"))
    inputs = [(item["param"], item["path"], item.get("weight")) for item in recipe["inputs"]]
    assert inputs == [
        ("pictures", "photo.png", None),
        ("style", "painting.png", 1.0),
        ("content_mask", "photo.png", None),
        ("content_mask", "painting.png", None),
        ("weights", "random.safetensors", None),
    ]
    assert recipe["weights"][0]["name"] == "given"
    assert str(random_vgg19.parent) not in json.dumps(recipe)


class TestElsewhere:
    @pytest.fixture
    def away(self, stylize, pictures, random_vgg19, monkeypatch):
        """out.png in another folder than its inputs."""
        assert stylize("photo.png", "painting.png", "-o", "away/out.png").code == 0
        shutil.copy(random_vgg19, "away")
        monkeypatch.chdir("away")

    def test_missing(self, imgtool, away):
        result = imgtool("rerun", "out.png", "-o", "again.png")
        assert result.code == 1
        assert "the input photo.png (SHA-256 " in result.error
        assert "is not here. Try: --find FOLDER" in result.error

    def test_found_by_name_or_by_bytes(self, rerun, away, pictures):
        rerun("out.png", "--find", "..")
        (pictures / "photo.png").rename(pictures / "renamed.png")
        rerun("out.png", "--find", "..")

    def test_changed(self, imgtool, away, save):
        save("photo.png", seed=99)
        result = imgtool("rerun", "out.png", "-o", "again.png")
        assert result.code == 1
        assert "photo.png has changed" in result.error

    def test_a_copy_counts_before_a_changed_one(self, rerun, away, save):
        save("photo.png", seed=99)
        rerun("out.png", "--find", "..")

    def test_weights_with_other_bytes(self, imgtool, away):
        Path("random.safetensors").write_bytes(b"")
        result = imgtool("rerun", "out.png", "-o", "again.png", "--find", "..")
        assert result.code == 1
        assert "random.safetensors has changed" in result.error

    def test_find_is_a_folder(self, imgtool, away):
        assert imgtool("rerun", "out.png", "-o", "again.png", "--find", "gone").code == 2


def test_weights_by_name_of_another_version(imgtool, pictures, random_vgg19, tmp_path, monkeypatch):
    """What is found under the name is not what the picture was made with."""
    name, sha256 = "vgg19", "0" * 64
    recipe = recipe_of("photo.png", "painting.png") | {"weights": [{"name": name, "sha256": sha256}]}
    Path("out.json").write_text(json.dumps(recipe))
    from imgtool.cli import fetching
    from imgtool.runtime.given import given_weights

    found = given_weights(str(random_vgg19))
    monkeypatch.setattr(fetching, "find_weights", lambda *_, **__: found)
    result = imgtool("rerun", "out.json", "-o", "again.png")
    assert result.code == 1
    assert "the picture was made with 000000000000…" in result.stderr


def test_from_stdin(stylize, imgtool, rerun, pictures, random_vgg19, monkeypatch):
    shutil.copy(random_vgg19, ".")
    photo = Path("photo.png").read_bytes()
    assert stylize("-", "painting.png", "-o", "out.png", stdin=photo).code == 0
    assert read_recipe(Path("out.png"))["inputs"][0]["path"] == "-"
    rerun("out.png")
    Path("photo.png").unlink()
    rerun("out.png", stdin=photo)
    result = imgtool("rerun", "out.png", "-o", "x.png", stdin=Path("painting.png").read_bytes())
    assert result.code == 1
    assert "stdin is not the picture that the recipe names" in result.error


def test_outputs_are_never_replaced(stylize, imgtool, pictures, random_vgg19):
    shutil.copy(random_vgg19, ".")
    stylize("photo.png", "painting.png", "-o", "out.png")
    assert "out.png exists" in imgtool("rerun", "out.png", "-o", "out.png").error
    assert "would replace an input" in imgtool("rerun", "out.png", "-o", "photo.png", "--force").error
    assert imgtool("rerun", "out.png", "-o", "out.png", "--force").code == 0


def test_settings_have_no_say(stylize, rerun, pictures, random_vgg19, monkeypatch):
    shutil.copy(random_vgg19, ".")
    stylize("photo.png", "painting.png", "-o", "out.png")
    monkeypatch.setenv("IMGTOOL_STYLIZE_TV_WEIGHT", "7")
    Path("imgtool.toml").write_text("[stylize]\nsidecar = true\nstyle-weight = 9\n")
    rerun("out.png")
    assert not Path("again.png.json").exists()


def test_talk_is_passed_on(stylize, imgtool, pictures, random_vgg19):
    shutil.copy(random_vgg19, ".")
    stylize("photo.png", "painting.png", "-o", "out.png")
    result = imgtool("rerun", "out.png", "-o", "again.png", "-q", "--json")
    assert result.stderr == ""
    assert result.records[0]["output"] == "again.png"


def test_another_format_is_told(stylize, imgtool, pictures, random_vgg19):
    shutil.copy(random_vgg19, ".")
    stylize("photo.png", "painting.png", "-o", "out.png")
    talk = imgtool("rerun", "out.png", "-o", "again.webp").stderr
    assert "out.png is not a .webp file, so the bytes will differ" in talk


def recipe_of(content, style):
    """A recipe that can be run, but for the weights."""
    from imgtool.files import sha256_file

    named = {"pictures": content, "style": style}
    return {
        "imgtool": "0.1.0",
        "format": 1,
        "command": "stylize",
        "inputs": [
            {"param": param, "path": path, "sha256": sha256_file(Path(path))} for param, path in named.items()
        ],
        "options": {},
        "weights": [],
        "versions": {},
    }


HOSTILE = [
    ({"format": 2}, "it is of format 2"),
    ({"imgtool": None}, "it is of format"),
    ({"command": "weights"}, "there is no making again of 'weights'"),
    ({"command": ["rerun"]}, "there is no making again"),
    ({"command": {}}, "there is no making again"),
    ({"options": []}, "no objects"),
    ({"versions": "1"}, "no objects"),
    ({"inputs": {}}, "its inputs are not objects with param, path, sha256"),
    ({"inputs": ["photo.png"]}, "its inputs are not objects"),
    ({"inputs": [{"param": "pictures", "path": 1, "sha256": ""}]}, "its inputs are not objects"),
    ({"weights": [{"name": "vgg19"}]}, "its weights are not objects with name, sha256"),
    ({"weights": None}, "its weights are not objects"),
    ({"inputs": [{"param": "pictures", "path": "../../etc/passwd", "sha256": ""}]}, "not a path inside"),
    ({"inputs": [{"param": "pictures", "path": "/etc/passwd", "sha256": ""}]}, "not a path inside"),
    ({"inputs": [{"param": "pictures", "path": "a\0b", "sha256": ""}]}, "not a path inside"),
    ({"inputs": [{"param": "pictures", "path": "", "sha256": ""}]}, "not a path inside"),
    ({"inputs": [{"param": "pictures", "path": "a\x1b]0;b", "sha256": ""}]}, r"a\x1b]0;b"),
    ({"inputs": [{"param": "output", "path": "photo.png", "sha256": ""}]}, "input 'output' is unknown"),
    ({"inputs": [{"param": "style", "path": "photo.png", "sha256": "", "weight": "1"}]}, "is not a weight"),
    ({"options": {"output": "/tmp/x.png"}}, "option 'output' is unknown"),
    ({"options": {"force": True}}, "option 'force' is unknown"),
    ({"options": {"sidecar": True}}, "option 'sidecar' is unknown"),
    ({"options": {"save_every": 1}}, "option 'save_every' is unknown"),
    ({"options": {"name": "{stem}.png"}}, "option 'name' is unknown"),
    ({"options": {"json": True}}, "option 'json' is unknown"),
    ({"options": {"weights": "/etc/passwd"}}, "option 'weights' is unknown"),
    ({"options": {"init": "/etc/passwd"}}, "option 'init' is unknown"),
    ({"options": {"content_mask": "photo.png"}}, "option 'content_mask' is unknown"),
    ({"options": {"pictures": "photo.png"}}, "option 'pictures' is unknown"),
    ({"options": {"nonsense": 1}}, "option 'nonsense' is unknown"),
    ({"options": {"steps": [[1]]}}, "cannot be typed"),
    ({"options": {"steps": "many"}}, "its recipe cannot be run: Invalid value for '--steps'"),
    ({"options": {"size": -1}}, "its recipe cannot be run: --size: must be at least 1"),
    ({"options": {"style_layers": {"conv1_1": {}}}}, "is no weight for conv1_1"),
    ({"options": {"threads": 10**9}}, "'--threads'"),
]


@pytest.mark.parametrize(("change", "error"), HOSTILE)
def test_hostile_recipes(imgtool, pictures, change, error):
    Path("out.json").write_text(json.dumps(recipe_of("photo.png", "painting.png") | change))
    before = sorted(os.listdir())  # noqa: PTH208
    result = imgtool("rerun", "out.json", "-o", "again.png", "-q")
    assert result.code == 1, result
    assert error in result.error
    assert result.error.isprintable()
    assert sorted(os.listdir()) == before  # noqa: PTH208


def test_other_versions_are_told(imgtool, pictures):
    recipe = recipe_of("photo.png", "painting.png") | {"imgtool": "9\x1b", "versions": {"torch": "1.0"}}
    Path("out.json").write_text(json.dumps(recipe))
    talk = imgtool("rerun", "out.json", "-o", "again.png").stderr
    assert r"made with imgtool 9\x1b, here is" in talk
    assert "note: made with torch 1.0, here is" in talk


class TestInspect:
    def test_shows_the_recipe(self, stylize, imgtool, pictures):
        stylize("photo.png", "painting.png", "-o", "out.png")
        result = imgtool("inspect", "out.png")
        assert json.loads(result.stdout) == read_recipe(Path("out.png"))
        assert b"\n  " in result.stdout
        assert imgtool("inspect", "--json", "out.png", "out.png").stdout.count(b"\n") == 2

    def test_goes_on_after_a_failure(self, stylize, imgtool, pictures):
        stylize("photo.png", "painting.png", "-o", "out.png")
        result = imgtool("inspect", "photo.png", "gone.png", "out.png", "--json")
        assert result.code == 1
        assert len(result.records) == 1
        assert "photo.png: no recipe in it" in result.stderr
        assert "gone.png: no such file" in result.stderr

    def test_what_it_shows_cannot_steer_a_terminal(self, imgtool):
        Path("out.json").write_text(json.dumps({"a": "\x1b]0;\x9b\u202e"}))
        assert imgtool("inspect", "out.json").stdout.decode().replace("\n", "").isprintable()
