import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ONE = ("--workers", "1")


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(samples)).save(path)


def cells():
    """Four cells of 15x20 with borders between them, as 0 and 255."""
    mask = np.full((31, 41), 255, np.uint8)
    mask[15], mask[:, 20] = 0, 0
    return mask


@pytest.fixture
def membranes(folder):
    """Probabilities of cells, one right and one with a gap in a border, and their ground truth."""
    gap = np.where(cells() > 0, 230, 20).astype(np.uint8)
    write(folder / "made/right.png", gap)
    gap[15, 5:12] = 230
    write(folder / "made/wrong.png", gap)
    for name in ("right", "wrong"):
        write(folder / f"truth/{name}_mask.png", cells())
    return folder


@pytest.fixture
def nuclei(folder):
    """Numbered objects, 40 of them in one picture; one in four is not found, and numbers differ."""
    numbers = np.kron(np.arange(40).reshape(5, 8) + 1, np.ones((8, 8), int))
    numbers[::8], numbers[:, ::8] = 0, 0
    found = np.where(numbers % 4 == 0, 0, (numbers > 0) * (1000 - numbers))
    for name in ("a", "b"):
        write(folder / f"truth/{name}.png", numbers.astype(np.uint16))
    write(folder / "made/a.png", numbers.astype(np.uint16))
    write(folder / "made/b.png", found.astype(np.uint16))
    return folder


def summary(result):
    assert result.code == 0, result.stderr
    return result.records[-1]["summary"]


def test_prints_a_line_a_number(imgtool, membranes):
    result = imgtool("score", "masks", "made", "truth", *ONE)
    assert result.code == 0
    rows = {line.split("  ")[0].strip(): line for line in result.stdout.decode().splitlines()}
    assert list(rows)[:6] == [
        *("V-Rand", "V-Info", "V-Rand at 0.5", "V-Info at 0.5", "pixel error", "best pixel error"),
    ]
    assert rows.keys() >= {"Dice of 0", "Dice of 255", "IoU of 0", "IoU of 255"}
    assert "2 pictures, classes 0, 255" in result.stderr


def test_json_has_a_line_a_picture_and_a_summary(imgtool, membranes):
    *pictures, last = imgtool("score", "masks", "made", "truth", *ONE, "--json").records
    rand = {each["name"]: each["v_rand"] for each in pictures}
    assert rand["right"] == pytest.approx(1) and rand["wrong"] < 0.9
    assert last["summary"]["v_rand"] == pytest.approx(sum(rand.values()) / 2)
    assert last["summary"]["pixel_error"] == pytest.approx(7 / (31 * 41) / 2)
    assert last["summary"]["v_rand_merge"] < last["summary"]["v_rand_split"]
    assert (last["summary"]["truth"], last["summary"]["images"]) == ("borders", 2)


def test_inverted_probabilities_score_the_same(imgtool, membranes):
    plain = summary(imgtool("score", "masks", "made", "truth", *ONE, "--json"))
    for path in (membranes / "made").iterdir():
        write(path, 255 - np.array(Image.open(path)))
    inverted = summary(imgtool("score", "masks", "made", "truth", *ONE, "--json", "--invert"))
    for key in ("v_rand", "v_info", "pixel_error", "dice"):
        assert inverted[key] == pytest.approx(plain[key])
    wrong = imgtool("score", "masks", "made", "truth", *ONE)
    assert "the inverse fits better" in wrong.stderr and "--invert" in wrong.stderr


