"""The package index as this user's pip sees it, asked for one file of one distribution.

pip's settings come from pip itself. Pages, folders, credentials (URL, netrc, keyring) and trusted hosts are
unearth's work; what pip has and unearth does not read (proxy, certificates, timeout) is handed over here.
"""

import ast
import importlib.util
import logging
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import PyPIClient

from imgtool.files import first_line
from imgtool.runtime.entries import Distribution, Pin

PIP_SECTIONS = ("global", "install", "download", ":env:")  # A later one overrides an earlier one, as in pip.
DEFAULT_TIMEOUT = 15.0  # Seconds, pip's own
PIP_SECONDS = 60  # For pip to list its settings


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """What pip is configured to use, in its own words."""

    index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    proxy: str | None = None
    cert: str | None = None
    client_cert: str | None = None
    timeout: float = DEFAULT_TIMEOUT

    def offline(self) -> "IndexSettings":
        """The same, without whatever lies across a network."""
        return replace(
            self,
            index_urls=tuple(filter(is_local, self.index_urls)),
            find_links=tuple(filter(is_local, self.find_links)),
        )


@dataclass(frozen=True)
class Candidate:
    """A place that offers the file: its URL, the URL without credentials (to be shown), the file's name."""

    url: str
    shown: str
    file: str


def is_local(url: str) -> bool:
    """Whether a URL or path lies on this machine's disks."""
    return url.startswith("file:") or "://" not in url


def read_settings(tried: list[str]) -> IndexSettings:
    """pip's settings as pip itself lists them; its environment variables alone where there is no pip.

    Args:
        tried: gets a line if pip cannot read its own settings.
    """
    settings: dict[str, str] = {}
    listed = _listed_by_pip(tried) or _environment()
    for section in PIP_SECTIONS:
        prefix = f"{section}."
        settings |= {
            key.removeprefix(prefix): value for key, value in listed.items() if key.startswith(prefix)
        }
    return _settings(settings)


def _settings(pip: Mapping[str, str]) -> IndexSettings:
    """pip's words as ours."""
    no_index = pip.get("no-index", "").lower() in ("1", "true", "yes", "on")
    main = pip.get("index-url") or pip.get("pypi-url") or _default_index()
    proxy = pip.get("proxy")
    return IndexSettings(
        index_urls=() if no_index else (main, *pip.get("extra-index-url", "").split()),
        find_links=tuple(
            str(Path(link).expanduser()) if link[0] == "~" else link
            for link in pip.get("find-links", "").split()
        ),
        trusted_hosts=tuple(pip.get("trusted-host", "").split()),
        proxy=proxy if not proxy or "://" in proxy else f"http://{proxy}",
        cert=pip.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"),
        client_cert=pip.get("client-cert"),
        timeout=_seconds(pip.get("timeout") or pip.get("default-timeout")),
    )


def _seconds(text: str | None) -> float:
    try:
        return max(1.0, float(text or DEFAULT_TIMEOUT))
    except ValueError:
        return DEFAULT_TIMEOUT


def _default_index() -> str:
    """The public index, as unearth names it."""
    return PackageFinder().sources[0]["url"]


def _listed_by_pip(tried: list[str]) -> dict[str, str]:
    """`pip config list` as "section.key" -> value; empty without a pip that answers."""
    here = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else None
    elsewhere = [path] if (path := shutil.which("pip")) else None
    if not (command := here or elsewhere):
        return {}
    try:
        listed = subprocess.run(
            [*command, "config", "list"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PIP_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        tried.append(f"pip config list: {said.splitlines()[-1] if said else 'failed'}")
        return {}
    lines = (line.partition("=") for line in listed.stdout.splitlines())
    return {key: str(ast.literal_eval(value)) for key, equals, value in lines if equals}


def _environment() -> dict[str, str]:
    """`PIP_INDEX_URL=...` as ":env:.index-url"."""
    return {
        f":env:.{name.removeprefix('PIP_').lower().replace('_', '-')}": value
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    }


def open_client(settings: IndexSettings) -> PyPIClient:
    """An HTTP client that goes where pip would go, and never asks questions."""
    client = PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=_certificates(settings),
        timeout=settings.timeout,
        follow_redirects=True,
        proxy=settings.proxy,
        mounts=_mounts(settings),
        headers={"User-Agent": "imgtool"},
    )
    client.auth = MultiDomainBasicAuth(
        prompting=False, index_urls=[*settings.index_urls, *settings.find_links]
    )
    return client


def _certificates(settings: IndexSettings) -> ssl.SSLContext | bool:
    """The authorities and the client certificate that pip was told to use; True for the system's own."""
    if not settings.cert and not settings.client_cert:
        return True
    folder = settings.cert is not None and Path(settings.cert).is_dir()
    context = ssl.create_default_context(
        cafile=None if folder else settings.cert, capath=settings.cert if folder else None
    )
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert)
    return context


def _mounts(settings: IndexSettings) -> dict[str, httpx2.BaseTransport]:
    """Trusted hosts go through the proxy too: unearth alone would connect to them directly."""
    proxies = urllib.request.getproxies()
    mounts: dict[str, httpx2.BaseTransport] = {}
    for host in settings.trusted_hosts:
        for scheme in ("http", "https"):
            direct = not settings.proxy and urllib.request.proxy_bypass(host)
            proxy = settings.proxy or (None if direct else proxies.get(scheme) or proxies.get("all"))
            mounts[f"{scheme}://{host}"] = httpx2.HTTPTransport(verify=False, proxy=proxy)
    return mounts


def candidates(
    client: PyPIClient, settings: IndexSettings, wanted: Distribution, pin: Pin, tried: list[str]
) -> Iterator[Candidate]:
    """Places that offer the file, nearest first; the next one is asked only when it is needed.

    Args:
        client: what `open_client` gave.
        settings: the index pages and folders to ask.
        wanted: the file, by its exact name.
        pin: its bytes; a page that announces others is passed over.
        tried: gets one line for each place that is of no use.
    """
    sources = [("find_links", url) for url in settings.find_links]
    sources += [("index_urls", url) for url in settings.index_urls]
    for kind, url in sorted(sources, key=lambda source: not is_local(source[1])):
        shown = Link(url).redacted
        problems: list[str] = []
        links = _offers(client, kind, url, wanted, problems)
        if not links:
            tried.append(f"{shown}: {'; '.join(problems) or f'has no {wanted.file}'}")
        for link in links:
            announced = (link.hash_option or {}).get("sha256", [pin.sha256])[0]
            if announced == pin.sha256:
                yield Candidate(link.normalized, link.redacted, wanted.file)
            else:
                tried.append(f"{link.redacted}: announces SHA-256 {announced}, expected {pin.sha256}")


def _offers(client: PyPIClient, kind: str, url: str, wanted: Distribution, problems: list[str]) -> list[Link]:
    """Links of one index or folder to the wanted file."""
    try:
        with overheard("unearth", problems):
            finder = PackageFinder(client, ignore_compatibility=True, **{kind: [url]})  # type: ignore[arg-type]
            packages = finder.find_all_packages(wanted.name, allow_yanked=True)
            return [package.link for package in packages if package.link.filename == wanted.file]
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, LookupError, OSError) as error:
        problems.append(first_line(error))
        return []


class _Ear(logging.Handler):
    """Keeps what a library would have told the terminal."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextmanager
def overheard(name: str, heard: list[str]) -> Iterator[None]:
    """Warnings of a library, kept for our own error message instead of being printed."""
    logger, ear = logging.getLogger(name), _Ear(heard)
    propagate = logger.propagate
    logger.addHandler(ear)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.propagate = propagate
