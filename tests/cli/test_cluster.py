import os
import signal
import socket
import sys
import time
from types import SimpleNamespace

import pytest

from imgtool.cli.cluster import Lost, connected, require_answer
from imgtool.errors import OptionError


class RayError(Exception):
    def __init__(self, message, cause=None):
        super().__init__(message)
        self.cause = cause


@pytest.fixture
def ray(monkeypatch):
    """Instead of Ray: tasks are done when their results are asked for."""
    log = []

    def remote(**options):
        log.append(options)
        return lambda task: SimpleNamespace(remote=lambda *each: log.append(each) or (task, each))

    def get(reference):
        task, each = reference
        try:
            return task(*each)
        except ZeroDivisionError as error:
            raise RayError("a long\nstory", error) from error

    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 99.0}},
    ]

    def init(address, **more):
        if address == "gone":
            raise ConnectionError("nobody\nthere")
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as Ray has it
        if address == "slow":
            signal.raise_signal(signal.SIGTERM)

    made = SimpleNamespace(
        init=init, nodes=lambda: nodes, remote=remote, get=get, put=lambda value: value,
        shutdown=lambda: log.append("shutdown"), exceptions=SimpleNamespace(RayError=RayError), log=log,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def test_results_come_in_their_order_and_few_wait(ray):
    with connected("auto") as cluster:
        assert (cluster.widest, cluster.accelerators) == (4, 1)
        assert (cluster.at_once(1), cluster.at_once(3), cluster.at_once(8)) == (6, 1, 1)
        results = cluster.each(divmod, ((number, 3) for number in range(9)), processors=3, alone=True)
        assert next(results)() == (0, 0)
        assert ray.log == [
            {"num_cpus": 3, "num_gpus": 0, "max_retries": 1, "max_calls": 1},
            *((divmod, 0, 3), (divmod, 1, 3)),
        ]
        assert [result() for result in results] == [divmod(number, 3) for number in range(1, 9)]
    assert ray.log[-1] == "shutdown"


def test_a_task_that_fails(ray):
    with connected("auto") as cluster:
        first, second = cluster.each(divmod, [(1, 0), (3, 2)])
        with pytest.raises(Lost, match=r"^lost on the cluster: ZeroDivisionError: .* zero$"):
            first()
        assert second() == (1, 1)


def test_no_cluster(ray, monkeypatch):
    with pytest.raises(OptionError, match=r"no cluster at gone: nobody$"), connected("gone"):
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="not installed") as caught, connected("auto"):
        pass
    assert caught.value.hint == "pip install 'imgtool[ray]'"


def test_signals_stay_ours(ray):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with connected("auto"):
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt), connected("slow"):
            pass
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.ray
def test_real_cluster():
    with connected("local") as cluster:
        assert cluster.share(b"x") is not None
        assert [result() for result in cluster.each(divmod, [(7, 2), (8, 2)])] == [(3, 1), (4, 0)]
        (died,) = cluster.each(os._exit, [(9,)])
        with pytest.raises(Lost, match="lost on the cluster: "):
            died()
        (broken,) = cluster.each(divmod, [(1, 0)])
        with pytest.raises(Lost, match="ZeroDivisionError"):
            broken()
        first, second = (result() for result in cluster.each(os.getpid, [(), ()], alone=True))
        assert first != second
        with pytest.raises(KeyboardInterrupt):
            (slow,) = cluster.each(time.sleep, [(60,)])
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            before = signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                slow()
            finally:
                signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("form", ["{}:{}", "ray://{}:{}"])
def test_an_address_where_nothing_listens(ray, form):
    """Told at once: Ray itself asks for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = form.format(*listening.getsockname())
        require_answer(address)
    with pytest.raises(OptionError, match=f"nothing answers at {address}"), connected(address):
        pass
    assert not ray.log


@pytest.mark.parametrize("address", ["auto", "local", "ray://", "10001"])
def test_an_address_without_machine_and_port_is_left_to_ray(address):
    require_answer(address)
