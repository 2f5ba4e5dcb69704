"""Threads and allocation: set where they can be, harmless where they cannot."""

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from imgtool.runtime import processor

needs_glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs mallopt of glibc, which only Linux has"
)
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def child(script, **environment):
    """What a fresh interpreter prints."""
    kept = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_as_many_threads_as_asked_for(threads):
    assert processor.prepare(threads) == threads == torch.get_num_threads()


def test_every_core_unless_asked(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    assert processor.prepare() == 3 == torch.get_num_threads()


@pytest.mark.parametrize(("count", "expected"), [(7, 7), (None, 1)])
def test_cores_where_the_system_has_no_affinity(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert processor.cores() == expected


@needs_glibc
def test_freed_blocks_below_one_in_use_are_given_back():
    """Which `keep_memory` keeps, as it is meant to."""
    script = (
        "from pathlib import Path\n"
        "from imgtool.runtime import processor\n"
        "def resident():\n"
        "    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 >> 20\n"
        "processor.keep_memory()\n"
        "blocks = [bytearray(2**20) for _ in range(64)]\n"
        "last = bytearray(2**20)\n"
        "before = resident()\n"
        "del blocks\n"
        "kept = resident()\n"
        "given = processor.give_back_memory()\n"
        "print(before - kept, kept - resident(), given)\n"
    )
    kept, given_back, told = child(script)
    assert int(kept) < 10 and int(given_back) > 50 and told == "True"


@needs_glibc
def test_large_blocks_are_given_back_where_memory_is_kept():
    script = (
        "from pathlib import Path\n"
        "from imgtool.runtime import processor\n"
        "def resident():\n"
        "    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 >> 20\n"
        "print(processor.keep_large(False), processor.keep_memory())\n"
        "for large in (False, True):\n"
        "    processor.keep_large(large)\n"
        "    blocks = [bytearray(b'x') * (40 << 20) for _ in range(3)]\n"
        "    last = bytearray(2**20)\n"
        "    before = resident()\n"
        "    del blocks\n"
        "    print(before - resident())\n"
    )
    alone, kept, given_back, again = child(script)
    assert (alone, kept) == ("False", "True")
    assert int(given_back) > 100 and int(again) < 60


def test_another_c_library_does_no_harm(monkeypatch):
    def missing(_):
        raise OSError("libc.so.6: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert processor.keep_memory() is False
    assert processor.give_back_memory() is False
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # has no mallopt
    assert processor.keep_memory() is False
    assert processor.give_back_memory() is False


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("loaded a library"))
    assert processor.keep_memory() is False


def test_every_setting_is_made(monkeypatch):
    made = []

    class Library:
        def __init__(self, _):
            self.mallopt = lambda *setting: made.append(setting) or 0

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert processor.keep_memory() is False  # refused by the library
    assert [name for name, _ in made] == [-4, -1, -2]


def test_waiting_is_settled_before_torch_loads():
    script = "import os, sys; from imgtool.runtime import processor; print('torch' in sys.modules, "
    script += (
        "processor.wait_briefly(), *(os.environ.get(name) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))"
    )
    assert child(script) == ["False", "True", "PASSIVE", processor.SPINS]
    assert child(script, OMP_WAIT_POLICY="ACTIVE") == [
        "False",
        "True",
        "ACTIVE",
        "None",
    ]  # the user knows better
    assert child(script, GOMP_SPINCOUNT="9") == ["False", "True", "None", "9"]


def test_too_late_is_told():
    assert processor.wait_briefly() is False
