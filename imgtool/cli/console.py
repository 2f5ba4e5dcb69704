"""What the user is told: talk on stderr, data on stdout, a progress bar only on a terminal."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

PLAIN_PROGRESS_SECONDS = 10

# Told how much is done, how much there is in all (None: unknown), and a word about it.
OnProgress = Callable[[float, float | None, str], None]


class Console:
    """The one place that writes to the terminal.

    Attributes:
        quiet: say nothing but errors.
        verbosity: 0 normal, 1 more, 2 debug with tracebacks.
        json: whether stdout carries one JSON object a line.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.verbosity = 0
        self.json = False

    def say(self, text: str) -> None:
        """A result or a step, unless -q."""
        if not self.quiet:
            click.echo(text, err=True)

    def detail(self, text: str) -> None:
        """Something that only -v shows."""
        if self.verbosity >= 1 and not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Something the user should know although the work goes on."""
        if not self.quiet:
            click.echo(f"{click.style('note:', fg='yellow')} {text}", err=True)

    def error(self, text: str, *, hint: str | None = None) -> None:
        """A failure in one line; shown even with -q."""
        tail = f" Try: {hint}" if hint else ""
        click.echo(f"{click.style('error:', fg='red')} {text}{tail}", err=True)

    def data(self, text: str) -> None:
        """A line of data on stdout."""
        click.echo(text)

    def record(self, fields: dict[str, Any]) -> None:
        """One JSON object on stdout, with --json."""
        if self.json:
            click.echo(json.dumps(fields, ensure_ascii=False, default=str))
            sys.stdout.flush()

    @contextmanager
    def progress(self, title: str) -> Iterator[OnProgress]:
        """A progress bar on a terminal; without one, a plain line every ten seconds with -v.

        Yields:
            A function that is told how things stand.
        """
        if self.quiet or not sys.stderr.isatty():
            yield self._plain(title)
            return
        from rich import console as rich_console
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeRemainingColumn(compact=True),
            bars.TextColumn("{task.fields[note]}"),
        )
        terminal = rich_console.Console(stderr=True)
        with bars.Progress(*columns, console=terminal, transient=True) as bar:
            task = bar.add_task(title, total=None, note="")
            yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)

    def _plain(self, title: str) -> OnProgress:
        last = time.monotonic()

        def on_progress(done: float, total: float | None, note: str) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_PROGRESS_SECONDS:
                last = time.monotonic()
                share = f"{done / total:.0%}" if total else f"{done:g}"
                self.detail(f"{title} {share} {note}".rstrip())

        return on_progress


console = Console()
