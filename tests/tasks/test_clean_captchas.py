import numpy as np
import pytest
import torch

from imgtool.data.captcha_set import CaptchaItem
from imgtool.tasks.captcha_examples import Labelled
from imgtool.tasks.clean_captchas import Opinion, agreement, opinions, suspects


class Reads:
    """Reads "AB" in everything, more surely in darker pictures."""

    alphabet = "ABC"

    def logits(self, image):
        found = torch.zeros(len(image), 4, 4)
        for row, each in zip(found, image, strict=True):
            for frame, index in enumerate((1, 0, 2, 0)):
                row[frame, index] = 20 * (1 - float(each.mean()))
        return found

    def spelled(self, text):
        return "".join(self.alphabet[each - 1] for each in text)


@pytest.fixture
def examples():
    def item(name, text, level):
        return CaptchaItem(name, text, lambda: np.full((16, 32, 3), level, np.uint8))

    items = [item("a", "AB", 0), item("b", "AC", 0), item("c", "AC", 200), item("d", "CA", 0)]
    found = Labelled(items, height=16)
    found.check()
    return found


def test_labels_that_are_read_otherwise_have_a_margin(examples):
    found = {each.name: each for each in opinions(examples, Reads(), fold=2)}
    assert [each.reading for each in found.values()] == ["AB"] * 4
    assert found["a"].margin == 0
    assert found["b"].margin == pytest.approx(20, abs=1)
    assert found["c"].margin < 6  # not sure
    assert found["d"].margin > found["b"].margin  # both characters
    assert {each.fold for each in found.values()} == {2}


def test_the_most_suspicious_come_first(examples):
    found = list(opinions(examples, Reads(), fold=1))
    assert [each.name for each in suspects(found, 8.0)] == ["d", "b"]
    assert [each.name for each in suspects(found, 0.0)] == ["d", "b", "c"]
    assert suspects(found, 1e9) == []


def test_agreement():
    found = [Opinion("", "A", reading, 0.0, 1) for reading in ("A", "B", "A", "a")]
    assert agreement(found) == 0.5
