"""Losses of texts that are read from left to right: by all ways to read them, and by where their characters stand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

BLANK = 0
IGNORED = -1  # the target of a frame that may say what it likes


def text_losses(logits: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
    """- log p(text) of each text: connectionist temporal classification.

        p(text) = sum over all paths that collapse to it of the product of p_t(path_t)

    where a path has a class for each frame, and collapses by dropping repeats, then blanks.

    Args:
        logits: (N, T, K); class 0 is the blank.
        texts: N sequences of classes from 1 on.
    Returns:
        (N,), at least 0; infinite where a text has no room in T frames.
    Reference:
        Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf, eq. 3 and 8.
    """
    count, frames, _ = logits.shape
    lengths = torch.tensor([len(text) for text in texts], dtype=torch.long)
    flat = torch.tensor([each for text in texts for each in text], dtype=torch.long, device=logits.device)
    return functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        flat,
        torch.full((count,), frames, dtype=torch.long),
        lengths,
        blank=BLANK,
        reduction="none",
    )


def room_needed(text: Sequence[object]) -> int:
    """Frames that a text takes at least: one a character, and a blank between two that are equal."""
    return len(text) + sum(first == second for first, second in pairwise(text))


def frame_loss(logits: Tensor, targets: Tensor, *, blank_weight: float = 0.3) -> Tensor:
    """Cross-entropy of each frame whose character is known.

    By the texts alone a reader first learns to say nothing at all, and stays there for long: blanks are a part of
    almost every path. Where it is known which frame a character stands in, this shows the way.

    Args:
        logits: (N, T, K).
        targets: (N, T) classes, 0 for no character; `IGNORED` where nothing is known.
        blank_weight: of frames without a character, of which there are most.
    Returns:
        A number: the weighted mean.
    """
    weights = torch.ones(logits.shape[-1], device=logits.device)
    weights[BLANK] = blank_weight
    return functional.cross_entropy(logits.float().transpose(1, 2), targets, weights, ignore_index=IGNORED)
