"""The types that values of options have on the command line."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from imgtool.cli.sources import exists

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # no subscript before Click 8.4
    ParamType = click.ParamType


class Seconds(ParamType):
    """A span of time: `90`, `90s`, `5m`, `1.5h`."""

    name = "time"
    UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}  # noqa: RUF012

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds as a finite number from 0 on."""
        text = str(value).strip().lower()
        unit = self.UNITS.get(text[-1:])
        try:
            seconds = float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            self.fail(f"{value!r} is no time; write 60s, 5m or 1h.", param, ctx)
        return seconds


class Share(click.FloatRange):
    """A number from 0 to 1; Click's own range lets NaN pass, which is neither below nor above anything."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number from 0 to 1.", param, ctx)
        return number


class Numbers(ParamType):
    """One number, or several with commas between them.

    Args:
        kind: `int` for whole numbers, `float` for any.
    """

    def __init__(self, kind: type[int] | type[float] = int) -> None:
        self.kind = kind
        self.name = "n[,n…]" if kind is int else "factor[,factor…]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            word = "whole number" if self.kind is int else "number"
            self.fail(f"{value!r} is no {word}, nor several with commas.", param, ctx)


class Span(ParamType):
    """A number, or a range of them: `5`, `4-6`, `-0.3--0.1`.

    Args:
        kind: `int` for whole numbers, `float` for any.
    """

    NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?"

    def __init__(self, kind: type[int] | type[float] = float) -> None:
        self.kind = kind
        self.name = "n[-m]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """The lowest and the highest."""
        if isinstance(value, list | tuple):
            value = "-".join(map(str, value))
        found = re.fullmatch(rf"({self.NUMBER})(?:[-,]({self.NUMBER}))?", str(value).strip())
        try:
            low, high = (self.kind(each) for each in (found[1], found[2] or found[1])) if found else (1, 0)
        except ValueError:
            low, high = 1, 0
        if not low <= high:
            example = "5 or 4-6, in whole numbers" if self.kind is int else "0.7 or 0.5-0.8"
            self.fail(f"{value!r} is neither a number nor a range; write {example}.", param, ctx)
        return low, high

    def shown(self, value: tuple[float, float]) -> str:
        """As it is typed."""
        low, high = value
        return f"{low:g}" if low == high else f"{low:g}-{high:g}"


class Size(ParamType):
    """Width and height in pixels: `160x60`."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Both."""
        if isinstance(value, list | tuple):
            value = "x".join(map(str, value))
        found = re.fullmatch(r"(\d{1,6})[x,](\d{1,6})", str(value).strip().lower())
        if not found:
            self.fail(f"{value!r} is no size; write 160x60.", param, ctx)
        return int(found[1]), int(found[2])

    def shown(self, value: tuple[int, int]) -> str:
        """As it is typed."""
        return f"{value[0]}x{value[1]}"


class Names(ParamType):
    """One of several names, some with commas between them, or all.

    Args:
        known: the names.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known
        self.name = "|".join(known) + "|all"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, each once."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        if names == ("all",):
            return tuple(self.known)
        for name in names:
            if name not in self.known:
                self.fail(f"no {name!r}; choose from {', '.join(self.known)} or all.", param, ctx)
        return names


class Weighted(ParamType):
    """Names with optional weights: `conv1_1,conv2_1:0.5`.

    Args:
        separator: what stands before a weight.
    """

    def __init__(self, separator: str = ":") -> None:
        self.separator = separator
        self.name = f"name[{separator}weight],…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        """Name -> weight, 1 unless given."""
        if isinstance(value, dict):
            return value
        pairs = {}
        for part in str(value).split(","):
            name, _, weight = part.strip().partition(self.separator)
            try:
                pairs[name] = float(weight) if weight else 1.0
            except ValueError:
                self.fail(f"{weight!r} is no weight for {name}.", param, ctx)
        return pairs


class Longest(ParamType):
    """Pixels of the longest side, or `full`."""

    name = "pixels|full"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """A number of pixels, or "full"."""
        if value == "full":
            return "full"
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is no number of pixels; write 512 or full.", param, ctx)


class WeightedFile(ParamType):
    """`FILE` or `FILE:weight`."""

    name = "file[:weight]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """The file and its weight, 1 unless given."""
        if isinstance(value, tuple):
            return value
        path, _, weight = value.rpartition(":")
        if not path or exists(value):
            return value, 1.0
        try:
            return path, float(weight)
        except ValueError:
            return value, 1.0

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files."""
        return [CompletionItem(incomplete, type="file")]


class Device(ParamType):
    """auto, cpu, cuda, cuda:N or mps; whether it is there is found out later."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The device's name."""
        kind, colon, index = str(value).partition(":")
        if kind == "cuda" and index.isdecimal() and index.isascii():
            return f"cuda:{int(index)}"
        if kind in ("auto", "cpu", "cuda", "mps") and not colon:
            return kind
        self.fail(f"{value!r} is no device; choose auto, cpu, cuda, cuda:N or mps.", param, ctx)
