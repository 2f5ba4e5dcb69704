"""Repaint a photo by optimising its pixels against Gram losses, coarse to fine."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor

from imgtool.imaging.color import keep_chroma
from imgtool.imaging.tensors import fit, resize
from imgtool.nn.vgg import VGG
from imgtool.optim.adam import Adam
from imgtool.optim.lbfgs import LBFGS, identity
from imgtool.optim.pyramid import pyramid_precondition
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime import processor
from imgtool.tasks.objective_terms import MakeTerm, Term
from imgtool.tasks.placed_styles import placed, require_pictures, require_sides
from imgtool.tasks.style_objective import Losses, Style, StyleObjective
from imgtool.tasks.tiled_objective import TiledObjective

SHORTER = 0.25  # a first step that led uphill is taken again so many times as long, and later ones begin so
SHORTEST = 1e-4  # of these
RESTARTS = 3  # after a loss that is not finite, each with a step of half the length
FIRST_STEP = 0.02  # mean change of a pixel in the first step of a scale, at full strength
COARSE_SHARE = 0.3  # of the time budget, for all scales before the last
ADAM_RATE = 0.03


@dataclass(frozen=True)
class Step:
    """One evaluation of the objective."""

    number: int  # from 1, over all scales
    scale: int  # from 0, the coarsest
    of_scale: int  # from 1, within the scale
    content: float
    style: float
    tv: float
    others: Mapping[str, float] = field(default_factory=dict)  # further terms by name

    @property
    def losses(self) -> dict[str, float]:
        """All terms of the objective by name."""
        return {"content": self.content, "style": self.style, "tv": self.tv, **self.others}

    @property
    def total(self) -> float:
        """The objective."""
        return sum(self.losses.values())

    def as_dict(self) -> dict[str, Any]:
        """All there is to tell of it, flat."""
        return {"number": self.number, "scale": self.scale, "of_scale": self.of_scale, **self.losses}


@dataclass(frozen=True)
class StylizeResult:
    """What came of it.

    Attributes:
        image: (1, 3, H, W) sRGB in [0, 1], on the CPU.
        steps: evaluations done in each scale, coarse to fine; with these as options the result is the same again.
        history: one `Step` an evaluation.
        seconds: spent optimising.
        interrupted: the Ctrl-C or signal that ended it early, for the caller to raise again when all is saved.
        diverged: the loss stayed NaN or infinite after all restarts; the image is the last good one.
    """

    image: Tensor
    steps: tuple[int, ...]
    history: tuple[Step, ...]
    seconds: float
    interrupted: KeyboardInterrupt | None = None
    diverged: bool = False


class Optimizer(Protocol):
    """One gradient, one step."""

    def step(self, point: Tensor, gradient: Tensor) -> Tensor:
        """The next point; same shape as `point`."""


# Told of each evaluation, and the best picture so far: (1, 3, h, w) in [0, 1] at its scale's size.
OnStep = Callable[[Step, Tensor], None]


def ignore(_: Step, __: Tensor) -> None:
    """No report."""


def stylize(
    content: Tensor,
    styles: Sequence[Style],
    options: StylizeOptions,
    *,
    network: VGG,
    init: Tensor | None = None,
    terms: Sequence[MakeTerm] = (),
    first_step: float = FIRST_STEP,
    deadline: float | None = None,
    on_step: OnStep = ignore,
) -> StylizeResult:
    """Repaint `content` with the style of `styles`.

    Args:
        content: (1, 3, H, W) sRGB in [0, 1], of any size; the result has its shape at `options.size`.
        styles: at least one.
        options: see `StylizeOptions`.
        network: a `VGG` with all layers of `options`; where it is, the work is done.
        init: (1, 3, h, w), the picture to start from when `options.init` names one.
        terms: what else is minimised, made for each scale.
        first_step: mean change of a pixel in the first step of a scale; less where the start is nearly the end.
        deadline: `time.monotonic()` at which the result should be there; None leaves `options.steps` in charge.
        on_step: told of each evaluation.
    Returns:
        The best picture found at full size. A Ctrl-C ends the work early and is kept in the result.
    Reference:
        Gatys, Ecker & Bethge 2016. https://doi.org/10.1109/CVPR.2016.265
    """
    device = next(network.parameters()).device
    size = fit((content.shape[-2], content.shape[-1]), options.size)
    options = options.for_size(max(size))
    full = resize(content, size).to(device)
    if options.strength == 0:
        return StylizeResult(full.cpu(), (0,) * options.scales, (), 0.0)
    require_pictures(styles, options)
    palette = full if options.preserve_color else None
    styles = [placed(style, palette, device) for style in styles]
    require_sides(styles, options, size)
    image = _start(full, styles[0].image, options, init)
    run = _Run(options, on_step, deadline, first_step)
    try:
        for scale in range(options.scales):
            current = resize(full, fit(size, max(size) / 2 ** (options.scales - 1 - scale)))
            further = [make(current) for make in terms]
            objective = _objective(current, styles, options, network, further)
            image = run.minimise(objective, resize(image, (current.shape[-2], current.shape[-1])), scale)
    except KeyboardInterrupt as stop:
        run.interrupted = stop
        image = image if run.best is None else run.best
    image = resize(image.clamp(0, 1), size)
    if options.preserve_color:
        image = keep_chroma(image, full)
    return StylizeResult(
        image=image.cpu(),
        steps=(*run.steps, *[0] * (options.scales - len(run.steps))),
        history=tuple(run.history),
        seconds=time.monotonic() - run.began,
        interrupted=run.interrupted,
        diverged=run.diverged,
    )


def _objective(
    content: Tensor, styles: Sequence[Style], options: StylizeOptions, network: VGG, terms: Sequence[Term]
) -> StyleObjective:
    """What is minimised at one size: the whole at once if it is no larger than what a tile sees."""
    whole = (
        options.tile is None or _tile_pixels(options, network.reach) >= content.shape[-2] * content.shape[-1]
    )
    processor.keep_large(whole)
    if options.tile is None or whole:
        return StyleObjective(content, styles, options, network, terms=terms)
    return TiledObjective(content, styles, options, network, tile=options.tile, terms=terms)


def _tile_pixels(options: StylizeOptions, reach: int) -> int:
    """What the network sees in a tile."""
    assert options.tile is not None
    return (options.tile + 2 * reach) ** 2


# For each pixel, measured at 512 and 1024 px: numbers in the features that a backward pass needs, numbers in those of
# a style picture, and bytes in a picture of the optimiser, which keeps two for each pair of its history.
FEATURE_NUMBERS, STYLE_NUMBERS, PICTURE_BYTES = 680, 260, 12
# How many such pictures there are besides while the objective is evaluated, and during a step.
EVALUATED, STEPPED = 7.5, 8
# In the features of the content layer, which are kept also where a picture is worked on in tiles.
KEPT_NUMBERS = 8
# The same of the edge detector, in the largest window that its tiles see.
EDGE_NUMBERS, EDGE_WINDOW = 170, 800**2
NETWORK_NUMBERS, REACH = 13_000_000, 96


def memory_needed(
    size: tuple[int, int],
    options: StylizeOptions,
    dtype: torch.dtype,
    styles: Sequence[tuple[int, int]] = (),
) -> int:
    """Bytes that `stylize` needs at its peak besides those of a process that has loaded torch.

    Args:
        size: (height, width) of the result.
        options: those of the task.
        dtype: of the network.
        styles: (height, width) of the style pictures as they are worked on at full size.
    """

    def pixels(sides: tuple[int, int]) -> int:
        return (sides[0] + 2 * options.margin) * (sides[1] + 2 * options.margin)

    seen = [pixels(size), *map(pixels, styles)]
    kept = 0
    if options.tile is not None:
        kept, most = pixels(size) * KEPT_NUMBERS, _tile_pixels(options, REACH)
        seen = [min(each, most) for each in seen]
    numbers = NETWORK_NUMBERS + kept
    if options.keep_edges:
        numbers += min(pixels(size), EDGE_WINDOW) * EDGE_NUMBERS
    features = max(seen[0] * FEATURE_NUMBERS, max(seen[1:], default=0) * STYLE_NUMBERS)
    picture = size[0] * size[1] * PICTURE_BYTES
    at_once = max(features * dtype.itemsize + EVALUATED * picture, STEPPED * picture)
    return int(numbers * dtype.itemsize + 2 * options.history * picture + at_once)


def _start(content: Tensor, style: Tensor | None, options: StylizeOptions, init: Tensor | None) -> Tensor:
    """The picture to start from, at the content's size."""
    size = (content.shape[-2], content.shape[-1])
    if init is not None:
        return resize(init.to(content.device), size)
    if options.init == "noise":
        # Drawn on the CPU, so that a seed means the same on every device.
        noise = torch.randn(content.shape, generator=torch.Generator().manual_seed(options.seed))
        return (0.5 + 0.1 * noise).clamp(0, 1).to(content.device)
    return resize(style, size) if options.init == "style" and style is not None else content


