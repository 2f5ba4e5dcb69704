"""Frames of one film, so that what stands still in the film stands still in what is made of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from imgtool.imaging.color import luma, match_color
from imgtool.imaging.flow import motion
from imgtool.imaging.tensors import fit, resize
from imgtool.nn.vgg import VGG
from imgtool.options.stylize import StylizeOptions
from imgtool.tasks.objective_terms import MakeTerm, Term
from imgtool.tasks.style_objective import Style
from imgtool.tasks.stylize import COARSE_SHARE, OnStep, StylizeResult, ignore, stylize

FLOW_SIDE = 384  # pixels of the longest side of the pictures in which motion is looked for
TEMPORAL_UNIT = 1e8  # at which a weight of 1 holds what stands still, and style still comes to what is new
NEW = 0.005  # share of a frame that is new, above which it is painted at half the size first
LATER_FIRST_STEP = (
    0.004  # mean change of a pixel in the first step of a frame that begins with the one before
)
ONE_PASS_UNIT = 0.15  # with a weight of 1 an eighth of a frame is its own
CUT = 0.3  # share of a picture whose motion is trusted; below it, another scene begins
NAME = "temporal"


@dataclass(frozen=True)
class Before:
    """The frame before.

    Attributes:
        content: the frame, (1, 3, H, W) in [0, 1].
        result: what was made of it, (1, 3, h, w) in [0, 1].
    """

    content: Tensor
    result: Tensor


@dataclass(frozen=True)
class Carried:
    """The result of the frame before, moved as the film moves.

    Attributes:
        image: (1, 3, H, W) in [0, 1].
        trust: (1, 1, H, W) in [0, 1], 0 where the frame before does not say what is there.
    """

    image: Tensor
    trust: Tensor

    @property
    def goes_on(self) -> bool:
        """Whether it is still the same scene."""
        return float(self.trust.mean()) > CUT


def carried(before: Before, content: Tensor, size: tuple[int, int]) -> Carried:
    """The result of the frame before where its things are in this frame.

    Args:
        before: the frame before, of the same shape.
        content: this frame, (1, 3, H, W).
        size: (height, width) of the result.
    """
    small = fit(size, min(max(size), FLOW_SIDE))
    now, then = (luma(resize(each, small))[0, 0].cpu().numpy() for each in (content, before.content))
    found = motion(now, then)
    scale = np.array([size[0] / small[0], size[1] / small[1]], np.float32)
    flow = torch.from_numpy(found.flow * scale[:, None, None])[None]
    flow, trust = (
        functional.interpolate(each, size, mode="bilinear") if size != small else each
        for each in (flow, torch.from_numpy(found.trust)[None, None])
    )
    return Carried(_moved(resize(before.result, size), flow), trust)


def stylize_frame(
    content: Tensor,
    styles: Sequence[Style],
    options: StylizeOptions,
    last: Carried,
    *,
    network: VGG,
    terms: Sequence[MakeTerm] = (),
    deadline: float | None = None,
    on_step: OnStep = ignore,
) -> StylizeResult:
    """Repaint a frame that goes on from the one before.

    What stands still or moves along begins with the result of the frame before; what is new, with itself in the
    colours of that result, and is painted at half the size first, where strokes are found.

    Args:
        content, styles, options, network, terms, deadline, on_step: see `stylize`.
        last: the frame before, at the size of the result.
    """
    size = (last.image.shape[-2], last.image.shape[-1])
    options = options.for_size(max(size))  # half the size has half the strokes
    terms = [*terms, temporal_term(last, options.temporal_weight)]
    start = torch.lerp(match_color(resize(content, size).cpu(), last.image), last.image, last.trust)
    if float(1 - last.trust.mean()) > NEW:
        small = replace(options, size=max(1, max(size) // 2), scales=1, steps=options.steps[-1:])
        now = time.monotonic()
        end = None if deadline is None else now + COARSE_SHARE * (deadline - now)
        coarse = stylize(content, styles, small, network=network, init=start, terms=terms, deadline=end)
        start = torch.lerp(resize(coarse.image, size), last.image, last.trust)
        if coarse.interrupted:
            return replace(coarse, image=start, steps=(0,) * options.scales, history=())
    return stylize(
        content,
        styles,
        options,
        network=network,
        init=start,
        terms=terms,
        first_step=LATER_FIRST_STEP,
        deadline=deadline,
        on_step=on_step,
    )


def temporal_term(last: Carried, weight: float) -> MakeTerm:
    """The mean squared difference from the frame before, moved along, where its motion is trusted.

    Reference:
        Ruder, Dosovitskiy & Brox 2016, Artistic style transfer for videos, equation 7.
        https://arxiv.org/abs/1604.08610
    """

    def make(content: Tensor) -> Term:
        size = (content.shape[-2], content.shape[-1])
        image, trust = (resize(each, size).to(content.device) for each in (last.image, last.trust))

        def loss(result: Tensor) -> Tensor:
            return weight * TEMPORAL_UNIT * (trust * (result - image).square()).mean()

        return Term(NAME, loss)

    return make


def steadied(image: Tensor, last: Carried, weight: float) -> Tensor:
    """A picture made in one pass, held to the frame before where its motion is trusted.

    The more weight, the slower a change that the film does not have comes through.

    Args:
        image: (1, 3, H, W) in [0, 1].
        last: of the same size.
        weight: from 0, which leaves the picture as it is.
    """
    return torch.lerp(image, last.image, last.trust * (weight / (weight + ONE_PASS_UNIT)))


def _moved(image: Tensor, flow: Tensor) -> Tensor:
    """A picture (1, 3, H, W) fetched from where a flow (1, 2, H, W) in rows and columns says it is."""
    height, width = image.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack((columns + flow[0, 1], rows + flow[0, 0]), dim=-1)[None]
    # (-1, -1) is the outer corner of the first pixel.
    places = (2 * places + 1) / torch.tensor([width, height]) - 1
    found = functional.grid_sample(
        image.cpu(), places, mode="bicubic", padding_mode="border", align_corners=False
    )
    still = (flow == 0).all(dim=1, keepdim=True)
    return torch.where(still, image.cpu(), found.clamp(0, 1))
