"""Options that several commands share, and the types their values have."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from imgtool.cli.batch import OutputChoice
from imgtool.cli.console import console

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("png", "jpg", "webp", "tif", "bmp", "gif", "ppm", "avif")
MAX_PIXELS = 178_956_970  # Pillow's own limit
OUTPUT = ("output", "name", "suffix", "force", "skip_existing", "fail_fast", "recursive")


class Seconds(click.ParamType):
    """A span of time: `90`, `90s`, `5m`, `1.5h`."""

    name = "time"
    UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds as a number."""
        if isinstance(value, int | float):
            return float(value)
        text = value.strip().lower()
        unit = self.UNITS.get(text[-1:], None)
        try:
            return float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            self.fail(f"{value!r} is no time; write 60s, 5m or 1h.", param, ctx)


class Numbers(click.ParamType):
    """One whole number, or several with commas between them."""

    name = "n[,n…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, int):
            return (value,)
        try:
            return tuple(int(part) for part in value) if isinstance(value, list | tuple) else tuple(
                int(part) for part in value.split(",")
            )
        except ValueError:
            self.fail(f"{value!r} is no whole number, nor several with commas.", param, ctx)


class Weighted(click.ParamType):
    """Names with optional weights: `conv1_1,conv2_1:0.5`."""

    name = "name[:weight],…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        """Name -> weight, 1 unless given."""
        if isinstance(value, dict):
            return value
        pairs = {}
        for part in value.split(","):
            name, _, weight = part.strip().partition(":")
            try:
                pairs[name] = float(weight) if weight else 1.0
            except ValueError:
                self.fail(f"{weight!r} is no weight for {name}.", param, ctx)
        return pairs


class Device(click.ParamType):
    """auto, cpu, cuda, cuda:N or mps; whether it is there is found out later."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The device's name."""
        kind, _, index = value.partition(":")
        if kind in ("auto", "cpu", "cuda", "mps") and (not index or (kind == "cuda" and index.isdecimal())):
            return value
        self.fail(f"{value!r} is no device; choose auto, cpu, cuda, cuda:N or mps.", param, ctx)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several option decorators as one, listed in the help in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _talk(*names: str, help: str, **kind: Any) -> Callable[[F], F]:
    """An option that sets the console's attribute of its name as soon as it is read."""

    def take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        setattr(console, names[-1], value)

    return click.option(*names, expose_value=False, is_eager=True, callback=take, help=help, **kind)


talk = together(
    _talk("--json", "json", is_flag=True, help="One JSON object a line on stdout for each output, and a summary."),
    _talk("-q", "--quiet", "quiet", is_flag=True, help="Say nothing but errors."),
    _talk("-v", "--verbose", "verbosity", count=True, help="Say more; -vv shows tracebacks."),
)

machine = together(
    click.option("--device", type=Device(), default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps."),
    click.option(
        "--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True,
        help="Number format of the network; auto takes bf16 where the hardware has it.",
    ),
    click.option("--threads", type=click.IntRange(1), help="Processor threads.  [default: all cores]"),
    click.option(
        "--max-pixels", type=click.IntRange(1), default=MAX_PIXELS, show_default=True,
        help="Refuse larger inputs before decoding them.",
    ),
)


def output(function: F) -> F:
    """-o, --name, --format, --force, --skip-existing, --fail-fast and -r; `output_choice` gathers them."""
    options = together(
        click.option(
            "-o", "--output", metavar="PATH",
            help="A file, a folder for several inputs, or - for stdout.  [default: {stem}-{command}.png here]",
        ),
        click.option(
            "--name", metavar="TEMPLATE",
            help="Name outputs by {stem} {name} {command} {kind} {index}, for example '{name}.png'.",
        ),
        click.option("--format", "suffix", type=click.Choice(FORMATS), default="png", show_default=True,
                     help="Format where no file name tells it."),
        click.option("-f", "--force", is_flag=True, help="Replace existing outputs."),
        click.option("--skip-existing", is_flag=True, help="Leave existing outputs; goes on with a batch."),
        click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails."),
        click.option("-r", "--recursive", is_flag=True, help="Look into sub-folders of folders."),
    )
    return options(function)


def output_choice(values: dict[str, Any], *, beside: Sequence[str] = ()) -> OutputChoice:
    """What a command's values say about outputs.

    Raises:
        click.UsageError: --force and --skip-existing together.
    """
    choice = OutputChoice(**{key: values[key] for key in OUTPUT}, beside=tuple(beside))
    if choice.force and choice.skip_existing:
        raise click.UsageError("--force and --skip-existing contradict each other.")
    return choice
