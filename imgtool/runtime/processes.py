"""Processes that train together: what torchrun tells those that it starts, and starting them on one machine.

No torch here, so that it can be asked before torch is loaded.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from types import FrameType

GRACE_SECONDS = 10.0  # for the others to end after the first
LOOK_SECONDS = 0.1
LOST = 1  # exit code when another than the first ended first
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, Linux's prctl.h


def count() -> int:
    """How many processes train together, this one among them; 1 for one alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Which of the processes on this machine this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_count() -> int:
    """How many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def started() -> bool:
    """Whether this process is one of several."""
    return "WORLD_SIZE" in os.environ


def start(processes: int, arguments: Sequence[str]) -> int:
    """Run a command line in several processes of this machine, as `torchrun --standalone` does; its exit code.

    Signals go to the first process, which ends the others; what it says is all that is said.

    Args:
        processes: how many.
        arguments: of the command line, the command first.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    children = [_child(rank, processes, port, arguments) for rank in range(processes)]

    def pass_on(number: int, frame: FrameType | None) -> None:
        children[0].send_signal(number)

    heard = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) != signal.SIG_IGN]
    kept = {number: signal.signal(number, pass_on) for number in heard}
    try:
        return _outcome(children)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _child(rank: int, processes: int, port: int, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    place = {name: str(value) for name, value in (*numbers.items(), ("MASTER_PORT", port))}
    return subprocess.Popen(
        [sys.executable, "-m", "imgtool", *arguments],
        env={**os.environ, **place, "MASTER_ADDR": "127.0.0.1"},
        stderr=subprocess.DEVNULL if rank else None,
        start_new_session=True,  # a Ctrl-C of the terminal is ours to pass on
        preexec_fn=partial(_end_with_parent, rank) if sys.platform == "linux" else None,
    )


def _end_with_parent(rank: int) -> None:
    """Nobody shall train on when the process that was started by hand is killed; the first saves what there is."""
    import ctypes

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL if rank else signal.SIGTERM)


def _outcome(children: "Sequence[subprocess.Popen[bytes]]") -> int:
    """The exit code of the first, when all have ended; it and the others do not wait for each other for long."""
    first, *others = children
    lost = 0.0  # since when another is gone that did not end well
    while first.poll() is None:
        time.sleep(LOOK_SECONDS)
        if any(other.poll() for other in others):
            lost = lost or time.monotonic()
            if time.monotonic() - lost > GRACE_SECONDS:  # the first waits for it in vain
                first.kill()
                first.wait()
                return LOST
    until = time.monotonic() + (GRACE_SECONDS if first.returncode == 0 else 0)
    for other in others:
        try:
            other.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()
    return first.returncode if first.returncode >= 0 else 128 - first.returncode
