"""Values of options that make no sense; each check raises `OptionError`."""

import math
from collections.abc import Mapping

from imgtool.errors import OptionError

MAX_SEED = 2**63 - 1
RANDOM = "random"  # a start of a training without weights


def choice(option: str, value: str, known: Mapping[str, object] | tuple[str, ...]) -> None:
    """One of those that are known."""
    if value not in known:
        raise OptionError(option, f"no {value!r}; choose from {', '.join(known)}")


def at_least(option: str, value: float, low: float) -> None:
    """A finite number from `low` on."""
    if not low <= value < 1e18:
        raise OptionError(option, f"must be at least {low:g}, got {str(value)[:20]}")


def share(option: str, value: float) -> None:
    """A number from 0 to 1."""
    if not 0 <= value <= 1:
        raise OptionError(option, f"must be from 0 to 1, got {value:g}")


def within(option: str, value: int, low: int, high: int) -> None:
    """A number from `low` to `high`."""
    if not low <= value <= high:
        raise OptionError(option, f"must be from {low} to {high}, got {value}")


def power_of_two(option: str, value: int, low: int, high: int) -> None:
    """A power of two from `low` to `high`."""
    if not low <= value <= high or value & (value - 1):
        raise OptionError(option, f"must be a power of two from {low} to {high}, got {value}")


def ends(steps: int | None, time: float | None) -> None:
    """A training has an end."""
    if steps is None and time is None:
        raise OptionError("steps", "neither --steps nor --time says when to end")
    for name, value in (("steps", steps), ("time", time)):
        if value is not None and not 0 < value < math.inf:
            raise OptionError(name, f"must be above 0, got {value:g}")


def weighted(option: str, layers: Mapping[str, float], known: tuple[str, ...]) -> None:
    """Layers that are known, at least one, each with a weight above 0."""
    if not layers:
        raise OptionError(option, "names no layer")
    for name, weight in layers.items():
        if name not in known:
            raise OptionError(option, f"no layer {name!r}; choose from {', '.join(known)}")
        if not 0 < weight < math.inf:
            raise OptionError(option, f"weight of {name} must be above 0, got {weight:g}")
