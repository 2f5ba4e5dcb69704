"""The command line in a process of its own: what it tells as it works, and how it is stopped."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE_SECONDS = 20.0  # to save what is done after a signal, before the process is killed
LINE_BYTES = 1 << 26  # of one record: those of `stylize` hold all of its losses
LINES = 200  # of talk that are kept


class Child:
    """A command of the command line, run once.

    Attributes:
        records: what it printed with `--json`, but for the summary.
        progress: the last of its progress events: title, done, total, note.
        lines: the last of what it said.
        stopped: whether `stop` was called.
    """

    def __init__(
        self,
        command: str,
        words: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_record: Callable[[dict[str, Any]], None] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare a process; nothing starts yet.

        Args:
            command: its full name, such as "score edges".
            words: what follows it, options first.
            folder: where it works.
            environment: its variables; by default ours.
            on_record: called with each record as it comes.
            on_line: called with each line of talk.
        """
        # -P: a folder of pictures is not searched for modules.
        self.typed = [
            *(sys.executable, "-P", "-m", "imgtool", *command.split(), "--json", "--json-progress"),
            *words,
        ]
        self.folder = folder
        self.environment = dict(os.environ if environment is None else environment)
        self.on_record, self.on_line = on_record, on_line
        self.records: list[dict[str, Any]] = []
        self.progress: dict[str, Any] = {}
        self.lines: deque[str] = deque(maxlen=LINES)
        self.stopped = False
        self._process: Process | None = None

    async def run(self) -> int:
        """The exit code, when it has ended; below 0 a signal that it could not handle.

        If this is cancelled, the process is killed. No process to be had, or a line without an end, is a failure of
        the command.
        """
        try:
            return await self._run()
        except (OSError, ValueError) as error:
            self._take_line(f"error: the command could not be run: {error}")
            return 1

    async def _run(self) -> int:
        here = str(Path(__file__).parents[1])  # so that it is this imgtool, installed or not
        path = os.pathsep.join(filter(None, (here, self.environment.get("PYTHONPATH"))))
        self._process = process = await asyncio.create_subprocess_exec(
            *self.typed,
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": path},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            limit=LINE_BYTES,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        assert process.stdout and process.stderr
        try:
            if self.stopped:
                self.stop()
            await asyncio.gather(
                _each_line(process.stdout, self._take_record), _each_line(process.stderr, self._take_line)
            )
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does: what it has so far is saved. It is killed if it does not."""
        self.stopped = True
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill)

    @property
    def error(self) -> str | None:
        """The last failure that it told, without the word before it."""
        errors = [line for line in self.lines if line.startswith("error: ")]
        return errors[-1].removeprefix("error: ") if errors else None

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()

    def _take_record(self, text: str) -> None:
        record = _object(text)
        if record and "summary" not in record:
            self.records.append(record)
            if self.on_record:
                self.on_record(record)

    def _take_line(self, text: str) -> None:
        progress = _object(text).get("progress") if text.startswith("{") else None
        if isinstance(progress, dict):
            self.progress = progress
        elif text:
            self.lines.append(text)
            if self.on_line:
                self.on_line(text)


async def _each_line(stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
    while line := await stream.readline():
        take(line.decode(errors="backslashreplace").rstrip())


def _object(text: str) -> dict[str, Any]:
    """A line's JSON object; an empty one if it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
