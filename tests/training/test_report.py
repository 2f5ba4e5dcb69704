"""Reports of runs: every score can be read off its curve, and options are told as a person would."""

import re

import numpy as np

from imgtool.training.report import run_report
from imgtool.training.run_folder import RunFolder


def page(tmp_path, *scores, **options):
    run = RunFolder.new(tmp_path / "run", {"command": "train-gan", **options})
    for number, score in enumerate(scores):
        run.log({"step": 100 * number, "seconds": 1.0, "score": score})
    return run_report(run)


def heights(found):
    """How much of a plot's height each of its curves takes, in the order of drawing."""
    for curve in re.findall(r'<path class="curve c\d" d="(M[\d.,LM]+)"/>', found):
        rows = [float(row) for row in re.findall(r",([\d.]+)", curve)]
        yield np.ptp(rows) / 400


def test_scores_of_any_size_can_be_read_off_their_curves(tmp_path):
    found = page(tmp_path, {"-distance": -150.0, "recall": 0.0}, {"-distance": -5.0, "recall": 0.5})
    assert found.count("<svg") == 2
    assert all(height > 0.9 for height in heights(found)) and len(list(heights(found))) == 2


def test_shares_stand_in_one_plot(tmp_path):
    found = page(tmp_path, {"dice": 0.1, "iou": 0.2}, {"dice": 0.9, "iou": 0.8})
    assert found.count("<svg") == 1 and len(list(heights(found))) == 2


def test_lists_and_nothing_are_told_in_words(tmp_path):
    found = page(tmp_path, augment=("color", "shift"), betas=[0.0, 0.99], time=None)
    for told in ("color, shift", "0.0, 0.99", "none"):
        assert f"<td>{told}</td>" in found
