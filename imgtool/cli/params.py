"""Options that several commands share, and the types their values have.

A parameter is called as its long option is, so that settings and recipes can name it as it is typed.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from imgtool.cli.batch import FORMATS, OutputChoice
from imgtool.cli.console import console

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # no subscript before Click 8.4
    ParamType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])
MAX_PIXELS = 178_956_970  # Pillow's own limit
MAX_THREADS = 1024
# What a command writes and says: nothing of it belongs into a recipe.
OUTPUT = ("output", "name", "format", "force", "skip_existing", "fail_fast", "recursive")
TALK = ("json", "quiet", "verbose")


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


class Repeatable(click.Command):
    """A command whose outputs can be made again from their recipes.

    Args:
        files: its options that name files, whose SHA-256 a recipe holds, each with the words that are none.
        extras: its options that say what is written besides the result.
    """

    def __init__(
        self, *args: Any, files: Mapping[str, Collection[str]], extras: Collection[str] = (), **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self.files, self.extras = files, extras

    def is_knob(self, option: click.Option, value: Any) -> bool:
        """Whether a recipe may set an option: it says how a picture is made, not what is read and written."""
        name = str(option.name)
        if name in self.files:
            values = value if option.multiple and isinstance(value, list) else [value]
            return all(each is None or each in self.files[name] for each in values)
        return name not in (*OUTPUT, *TALK, *self.extras)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several option decorators as one, listed in the help in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def default(options: object, name: str) -> str:
    """The default of an option's field as the help shows it; of a mapping, its names."""
    value = getattr(options, name)
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple | dict) else str(value)


def knob(
    options: object, name: str, *, type: Any, help: str, also: str = "", **more: Any
) -> Callable[[F], F]:
    """An option of a task. It stays None unless given, so that a recipe or a run can speak.

    Args:
        options: of the task, with the default of each field.
        name: of the option, such as "--tv-weight" for the field `tv_weight`.
        type: of its values.
        help: about it, with a full stop; the default is told after it.
        also: more about the default.
        **more: for `click.option`.
    """
    field = name.removeprefix("--").replace("-", "_")
    shown = type.shown(getattr(options, field)) if isinstance(type, Span | Size) else default(options, field)
    return click.option(name, type=type, help=f"{help}  [default: {shown}{also}]", **more)


def _talk(*names: str, sets: str, help: str, **kind: Any) -> Callable[[F], F]:
    """An option that sets an attribute of the console as soon as it is read."""

    def take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        setattr(console, sets, value)

    return click.option(*names, expose_value=False, is_eager=True, callback=take, help=help, **kind)


talk = together(
    _talk("--json", sets="json", is_flag=True, help="One JSON object a line on stdout."),
    _talk("-q", "--quiet", sets="quiet", is_flag=True, help="Say nothing but errors."),
    _talk("-v", "--verbose", sets="verbosity", count=True, help="Say more; -vv shows tracebacks."),
)


def compute_with(threads: int | None = None) -> Callable[[F], F]:
    """--device, --precision and --threads, with its default; None for all cores."""
    return together(
        click.option(
            "--device", type=Device(), default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps."
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
            default="auto",
            show_default=True,
            help="Number format of the network; auto takes bf16 where the hardware has it.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, MAX_THREADS),
            default=threads,
            help=f"Processor threads.  [default: {threads or 'all cores'}]",
        ),
    )


compute = compute_with()

machine = together(
    compute,
    click.option(
        "--max-pixels",
        type=click.IntRange(1),
        default=MAX_PIXELS,
        show_default=True,
        help="Refuse larger inputs before decoding them.",
    ),
)


def output(formats: Sequence[str] = FORMATS) -> Callable[[F], F]:
    """-o, --name, --format, --force, --skip-existing, --fail-fast and -r; `output_choice` gathers them.

    Args:
        formats: suffixes that the command can write.
    """
    return together(
        click.option(
            "-o",
            "--output",
            type=click.Path(),
            help="A file, a folder for several inputs, or - for stdout.  [default: {stem}-{command}.png]",
        ),
        click.option(
            "--name",
            metavar="TEMPLATE",
            help="Name outputs by {stem} {name} {command} {kind} {index}, for example '{name}.png'; a name without "
            "suffix gets that of --format.",
        ),
        click.option(
            "--format",
            type=click.Choice(formats),
            default="png",
            show_default=True,
            help="Format where no file name tells it.",
        ),
        click.option("-f", "--force", is_flag=True, help="Replace existing outputs."),
        click.option(
            "--skip-existing",
            is_flag=True,
            help="Leave existing outputs that are complete; goes on with a batch.",
        ),
        click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails."),
        click.option("-r", "--recursive", is_flag=True, help="Look into sub-folders of folders."),
    )


def output_choice(
    values: dict[str, Any],
    *,
    beside: Sequence[str] = (),
    beside_kind: Mapping[str, str] | None = None,
    also_read: Sequence[str] = (),
) -> OutputChoice:
    """What a command's values say about outputs.

    Args:
        values: the command's, by parameter name.
        beside: endings of further files that it will write, as for `OutputChoice`.
        beside_kind: of one kind.
        also_read: files it reads besides its inputs.
    Raises:
        click.UsageError: --force and --skip-existing together.
    """
    given = {name: values[name] for name in OUTPUT}
    choice = OutputChoice(
        **given, beside=tuple(beside), beside_kind=beside_kind or {}, also_read=tuple(also_read)
    )
    if choice.force and choice.skip_existing:
        raise click.UsageError("--force and --skip-existing contradict each other.")
    return choice


def typed(option: click.Option, value: Any) -> list[str]:
    """An option with a single value as they are typed.

    Raises:
        TypeError: nobody could type that.
    """
    if value is False and option.secondary_opts:
        return [option.secondary_opts[-1]]
    if value is None or value is False:
        return []
    if value is True:
        return [option.opts[-1]]
    if isinstance(value, dict):
        value = [f"{name}:{weight!r}" for name, weight in value.items()]
    items = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str | int | float) for item in items):
        raise TypeError(f"{value!r} cannot be typed")
    return [f"{option.opts[-1]}={','.join(map(str, items))}"]


def typed_by_user(*, but: Collection[str]) -> list[str]:
    """The options of the running command that stood on its command line, but for some by parameter name."""
    ctx = click.get_current_context()
    words = []
    for param in on_command_line(ctx):
        if str(param.name) not in but:
            given = ctx.params[str(param.name)]
            words += [
                word for value in (given if param.multiple else [given]) for word in typed(param, value)
            ]
    return words


def on_command_line(ctx: click.Context) -> list[click.Option]:
    """The options with a value that stood on the command line, not in the environment or in a file."""
    return [
        param
        for param in ctx.command.params
        if isinstance(param, click.Option)
        and param.name in ctx.params
        and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]
