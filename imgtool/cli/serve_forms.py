"""Forms of the page, from the options of the commands themselves."""

import re
from collections.abc import Iterator, Mapping

import click

from imgtool.cli import params, value_types
from imgtool.web.forms import Field, Form

# Options that the server answers itself or that make no sense there; those of `params.machine` among them.
SERVERS = (
    "device",
    "precision",
    "threads",
    "max_pixels",
    "ray",
    "sidecar",
    "save_every",
    "preview",
    "save_masks",
    "video",
    "mask_weights",  # goes with --content-mask auto, a word where a page has pictures
)
NO_PICTURES = ("weights",)  # options that name files of another kind
PREVIEW_STEPS = 5  # between two pictures on the way
ON_THE_WAY = "*-step[0-9]*.png"


def forms(commands: Mapping[str, click.Command], machine: tuple[str, ...]) -> list[Form]:
    """A form of each command that works on pictures.

    Args:
        commands: by name.
        machine: words for each of them about the machine.
    """
    return [
        Form(
            command=name,
            title=command.get_short_help_str(100),
            fields=tuple(_fields(command)),
            always=(*machine, *_always(command)),
            writes=_has(command, "output"),
            on_the_way=ON_THE_WAY if _has(command, "save_every") else "",
        )
        for name, command in commands.items()
        if all(_has(command, param) for param in ("pictures", "device", "max_pixels"))
    ]


def settings_of(commands: Mapping[str, click.Command]) -> dict[str, str]:
    """What commands get as settings: where it makes no sense it is passed over, as typed options are not."""
    return {
        f"{name.upper().replace('-', '_')}_SAVE_EVERY": str(PREVIEW_STEPS)
        for name, command in commands.items()
        if _has(command, "save_every") and _has(command, "pictures")
    }


def _has(command: click.Command, name: str) -> bool:
    return any(param.name == name for param in command.params)


def _always(command: click.Command) -> Iterator[str]:
    if _has(command, "sidecar"):
        yield "--sidecar"


def _fields(command: click.Command) -> list[Field]:
    """Pictures first, the format last."""
    found = [
        field
        for param in command.params
        if isinstance(param, click.Option) and (field := field_of(command, param)) is not None
    ]
    return sorted(found, key=lambda field: (field.kind != "picture", field.name == "format"))


def field_of(command: click.Command, option: click.Option) -> Field | None:
    """An option as a field; None if nobody on a page may set it: above all, if it names a path."""
    name = str(option.name)
    if name in (*SERVERS, *params.TALK) or (name in params.OUTPUT and name != "format"):
        return None
    kind, choices, step = _kind(command, option)
    if kind is None:
        return None
    help, default = _help_and_default(option)
    return Field(
        name=name.replace("_", "-"),
        kind=kind,
        help=help,
        default=default,
        choices=choices,
        example=str(option.metavar or option.type.name or "").removesuffix(" range"),
        step=step,
        many=option.multiple,
        weighted=isinstance(option.type, value_types.WeightedFile),
    )


def _kind(command: click.Command, option: click.Option) -> tuple[str | None, tuple[str, ...], str]:
    """Kind of the field, its choices, and the step of a number."""
    name, type = str(option.name), option.type
    if isinstance(command, params.Repeatable) and name in command.files:
        if (words := command.files[name]) and not option.multiple:  # words that stand for files
            return "choice", tuple(words), ""
        return (None if name in NO_PICTURES else "picture"), (), ""
    if isinstance(type, click.Path | click.File):
        return None, (), ""
    if option.is_flag or option.count:
        return ("flag" if option.is_flag else None), (), ""
    if isinstance(type, value_types.Names):
        return "several", tuple(type.known), ""
    if isinstance(type, click.Choice):
        return "choice", tuple(map(str, type.choices)), ""
    if isinstance(type, click.types.IntParamType):
        return "number", (), "1"
    if isinstance(type, click.types.FloatParamType):
        return "number", (), "any"
    return "text", (), ""


def _help_and_default(option: click.Option) -> tuple[str, str]:
    """What the help tells about an option, and about its default."""
    text = option.help or ""
    if found := re.search(r"\s*\[default: (.*)\]$", text):
        return text[: found.start()], found[1]
    if isinstance(option.default, str | int | float) and not isinstance(option.default, bool):
        return text, str(option.default)
    return text, ""
