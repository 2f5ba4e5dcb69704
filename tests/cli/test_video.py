"""`stylize --video`: folders of frames and animations, the frame before, what a cut run leaves, and recipes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtool.cli import fast_style_work, stylize_work
from imgtool.cli.sources import Source
from imgtool.cli.video import natural
from imgtool.imaging.animation import read_timing
from imgtool.imaging.io import read_recipe

VIDEO = ("--style", "painting.png", "--video", "--frame-steps", "2")


def frame(seed, height=24, width=40):
    """A still scene with the noise of a sensor."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    still = np.asarray(Image.fromarray(coarse).resize((width, height)), float)
    noise = np.random.default_rng(seed + 1).normal(0, 3, still.shape)
    return Image.fromarray((still + noise).clip(0, 255).round().astype(np.uint8))


@pytest.fixture
def film(pictures):
    """Frames 1, 2, 3 and 10 in the folder `film`."""
    Path("film").mkdir()
    for number in (1, 2, 3, 10):
        frame(number).save(f"film/f{number}.png")


@pytest.fixture
def clip(pictures):
    """clip.gif and clip.webp of three frames."""
    frames = [frame(number) for number in range(3)]
    for name, loop in (("clip.gif", 2), ("clip.webp", 3)):
        frames[0].save(
            name, save_all=True, append_images=frames[1:], duration=[40, 80, 120], loop=loop, lossless=True
        )


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), int)


@pytest.fixture
def again(rerun, random_vgg19):
    """Makes a picture again, with the weights and frames where they are."""
    return lambda picture: rerun(picture, "--find", str(random_vgg19.parent), "--find", ".")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("- --style painting.png --video", "reads files, not stdin"),
        ("photo.png painting.png --video --frame 2", "leave --frame and --previous-frame away"),
        ("photo.png painting.png --previous-frame photo.png", "go together"),
        ("photo.png painting.png --style painting.png --video -o film.gif", "an animation is made of one"),
        (
            "photo.png painting.png --previous-frame gone.png --previous-result gone.png",
            "previous frame gone.png does not",
        ),
        ("photo.png painting.png --temporal-weight -1", "--temporal-weight: must be at least 0"),
        ("clip.gif painting.png --video --sheet", "--sheet does not go with an animation"),
        ("clip.gif painting.png --video --time 5s", "--time does not go with an animation"),
        ("clip.gif painting.png --video -o -", "an animation is not written to stdout"),
        ("clip.gif painting.png --video -o out.png", "out.png has suffix .png; use one of .gif .webp"),
    ],
)
def test_refusals(imgtool, clip, arguments, error):
    result = imgtool("stylize", *arguments.split())
    assert result.code == 2
    assert error in result.error


def test_options_of_films_without_a_film(stylize, pictures):
    words = ("photo.png", "painting.png", "--size", "16", "-fo", "out.png")
    assert "--frame-steps is about films" in stylize(*words, "--frame-steps", "3").stderr
    assert "films" not in stylize(*words).stderr


def test_a_film_of_one_frame(stylize, pictures):
    result = stylize("photo.png", *VIDEO, "--size", "16", "-o", "out/")
    assert result.code == 0 and "one frame is no film" in result.stderr


def test_natural_order():
    names = ["f10.png", "f9.png", "f1.png", "a/f2.png", "f.png"]
    found = [str(each.path) for each in sorted((Source(Path(name)) for name in names), key=natural)]
    assert found == ["a/f2.png", "f1.png", "f9.png", "f10.png", "f.png"]


def test_each_frame_begins_with_the_one_before(stylize, film, again):
    result = stylize("film", *VIDEO, "-o", "out", "--json")
    assert result.code == 0, result.stderr
    *records, _ = result.records
    assert [record["output"] for record in records] == [f"out/f{number}.png" for number in (1, 2, 3, 10)]
    assert [record["metrics"]["steps"] for record in records] == [[1], [2], [2], [2]]
    assert "temporal" in records[1]["metrics"]["losses"][0]
    recipe = read_recipe(Path("out/f10.png"))
    assert [(item["param"], item["path"]) for item in recipe["inputs"]][:3] == [
        ("pictures", "film/f10.png"),
        ("previous_frame", "film/f3.png"),
        ("previous_result", "out/f3.png"),
    ]
    assert recipe["options"]["steps"] == [2] and recipe["options"]["scales"] == 1
    for name in ("out/f1.png", "out/f10.png"):
        again(name)


def test_less_flicker_than_frame_by_frame(stylize, film):
    stylize("film", *VIDEO, "-o", "held", "--temporal-weight", "10")
    stylize("film", "--style", "painting.png", "-o", "alone", "--steps", "3")
    held, alone = (
        np.abs(pixels(f"{folder}/f2.png") - pixels(f"{folder}/f3.png")).mean() for folder in ("held", "alone")
    )
    assert held < alone / 2


