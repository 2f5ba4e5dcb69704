"""Signals that wait until a piece of work is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal wait until the block is done, and a second one for nothing.

    Half a step of training could not be gone on from, and OpenCV crashes where an exception comes up amid its calls.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    numbers = [int(getattr(signal, name)) for name in NAMES if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}

    def wait(number: int, _: FrameType | None) -> None:
        waiting.append(number)
        signal.signal(number, handlers[number])

    for number in numbers:
        if handlers[number] != signal.SIG_IGN:
            signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in waiting:
        signal.raise_signal(number)  # also where it has no handler, and ends the process
