import pytest
import torch

from imgtool.metrics.captchas import Rate
from imgtool.tasks import audit_captcha
from imgtool.tasks.audit_captcha import legibility, rate_of, verdict
from imgtool.tasks.read_captcha import Reading


def test_upper_and_lower_case_count_as_one(monkeypatch):
    readings = [Reading(text, 1.0) for text in ("AB3", "AB3", "ab3", "AB", "")]
    monkeypatch.setattr(audit_captcha, "read_captchas", lambda images, reader, options: iter(readings))
    texts = ["AB3", "ab3", "AB3", "AB3", "Q"]
    assert rate_of([torch.zeros(1)] * 5, texts, None, beam=1) == Rate(3, 5)


def test_knows_how_long_texts_may_be(monkeypatch):
    asked = []
    monkeypatch.setattr(
        audit_captcha,
        "read_captchas",
        lambda images, reader, options: asked.append(options) or iter([Reading("", 1)] * 2),
    )
    rate_of([torch.zeros(1)] * 2, ["ABC", "ABCDE"], None, beam=3)
    assert (asked[0].length, asked[0].beam) == ((3, 5), 3)


def test_legibility():
    found = legibility([(5.0, 0.9), (4.5, 1.0), (9.0, 0.6)])
    assert found.contrast == (4.5, 5.0)
    assert found.visible == (0.6, 0.9)
    assert legibility([]) is None


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (97, "reads 97.0%, and gets past with one of 3 tries in more than 99%"),
        (50, "88%"),
        (20, "about 5 tries"),
        (3, "no proof of strength"),
        (0, "gets 0.0%"),
    ],
)
def test_verdict_is_plain(read, words):
    said = verdict(Rate(read, 100))
    assert words in said
    assert said.startswith("Weak") == (read >= 10)
