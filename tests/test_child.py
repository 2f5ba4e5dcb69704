import asyncio
import os
import time

import pytest

from imgtool import child
from imgtool.child import Child


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Lets a child run a script instead of the command line."""

    def script(text):
        path = tmp_path / "script.py"
        path.write_text(text, encoding="utf-8")
        made = Child("none", [])
        made.typed = [*made.typed[:2], str(path)]
        return made

    return script


def test_runs_the_command_line(tmp_path):
    made = Child("inspect", ["--", "missing.png"], folder=tmp_path)
    assert asyncio.run(made.run()) == 1
    assert made.error and made.error.startswith("missing.png")


def test_no_process_to_be_had_is_a_failure(monkeypatch):
    async def none(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none)
    told = []
    made = Child("doctor", [], on_line=told.append)
    assert asyncio.run(made.run()) == 1
    assert made.error == "the command could not be run: [Errno 11] Resource temporarily unavailable"
    assert told == [f"error: {made.error}"]


def test_modules_beside_the_pictures_are_not_loaded(tmp_path):
    (tmp_path / "click.py").write_text("raise SystemExit(77)", encoding="utf-8")
    assert asyncio.run(Child("doctor", ["--help"], folder=tmp_path).run()) == 0


def test_sorts_what_it_is_told(script):
    made = script(
        "import sys\n"
        'print(\'{"output": "a.png"}\\n{"summary": {}}\\nno json\\n[1]\', flush=True)\n'
        'print(\'{"progress": {"done": 1}}\\nnote: hm\\nerror: bad\\n{"other": 1}\', file=sys.stderr)\n'
        "sys.exit(3)"
    )
    records, lines = [], []
    made.on_record, made.on_line = records.append, lines.append
    assert asyncio.run(made.run()) == 3
    assert made.records == records == [{"output": "a.png"}]
    assert made.progress == {"done": 1}
    assert list(made.lines) == lines == ["note: hm", "error: bad", '{"other": 1}']
    assert made.error == "bad"


def test_long_records_arrive_whole(script):
    made = script("print('{\"a\": \"' + 'x' * 1_000_000 + '\"}')")
    assert asyncio.run(made.run()) == 0
    assert len(made.records[0]["a"]) == 1_000_000


WAITS = "import signal, sys, time\n{}\nprint('note: here', file=sys.stderr, flush=True)\ntime.sleep(60)"


def run_and(made, act):
    """Calls a function when the child is up; the exit code."""
    made.on_line = lambda line: act()
    return asyncio.run(made.run())


def test_stops(script):
    made = script(WAITS.format("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))"))
    assert run_and(made, made.stop) == 5


def test_is_killed_if_it_does_not_stop(script, monkeypatch):
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.1)
    made = script(WAITS.format("signal.signal(signal.SIGTERM, signal.SIG_IGN)"))
    assert run_and(made, made.stop) == -9


def test_nothing_is_left_when_cancelled(script):
    made = script(WAITS.format(""))

    async def cancelled():
        task = asyncio.create_task(made.run())
        made.on_line = lambda line: task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    with pytest.raises(ProcessLookupError):
        os.kill(made._process.pid, 0)


def test_stopped_before_it_began(script):
    made = script(WAITS.format(""))
    made.stopped = True
    began = time.monotonic()
    assert asyncio.run(made.run()) == -15
    assert time.monotonic() - began < 60
