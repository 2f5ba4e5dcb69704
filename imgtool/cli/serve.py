"""`imgtool serve`: the page, and who may see it."""

import os
import secrets
from collections.abc import Mapping
from typing import Any

import click

from imgtool.cli import params, settings, value_types
from imgtool.cli.console import console
from imgtool.errors import ImgtoolError

PORT = 8642
MAX_PIXELS = 50_000_000
LOCAL = ("127.0.0.1", "localhost", "[::1]")
ANY = ("0.0.0.0", "::")
KEPT = ("CACHE", "WEIGHTS_DIR", "OFFLINE")  # variables of ours that are no settings of commands


@click.command("serve", short_help="Open the commands as a local page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one."
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Another name that browsers may call this machine by; may be repeated.",
)
@click.option(
    "--max-upload",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    metavar="MB",
    help="Refuse larger files.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Commands that work at once; others wait.",
)
@click.option(
    "--queue", type=click.IntRange(1, 1000), default=20, show_default=True, help="Commands that may wait."
)
@click.option(
    "--limit",
    type=value_types.Seconds(),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="End a command after that time.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures before decoding them.",
)
@params.compute
@params.talk
def serve_command(**values: Any) -> None:
    """Open a page in the browser for the commands that work on pictures: drop one, choose, watch, compare.

    Everything stays on this machine: the page listens on 127.0.0.1 alone, and its address holds a token that is new
    each time; who has the address may use it. Commands run as on the command line, one after the other. What was
    uploaded and made is deleted when the server ends. Needs the extra web: pip install 'imgtool[web]'.

    \b
    Examples:
      imgtool serve
      imgtool serve --port 0 --jobs 2 --threads 1
      imgtool serve --host 0.0.0.0 --allow-host studio.local --max-pixels 20000000
    """
    try:
        from imgtool.web import server
        from imgtool.web.app import Limits, make_app
    except ModuleNotFoundError as error:
        raise ImgtoolError(f"the page needs {error.name}", hint="pip install 'imgtool[web]'") from error
    from imgtool.cli.main import cli
    from imgtool.cli.serve_forms import forms, settings_of
    from imgtool.imaging.suffixes import RASTERS

    token = secrets.token_urlsafe(16)
    app = make_app(
        forms(cli.commands, _machine(values)),
        token=token,
        hosts=_names(values["host"], values["allow_host"]),
        suffixes=RASTERS,
        environment=_environment(settings_of(cli.commands)),
        limits=Limits(
            upload_bytes=values["max_upload"] * 1_000_000,
            waiting=values["queue"],
            workers=values["jobs"],
            seconds=values["limit"],
        ),
    )
    listening = server.listen(values["host"], values["port"])
    address = _address(values["host"], listening.getsockname()[1], token)
    console.say(f"Open {address} in a browser; Ctrl-C ends.")
    console.record({"address": address})
    with listening:
        server.serve(app, listening)


def _machine(values: dict[str, Any]) -> tuple[str, ...]:
    """What the server says about the machine, for each command."""
    names = ("device", "precision", "threads", "max_pixels")
    return tuple(f"--{name.replace('_', '-')}={values[name]}" for name in names if values[name] is not None)


def _names(host: str, more: tuple[str, ...]) -> set[str]:
    """What a browser may call this machine."""
    shown = f"[{host}]" if ":" in host else host
    return {name.lower() for name in (*LOCAL, *more, *(() if host in ANY else (shown,)))}


def _address(host: str, port: int, token: str) -> str:
    name = "127.0.0.1" if host in ANY else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{token}/"


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Of the commands: what is on the page holds, whatever settings there are for the command line but for ours."""
    ours = f"{settings.PREFIX}_"
    kept = {f"{ours}{name}" for name in KEPT}
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(ours) or name in kept
    }
    settings_given = {f"{ours}{name}": value for name, value in given.items()}
    return {**inherited, **settings_given, f"{ours}CONFIG_DIR": os.devnull}
