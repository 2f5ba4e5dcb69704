"""What the user is told: talk on stderr, data on stdout, a progress bar only on a terminal."""

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

PLAIN_PROGRESS_SECONDS = 10
JSON_PROGRESS_SECONDS = 0.2

# Told how much is done, how much there is in all (None: unknown), and a word about it.
OnProgress = Callable[[float, float | None, str], None]


class Console:
    """The one place that writes to the terminal.

    Attributes:
        quiet: say nothing but errors.
        verbosity: 0 normal, 1 more, 2 debug with tracebacks.
        json: whether stdout carries one JSON object a line.
        json_progress: whether stderr carries progress as one JSON object a line.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.verbosity = 0
        self.json = False
        self.json_progress = False

    def say(self, text: str) -> None:
        """A result or a step, unless -q."""
        if not self.quiet:
            _echo(text, err=True)

    def detail(self, text: str) -> None:
        """Something that only -v shows."""
        if self.verbosity >= 1:
            self.say(text)

    def warn(self, text: str) -> None:
        """Something the user should know although the work goes on."""
        self.say(f"{click.style('note:', fg='yellow')} {text}")

    def error(self, text: str, *, hint: str | None = None) -> None:
        """A failure in one line; shown even with -q, and with -vv after its traceback."""
        if self.verbosity >= 2 and sys.exc_info()[0] is not None:
            _echo(traceback.format_exc().rstrip(), err=True)
        tail = f"{'' if text.endswith('.') else '.'} Try: {hint}" if hint else ""
        _echo(f"{click.style('error:', fg='red')} {text}{tail}", err=True)

    def data(self, text: str) -> None:
        """A line of data on stdout."""
        _echo(text, err=False)

    def record(self, fields: dict[str, Any]) -> None:
        """One JSON object on stdout, with --json."""
        if self.json and sys.stdout is not None:  # which may be closed
            _echo(to_json(fields), err=False)
            sys.stdout.flush()

    @contextmanager
    def progress(self, title: str, above: Any = None) -> Iterator[OnProgress]:
        """A progress bar on a terminal; without one, a plain line every ten seconds with -v.

        With --json-progress, for a program that shows it in its own way, several times a second:
        `{"progress": {"title": "photo", "done": 12, "total": 150, "note": ""}}`, the total null if unknown.

        Args:
            title: of the bar.
            above: what Rich shows above the bar on a terminal; then both are drawn when told, and not all the time.
        Yields:
            A function that is told how things stand.
        """
        if self.json_progress and not self.quiet:
            yield self._events(title)
            return
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield self._plain(title)
            return
        from rich import console as rich_console
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeRemainingColumn(compact=True),
            bars.TextColumn("{task.fields[note]}", markup=False),
        )

        class Bar(bars.Progress):
            def get_renderables(self) -> Iterator[Any]:
                yield from [] if above is None else [above]
                yield from super().get_renderables()

        terminal = rich_console.Console(stderr=True)
        # stdout may carry data: it is left alone.
        with Bar(
            *columns, console=terminal, transient=True, redirect_stdout=False, auto_refresh=above is None
        ) as bar:
            task = bar.add_task(title, total=None, note="")
            yield lambda done, total, note: bar.update(
                task, completed=done, total=total, note=note, refresh=above is not None
            )

    def _events(self, title: str) -> OnProgress:
        last = -JSON_PROGRESS_SECONDS

        def on_progress(done: float, total: float | None, note: str) -> None:
            nonlocal last
            if done == total or time.monotonic() - last >= JSON_PROGRESS_SECONDS:
                last = time.monotonic()
                event = {"title": title, "done": done, "total": total, "note": note}
                _echo(to_json({"progress": event}), err=True)

        return on_progress

    def _plain(self, title: str) -> OnProgress:
        last = time.monotonic()

        def on_progress(done: float, total: float | None, note: str) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_PROGRESS_SECONDS:
                last = time.monotonic()
                share = f"{done / total:.0%}" if total else f"{done:g}"
                self.detail(f"{title} {share} {note}".rstrip())

        return on_progress


def counted(counts: Mapping[str, int]) -> str:
    """Counts as they are told: "41 done, 2 skipped"."""
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON that a terminal can show: letters as they are, everything that does not print escaped."""
    text = json.dumps(value, ensure_ascii=False, default=str, indent=indent)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def use_color() -> bool | None:
    """What the environment says about colour; None leaves it to whether the stream is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None


def _echo(text: str, *, err: bool) -> None:
    try:
        click.echo(text, err=err, color=use_color())
    except OSError as error:
        if not err or error.errno == errno.EPIPE:
            raise
        # A log that is full stops no work: the exit code still tells.


console = Console()