def test_a_low_threshold_is_no_reason_to_invert(imgtool, membranes):
    for path in (membranes / "made").iterdir():
        write(path, np.array(Image.open(path)) // 3)
    result = imgtool("score", "masks", "made", "truth", *ONE, "--json")
    assert summary(result)["pixel_error"] > 0.5
    assert "inverse" not in result.stderr


def test_truth_against_itself_is_perfect_in_any_format(imgtool, membranes):
    for name, kind in (("right", "tif"), ("wrong", "npy")):
        (membranes / f"made/{name}.png").unlink()
        if kind == "npy":
            np.save(membranes / f"made/{name}.npy", cells() > 0)
        else:
            write(membranes / f"made/{name}.{kind}", cells())
    found = summary(imgtool("score", "masks", "made", "truth", *ONE, "--json"))
    assert [found[key] for key in ("v_rand", "v_info", "pixel_error")] == pytest.approx([1, 1, 0])


def test_two_files_belong_together_whatever_their_names(imgtool, membranes):
    found = imgtool("score", "masks", "made/wrong.png", "truth/right_mask.png", "--json")
    assert [each.get("name") for each in found.records] == ["wrong", None]


def test_of_several_kinds_the_one_that_tells_most_is_scored(imgtool, membranes):
    """A folder of `imgtool segment --kind mask,probability,overlay --sheet`."""
    made = membranes / "made"
    for name in ("right", "wrong"):
        path = made / f"{name}.png"
        write(made / f"{name}-mask.png", np.zeros((31, 41), np.uint8))
        write(made / f"{name}-overlay.png", np.zeros((31, 41, 3), np.uint8))
        write(made / f"{name}-mask-sheet.png", np.zeros((5, 5, 3), np.uint8))
        path.rename(made / f"{name}-probability.png")
    *pictures, last = imgtool("score", "masks", "made", "truth", *ONE, "--json").records
    assert [each["name"] for each in pictures] == ["right-probability", "wrong-probability"]
    assert last["summary"]["predictions"] == "probability"


def test_classes_by_value_or_by_number(imgtool, folder):
    truth = np.repeat([[0, 100, 200]], 8, axis=1).repeat(6, axis=0).astype(np.uint8)
    made = truth.copy()
    made[:3, 8:16] = 200
    write(folder / "truth.png", truth)
    for given in (made, made // 100):
        write(folder / "made.png", given)
        found = summary(imgtool("score", "masks", "made.png", "truth.png", "--json"))
        assert found["pixel_error"] == pytest.approx(1 / 6)
        assert found["iou"] == pytest.approx({"0": 1, "100": 1 / 2, "200": 2 / 3})
        assert found["mean_iou"] == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
        assert found["dice"]["200"] == pytest.approx(4 / 5)


def test_few_objects_of_a_single_picture_are_objects(imgtool, folder):
    numbers = np.repeat([[0, 1, 2, 3]], 6, axis=1).repeat(6, axis=0).astype(np.uint8)
    write(folder / "truth.png", numbers)
    write(folder / "made.png", np.where(numbers > 0, 4 - numbers, 0).astype(np.uint8))
    result = imgtool("score", "masks", "made.png", "truth.png")
    assert "numbers of objects (--classes if each is a class)" in result.stderr
    assert b"AP at 0.5  1.0000" in result.stdout
    classes = imgtool("score", "masks", "made.png", "truth.png", "--classes", "--json")
    assert summary(classes)["truth"] == "classes"


def test_values_that_may_be_objects_are_told_to_be_taken_for_classes(imgtool, folder):
    values = np.repeat([[0, 1, 2]], 6, axis=1).repeat(6, axis=0).astype(np.uint8)
    write(folder / "truth.png", values)
    write(folder / "made.png", values)
    told = imgtool("score", "masks", "made.png", "truth.png").stderr
    assert "classes 0, 1, 2 (--objects if each value is one object)" in told
    write(folder / "made.png", values + 3)
    refused = imgtool("score", "masks", "made.png", "truth.png")
    assert refused.code == 1
    assert "made.png has the value 3" in refused.error and "--objects" in refused.error


def test_objects_are_guessed_and_matched_whatever_their_numbers(imgtool, nuclei):
    *pictures, last = imgtool("score", "masks", "made", "truth", *ONE, "--json").records
    assert [each["ap"] for each in pictures] == [1, 0.75]
    assert last["summary"]["ap"] == last["summary"]["mean_ap"] == pytest.approx(0.875)
    assert (last["summary"]["precision"], last["summary"]["recall"]) == (1, 70 / 80)
    assert last["summary"]["truth"] == "objects"


def test_lossy_predictions_of_objects_are_refused(imgtool, nuclei):
    for path in (nuclei / "made").iterdir():
        write(path.with_suffix(".jpg"), np.where(np.array(Image.open(path)) > 0, 255, 0).astype(np.uint8))
        path.unlink()
    refused = imgtool("score", "masks", "made", "truth", *ONE)
    assert refused.code == 1
    assert refused.stderr.count("values, and its compression may have made them") == 2


def test_lossy_probabilities_are_told(imgtool, membranes):
    path = membranes / "made/wrong.png"
    write(path.with_suffix(".jpg"), np.array(Image.open(path)))
    path.unlink()
    result = imgtool("score", "masks", "made", "truth", *ONE)
    assert result.code == 0
    assert "wrong.jpg" in result.stderr and "compression" in result.stderr


def test_regions_of_a_mask_are_objects(imgtool, nuclei):
    for path in (nuclei / "made").iterdir():
        write(path, np.where(np.array(Image.open(path)) > 0, 255, 0).astype(np.uint8))
    found = summary(imgtool("score", "masks", "made", "truth", *ONE, "--json"))
    assert (found["ap"], found["found"], found["objects"]) == (pytest.approx(0.875), 70, 80)


def test_objects_of_two_masks_are_their_regions(imgtool, membranes):
    found = summary(imgtool("score", "masks", "made", "truth", *ONE, "--objects", "--json"))
    assert (found["objects"], found["predictions"]) == (8, "labels")
    for path in (membranes / "made").iterdir():
        write(path, np.where(np.array(Image.open(path)) > 99, 255, 0).astype(np.uint8))
    found = summary(imgtool("score", "masks", "made", "truth", *ONE, "--objects", "--json"))
    assert (found["objects"], found["found"]) == (8, 7)
    assert found["recall"] == 6 / 8


def test_processes_change_nothing(nuclei):
    def run(workers):
        words = ["score", "masks", "made", "truth", "--workers", workers, "--json"]
        command = [sys.executable, "-m", "imgtool", *words]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        *pictures, last = map(json.loads, lines)
        return pictures, {**last["summary"], "seconds": 0}

    assert run("2") == run("1")


def test_report_stands_on_its_own_and_begins_with_the_worst(imgtool, membranes):
    assert imgtool("score", "masks", "made", "truth", *ONE, "-o", "report.html").code == 0
    page = (membranes / "report.html").read_text()
    assert "<svg" in page and page.count("<img") == 2
    assert page.index("wrong: V-Rand") < page.index("right: V-Rand")
    assert "http://" not in page.replace("http://www.w3.org", "")
    again = imgtool("score", "masks", "made", "truth", *ONE, "-o", "report.html")
    assert again.code == 2 and "--force" in again.error
    assert imgtool("score", "masks", "made", "truth", *ONE, "-o", "report.html", "-f").code == 0


def test_reports_of_objects_and_classes(imgtool, nuclei):
    assert imgtool("score", "masks", "made", "truth", *ONE, "-o", "objects.html").code == 0
    page = (nuclei / "objects.html").read_text()
    assert "AP at 0.5" in page and page.index("b: AP") < page.index("a: AP")
    truth = np.repeat([[0, 100, 200]], 8, axis=1).repeat(6, axis=0).astype(np.uint8)
    write(nuclei / "classes.png", truth)
    words = ("classes.png", "classes.png", "-o", "classes.html")
    assert imgtool("score", "masks", *words).code == 0
    assert "mean IoU" in (nuclei / "classes.html").read_text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda here: (here / "made/right.png").unlink(), "right_mask.png has no mask in made"),
        (lambda here: (here / "truth/right_mask.png").unlink(), "right.png has no ground truth in truth"),
        (lambda here: (here / "made/right.png").write_bytes(b"x"), "right.png"),
        (lambda here: (here / "truth/right_mask.png").write_bytes(b"x"), "right_mask.png"),
        (lambda here: write(here / "made/right.png", np.zeros((8, 9), np.uint8)), "is 9x8, its ground truth"),
        (lambda here: [path.unlink() for path in (here / "made").iterdir()], "holds no picture"),
        (lambda here: [path.unlink() for path in (here / "truth").iterdir()], "holds no picture"),
        (
            lambda here: write(here / "truth/right_mask.png", np.zeros((31, 41), np.uint8)),
            "right_mask.png holds the value 0 alone",
        ),
        (lambda here: write(here / "made/right.tif", cells()), "are masks of one name"),
        (
            lambda here: (here / "made/right.png").rename(here / "made/right-contours.png"),
            "right_mask.png has no mask to score borders by in made",
        ),
        (
            lambda here: write(here / "made/right.png", np.full((31, 41, 3), (9, 8, 7), np.uint8)),
            "right.png is in colours",
        ),
    ],
)
def test_what_is_wrong_is_named_before_scoring(imgtool, membranes, spoil, words):
    spoil(membranes)
    result = imgtool("score", "masks", "made", "truth", *ONE, "-o", "report.html")
    assert result.code == 1
    assert words in result.error
    assert not result.stdout
    assert not (membranes / "report.html").exists()


def test_every_picture_of_one_value_has_a_line(imgtool, membranes):
    for path in (membranes / "truth").iterdir():
        write(path, np.zeros((31, 41), np.uint8))
    result = imgtool("score", "masks", "made", "truth", *ONE)
    assert result.code == 1
    assert [line.split(" ")[1] for line in result.stderr.splitlines()] == [
        "truth/right_mask.png",
        "truth/wrong_mask.png",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "truth"), "does not exist"),
        (("made", "truth/right_mask.png"), "expected two of a kind"),
        (("made", "truth", "-o", "report.txt"), "report.html"),
        (("made", "truth", "--objects", "--invert"), "--invert"),
    ],
)
def test_refuses_in_one_line(imgtool, membranes, arguments, words):
    result = imgtool("score", "masks", *arguments)
    assert result.code == 2
    assert words in result.error