def _optimizer(
    options: StylizeOptions, first_step: float, settle: Callable[[], None] = lambda: None
) -> Optimizer:
    """What takes the steps; where memory is scarce, `settle` is called between parts of them."""
    if options.optimizer == "adam":
        return Adam(rate=ADAM_RATE * first_step / FIRST_STEP)
    low, high = (0.0, 1.0) if options.bounded else (-torch.inf, torch.inf)

    def precondition(gradient: Tensor) -> Tensor:
        settle()
        found = (pyramid_precondition if options.precondition else identity)(gradient)
        settle()
        return found

    return LBFGS(
        precondition=precondition, low=low, high=high, history=options.history, first_step=first_step
    )


class _Run:
    """The state of one run: what was done, the best so far, the time left."""

    def __init__(
        self, options: StylizeOptions, on_step: OnStep, deadline: float | None, first_step: float
    ) -> None:
        self.options, self.on_step, self.deadline = options, on_step, deadline
        self.first_step = first_step
        self.began = time.monotonic()
        self.history: list[Step] = []
        self.steps: list[int] = []  # evaluations by scale
        self.best: Tensor | None = None
        self.interrupted: KeyboardInterrupt | None = None
        self.diverged = False

    def minimise(self, objective: StyleObjective, image: Tensor, scale: int) -> Tensor:
        """The best picture of one scale, starting from `image`; after divergence, the last good one."""
        self.steps.append(0)
        self.best, lowest = image, torch.inf
        first_step, restarts = self.first_step * self.options.strength, 0
        optimizer = _optimizer(self.options, first_step, objective.settle)
        end = self._end(scale)
        while self.steps[-1] < self.options.steps_per_scale[scale] and not self._late(end):
            losses, gradient = _evaluate(objective, image)
            objective.settle()
            self.steps[-1] += 1
            if not torch.isfinite(losses.total) or not torch.isfinite(gradient).all():
                if restarts == RESTARTS:
                    self.diverged = True
                    break
                restarts, first_step = restarts + 1, first_step / 2
                image, optimizer = self.best, _optimizer(self.options, first_step, objective.settle)
                continue
            if losses.total < lowest:
                self.best, lowest = image, float(losses.total)
            self._tell(losses, scale)
            if losses.total > lowest and self._may_be_shorter(optimizer):
                # A large picture begins near its end: it was painted at half the size.
                self.first_step *= SHORTER
                image = optimizer.step_shorter(SHORTER)
            else:
                image = optimizer.step(image, gradient)
            objective.settle()
        # Steps or time may end before the restarts do.
        self.diverged |= self.steps[-1] > 0 and lowest == torch.inf
        return self.best

    def _may_be_shorter(self, optimizer: Optimizer) -> TypeGuard[LBFGS]:
        """Whether the last step can be taken again, shorter."""
        return isinstance(optimizer, LBFGS) and optimizer.is_blind and self.first_step > SHORTEST

    def _tell(self, losses: Losses, scale: int) -> None:
        others = {name: float(term) for name, term in losses.others.items()}
        content, style, tv = float(losses.content), float(losses.style), float(losses.tv)
        step = Step(sum(self.steps), scale, self.steps[-1], content, style, tv, others)
        self.history.append(step)
        assert self.best is not None
        self.on_step(step, self.best)

    def _end(self, scale: int) -> float | None:
        """When this scale should be done: the coarse ones get a share that grows fourfold from each to the next."""
        if self.deadline is None or scale == self.options.scales - 1:
            return self.deadline
        coarse = self.options.scales - 1
        share: float = COARSE_SHARE * (4 ** (scale + 1) - 1) / (4**coarse - 1)
        return self.began + share * (self.deadline - self.began)

    def _late(self, end: float | None) -> bool:
        """Whether another evaluation, as long as the last or as this scale's mean, would end too late.

        The first always runs.
        """
        now = time.monotonic()
        if end is None or self.steps[-1] == 0:
            self.scale_began = self.last_began = now
            return False
        longest = max(now - self.last_began, (now - self.scale_began) / self.steps[-1])
        self.last_began = now
        return now + longest > end


def _evaluate(objective: StyleObjective, image: Tensor) -> tuple[Losses, Tensor]:
    """The losses at a picture and the gradient of their sum, without a graph behind them."""
    leaf = image.detach().requires_grad_()
    losses = objective(leaf)
    (gradient,) = torch.autograd.grad(losses.total, leaf)
    return losses.detach(), gradient.contiguous()
