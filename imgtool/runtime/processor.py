"""How the processor is used: threads, and memory that is kept, not given back. Torch-free until called."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from imgtool.runtime import processes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4  # glibc's malloc.h
LARGE = 32 << 20  # bytes; the most that glibc takes as M_MMAP_THRESHOLD
SPINS = "7000"  # hed-lite at 0, 7000, 20000: 47, 31, 26 ms on two free cores; 80, 70, 270 beside two busy processes

_keeps = False  # whether this process keeps memory; a program that only imports imgtool is left as it is


def prepare(threads: int | None = None) -> int:
    """Set up allocation and threads for a run; the number of threads it will use.

    Args:
        threads: asked for by the user, or None for every core that this process may use, shared with those that
            torchrun started beside it.
    """
    count = threads or max(1, cores() // processes.local_count())
    wait_briefly()
    keep_memory()
    import torch

    torch.set_num_threads(count)
    return count


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def wait_briefly() -> bool:
    """Let threads that wait for each other spin for a fraction of a millisecond, then sleep.

    Small networks are made of short parts: to be woken for each costs a third of their time. Threads that spin for
    longer take the cores from each other on a busy machine. OpenMP looks at this once, when torch loads it, and what
    the user has set holds.

    Returns:
        Whether it was in time.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=SPINS)
    return "torch" not in sys.modules


def keep_memory() -> bool:
    """Keep big freed blocks for the next activation instead of handing them back to the kernel each time.

    Worth 1.25 to 1.6 times the speed of a convolutional network on Linux; nothing happens elsewhere.

    Returns:
        Whether the C library took the settings.
    """
    global _keeps
    _keeps = _set({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26})
    return _keeps


def keep_large(wanted: bool) -> bool:
    """Whether `keep_memory`, where it was asked for, is about blocks of 32 MB and more too.

    They lie beside each other in memory, and what is freed between them is of little use to blocks of other sizes.

    Returns:
        Whether the C library took the settings.
    """
    return _keeps and _set({M_MMAP_MAX: 0} if wanted else {M_MMAP_MAX: 2**16, M_MMAP_THRESHOLD: LARGE})


def _set(settings: Mapping[int, int]) -> bool:
    mallopt = _of_glibc("mallopt")
    return bool(mallopt) and all([mallopt(*each) for each in settings.items()])  # noqa: C419, each is set


def give_back_memory() -> bool:
    """Hand freed blocks back to the kernel after all, between parts of the work that need different ones.

    Returns:
        Whether the C library can.
    """
    trim = _of_glibc("malloc_trim")
    return bool(trim and trim(0))


def _of_glibc(name: str) -> Any:
    """A function of glibc; None on other systems and with another C library."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    try:
        return getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):
        return None