def test_a_cut_run_goes_on_to_the_same_bytes(stylize, film, monkeypatch, listening):
    stylize("film", *VIDEO, "-o", "whole")
    proper, calls = stylize_work.stylize_frame, []

    def cut(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return proper(*arguments, **more)

    monkeypatch.setattr(stylize_work, "stylize_frame", cut)
    assert stylize("film", *VIDEO, "-o", "parts").code == 130
    assert sorted(path.name for path in Path("parts").iterdir()) == ["f1.png", "f2.png"]
    again = stylize("film", *VIDEO, "-o", "parts", "--skip-existing")
    assert again.code == 0, again.stderr
    for number in (1, 2, 3, 10):
        assert np.array_equal(pixels(f"whole/f{number}.png"), pixels(f"parts/f{number}.png"))


def test_where_the_size_changes_another_film_begins(stylize, film):
    frame(5, height=40).save("film/f11.png")
    result = stylize("film", *VIDEO, "-o", "out", "--json")
    assert result.code == 0, result.stderr
    assert result.records[-2]["metrics"]["steps"] == [1]


def test_a_previous_frame_of_another_size(stylize, film):
    frame(5, height=40).save("tall.png")
    before = ("--previous-frame", "tall.png", "--previous-result", "film/f2.png")
    result = stylize("film/f3.png", "painting.png", *before)
    assert result.code == 2
    assert "it is 40x40, and the picture 40x24" in result.error


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_of_an_animation(stylize, clip, again, suffix):
    result = stylize(f"clip.{suffix}", *VIDEO, "--json")
    assert result.code == 0, result.stderr
    record = result.records[0]
    out = Path(f"clip-stylize.{suffix}")
    assert (record["output"], record["frames"]) == (str(out), 3)
    assert [each["steps"] for each in record["metrics"]["frames"]] == [[1], [2], [2]]
    timing = read_timing(out)
    assert timing == read_timing(Path(f"clip.{suffix}"))
    assert timing.seconds == (0.04, 0.08, 0.12)
    assert pixels(out).shape == (19, 32, 3)
    if suffix == "webp":
        assert read_recipe(out)["options"]["video"] is True
        again(out)


def test_an_animation_in_another_format(stylize, clip):
    assert stylize("clip.gif", *VIDEO, "-o", "out.webp").code == 0
    assert read_timing(Path("out.webp")).seconds == (0.04, 0.08, 0.12)


def test_frames_of_an_animation(stylize, clip, again):
    result = stylize("clip.webp", *VIDEO, "-o", "out/")
    assert result.code == 0, result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == [f"clip-000{n}.png" for n in (1, 2, 3)]
    recipe = read_recipe(Path("out/clip-0003.png"))
    assert recipe["options"]["frame"] == 3
    again("out/clip-0003.png")
    assert stylize("clip.webp", *VIDEO, "-o", "anim.webp").code == 0
    with Image.open("anim.webp") as anim:
        anim.seek(2)
        assert np.array_equal(np.asarray(anim.convert("RGB")), pixels("out/clip-0003.png"))


def test_a_frame_that_is_not_there(stylize, clip):
    result = stylize("clip.gif", "painting.png", "--frame", "9")
    assert result.code == 1
    assert "it has 3 frames, there is no frame 9" in result.error


def test_a_cut_animation_keeps_its_finished_frames(stylize, clip, monkeypatch, listening):
    proper, calls = stylize_work.stylize_frame, []

    def cut(*arguments, **more):
        result = proper(*arguments, **more)
        calls.append(result)
        return result if len(calls) < 2 else replace(result, interrupted=KeyboardInterrupt())

    monkeypatch.setattr(stylize_work, "stylize_frame", cut)
    result = stylize("clip.webp", *VIDEO, "-o", "out.webp")
    assert result.code == 130 and "--skip-existing" in result.stderr and "--init" not in result.stderr
    assert len(read_timing(Path("out.webp")).seconds) == 2
    assert read_recipe(Path("out.webp"))["unfinished"] is True


def test_one_pass_holds_still_too(imgtool, film, rerun):
    words = ("stylize", "film", "--weights", "palette", "--threads", "1", "--precision", "fp32")
    assert imgtool(*words, "--video", "-o", "held").code == 0
    assert imgtool(*words, "-o", "alone").code == 0
    held, alone = (
        np.abs(pixels(f"{folder}/f3.png") - pixels(f"{folder}/f10.png")).mean()
        for folder in ("held", "alone")
    )
    assert held < alone / 2
    assert json.dumps(read_recipe(Path("held/f3.png"))["inputs"]).count("previous_") == 2
    rerun("held/f3.png", "--find", "film")


def test_one_pass_of_an_animation(imgtool, clip):
    result = imgtool(
        "stylize", "clip.gif", "--weights", "palette", "--video", "-o", "out.gif", "--threads", "1"
    )
    assert result.code == 0, result.stderr
    assert read_timing(Path("out.gif")) == read_timing(Path("clip.gif"))
    assert "recipe written to out.gif.json" in result.stderr


def test_a_cut_animation_in_one_pass(imgtool, clip, monkeypatch, listening):
    proper, calls = fast_style_work.fast_style, []

    def cut(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return proper(*arguments, **more)

    monkeypatch.setattr(fast_style_work, "fast_style", cut)
    words = ("stylize", "clip.gif", "--weights", "palette", "--video", "--threads", "1", "-o", "out.gif")
    assert imgtool(*words).code == 130
    assert read_timing(Path("out.gif")).seconds == (0.04, 0.08)
    monkeypatch.setattr(fast_style_work, "fast_style", proper)
    assert imgtool(*words, "--skip-existing").code == 0
    assert read_timing(Path("out.gif")).seconds == (0.04, 0.08, 0.12)
