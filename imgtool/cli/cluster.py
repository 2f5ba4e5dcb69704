"""A Ray cluster: a connection to it, and tasks whose results come back in their order."""

import logging
import re
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from imgtool.errors import ImgtoolError, OptionError
from imgtool.files import first_line, printable

LOCAL = "local"  # as an address: a cluster on this machine, for as long as it is needed
PATIENCE = 5.0  # seconds for a machine to answer at all; Ray itself asks for minutes
IN_TURN = 2  # tasks handed in for each that can work at once


class Lost(ImgtoolError):
    """A task that did not come to its end: its process died, or it has a bug."""


class Cluster:
    """Where tasks can be done.

    Ray's own functions rather than its backend of joblib: that one tells results at the end alone, and all its
    processes are alike, while a task here takes as many processors as it has threads.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]

    @property
    def accelerators(self) -> int:
        """How many GPUs there are."""
        return int(sum(node.get("GPU", 0) for node in self._nodes))

    @property
    def widest(self) -> int:
        """Processors of the largest machine."""
        return int(max((1, *(node.get("CPU", 0) for node in self._nodes))))

    def share(self, value: Any) -> Any:
        """Something that many tasks take as an argument, sent once."""
        return self._ray.put(value)

    def at_once(self, processors: int, *, accelerated: bool = False) -> int:
        """How many tasks of so many processors can work at once."""
        if accelerated:
            return self.accelerators
        return max(1, sum(int(node.get("CPU", 0)) // processors for node in self._nodes))

    def each(
        self,
        task: Callable[..., Any],
        arguments: Iterable[tuple[Any, ...]],
        *,
        processors: int = 1,
        accelerated: bool = False,
        alone: bool = False,
    ) -> Iterator[Callable[[], Any]]:
        """Do a task for each of some arguments, which are asked for as they are needed.

        Args:
            task: something of a module that can be called.
            arguments: that can be pickled.
            processors: that one task takes.
            accelerated: whether it takes a GPU too.
            alone: whether each has a new process to itself.
        Yields:
            For each of them, in their order, a function that waits for the result, and raises `Lost` if there
            is none.
        """
        more = {"num_cpus": processors, "num_gpus": int(accelerated), "max_retries": 1}
        remote = self._ray.remote(**more, **({"max_calls": 1} if alone else {}))(_done)
        most = IN_TURN * self.at_once(processors, accelerated=accelerated)
        waiting: deque[Any] = deque()
        for each in arguments:
            waiting.append(remote.remote(task, *each))
            if len(waiting) == most:
                yield self._result_of(waiting.popleft())
        while waiting:
            yield self._result_of(waiting.popleft())

    def _result_of(self, reference: Any) -> Callable[[], Any]:
        def result() -> Any:
            try:
                return self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                raise Lost(f"lost on the cluster: {_reason(error)}") from error

        return result


def require_answer(address: str) -> None:
    """Look whether anything listens at an address that names a machine and a port.

    Raises:
        OptionError: nothing does.
    """
    found = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:(\d{1,5})", address)
    if found is None:  # "auto", "local", or what Ray will refuse
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=PATIENCE).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise OptionError("ray", f"nothing answers at {printable(address)}: {first_line(error)}") from error


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """A cluster, while a block lasts.

    Args:
        address: of its head; "auto" for the one that this machine belongs to, or "local".
    Raises:
        OptionError: there is none, or Ray is not installed.
    """
    require_answer(address)
    try:
        import ray
    except ImportError as error:
        raise OptionError("ray", "Ray is not installed", hint="pip install 'imgtool[ray]'") from error
    listens = signal.getsignal(signal.SIGTERM)
    try:
        where = None if address == LOCAL else address
        ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OptionError("ray", f"no cluster at {printable(address)}: {first_line(error)}") from error
    except SystemExit:  # of Ray's own handler
        signal.signal(signal.SIGTERM, listens)
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, listens)  # which Ray takes for itself
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()  # what is still under way ends there


def _done(task: Callable[..., Any], *arguments: Any) -> Any:
    return task(*arguments)


def _reason(error: Exception) -> str:
    """Why a task has no result, in a few words."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):  # raised by the task
        return f"{type(cause).__name__}: {first_line(cause)}"
    return f"{type(error).__name__}: {first_line(error)}"
