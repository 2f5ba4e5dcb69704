"""Options that several commands share.

A parameter is called as its long option is, so that settings and recipes can name it as it is typed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from imgtool.cli import value_types
from imgtool.cli.batch import FORMATS, OutputChoice
from imgtool.cli.console import console
from imgtool.imaging.suffixes import MAX_PIXELS

F = TypeVar("F", bound=Callable[..., Any])
MAX_THREADS = 1024
# What a command writes and says: nothing of it belongs into a recipe.
OUTPUT = ("output", "name", "format", "force", "skip_existing", "fail_fast", "recursive")
TALK = ("json", "json_progress", "quiet", "verbose")


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
        return name not in (*OUTPUT, *TALK, "ray", *self.extras)


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
    if value is None or value == ():
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
    shown = (
        type.shown(getattr(options, field))
        if isinstance(type, value_types.Span | value_types.Size)
        else default(options, field)
    )
    return click.option(name, type=type, help=f"{help}  [default: {shown}{also}]", **more)


def given(options: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's values that are fields of a task's options, but for None, which nobody gave."""
    names = [field.name for field in fields(options)]
    return {name: values[name] for name in names if values.get(name) is not None}


def _talk(*names: str, sets: str, help: str, **kind: Any) -> Callable[[F], F]:
    """An option that sets an attribute of the console as soon as it is read."""

    def take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        setattr(console, sets, value)

    return click.option(*names, expose_value=False, is_eager=True, callback=take, help=help, **kind)


talk = together(
    _talk("--json", sets="json", is_flag=True, help="One JSON object a line on stdout."),
    _talk(
        "--json-progress",
        sets="json_progress",
        is_flag=True,
        help="Tell progress on stderr, one JSON object a line.",
    ),
    _talk("-q", "--quiet", sets="quiet", is_flag=True, help="Say nothing but errors."),
    _talk("-v", "--verbose", sets="verbosity", count=True, help="Say more; -vv shows tracebacks."),
)


def compute_with(threads: int | None = None) -> Callable[[F], F]:
    """--device, --precision and --threads, with its default; None for all cores."""
    return together(
        click.option(
            "--device",
            type=value_types.Device(),
            default="auto",
            show_default=True,
            help="auto, cpu, cuda, cuda:N, mps.",
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

max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse larger inputs before decoding them.",
)

ray = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Have the work done on a Ray cluster: its address, or auto, or local. Its machines need this imgtool.",
)

machine = together(compute, max_pixels, ray)


def weights(known: Sequence[str], help: str) -> Callable[[F], F]:
    """--weights of a network, by the names that are known, the default first, or by run or file."""
    return click.option(
        "--weights",
        default=known[0],
        show_default=True,
        metavar="|".join((*known, "RUN", "FILE")),
        type=click.Path(),
        help=help,
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
            help="A file, a folder for several inputs, or - for stdout.  [default: "
            f"{{stem}}-{{command}}.{formats[0]}]",
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
            default=formats[0],
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
        separator = getattr(option.type, "separator", ":")
        value = [f"{name}{separator}{weight!r}" for name, weight in value.items()]
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
