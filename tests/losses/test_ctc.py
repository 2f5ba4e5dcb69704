import itertools
import math

import pytest
import torch
from torch.nn import functional

from imgtool.losses.ctc import IGNORED, frame_loss, room_needed, text_losses


def collapsed(path):
    return tuple(each for each, _ in itertools.groupby(path) if each)


def by_all_paths(logits):
    """The probability of each text, summed over every path there is."""
    known = logits.double().softmax(-1)
    found = {}
    for path in itertools.product(range(logits.shape[1]), repeat=logits.shape[0]):
        probability = math.prod(float(known[frame, each]) for frame, each in enumerate(path))
        found[collapsed(path)] = found.get(collapsed(path), 0.0) + probability
    return found


@pytest.mark.parametrize("seed", range(3))
def test_is_the_sum_over_all_paths(seed):
    logits = 2 * torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(seed))
    known = by_all_paths(logits[0])
    assert sum(known.values()) == pytest.approx(1)
    texts = list(known)
    losses = text_losses(logits.expand(len(texts), -1, -1), texts)
    for text, loss in zip(texts, losses, strict=True):
        assert math.exp(-float(loss)) == pytest.approx(known[text], rel=1e-4), text


def test_gradient_is_that_of_the_sum_over_all_paths():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    text = (1, 2)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    text_losses(ours[None], [text]).sum().backward()
    known = theirs.log_softmax(-1)
    paths = [path for path in itertools.product(range(3), repeat=4) if collapsed(path) == text]
    scores = [sum(known[frame, each] for frame, each in enumerate(path)) for path in paths]
    (-torch.logsumexp(torch.stack(scores), 0)).backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


def test_texts_of_several_lengths():
    logits = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    texts = [(1,), (), (3, 3, 2)]
    together = text_losses(logits, texts)
    for row, text, loss in zip(logits, texts, together, strict=True):
        targets = torch.tensor([text or (1,)])
        alone = functional.ctc_loss(
            row.log_softmax(-1)[:, None],
            targets,
            torch.tensor([6]),
            torch.tensor([len(text)]),
            reduction="sum",
        )
        assert torch.isclose(loss, alone)


def test_a_text_without_room_has_no_probability():
    logits = torch.zeros(2, 3, 3)
    losses = text_losses(logits, [(1, 1), (1, 2, 1)])
    assert torch.isfinite(losses).all()
    assert text_losses(logits[:1], [(1, 1, 2)]).isinf().all()


@pytest.mark.parametrize(
    ("text", "frames"), [("", 0), ("A", 1), ("AB", 2), ("AA", 3), ("AABB", 6), ("ABA", 3)]
)
def test_room(text, frames):
    assert room_needed(text) == frames


def test_frames_whose_class_is_not_known_do_not_count():
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(2)).requires_grad_()
    frame_loss(logits, torch.tensor([[IGNORED, 2, IGNORED, 0]])).backward()
    assert (logits.grad[0, [0, 2]] == 0).all()
    assert (logits.grad[0, [1, 3]] != 0).all()


def test_frames_are_weighed():
    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3))
    targets = torch.tensor([[0, 1, 0, 2, 0], [0, 0, 0, 0, 1]])
    losses = -logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    weights = torch.where(targets == 0, 0.25, 1.0)
    expected = (losses * weights).sum() / weights.sum()
    assert torch.isclose(frame_loss(logits, targets, blank_weight=0.25), expected)
