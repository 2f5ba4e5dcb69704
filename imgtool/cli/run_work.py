"""How the steps of a run are done: commands as child processes, those that wait for nothing at once."""

import asyncio
import math
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imgtool.child import Child
from imgtool.cli.console import OnProgress, console, counted
from imgtool.cli.run_plan import BEGUN, Journal, Plan, Task, stale
from imgtool.cli.run_steps import Step
from imgtool.errors import ImgtoolError
from imgtool.files import printable
from imgtool.runtime import processor

LOCK = ".imgtool-run.lock"
MOST_PICTURES = 1000  # of one command line, which may not be too long
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Runner:
    """One run of a plan.

    Args:
        plan: what is to be made.
        journal: of what is there.
        jobs: commands at once.
        fail_fast: begin nothing more after a failure.
        anew: make everything, also what is there.
        ray: address of a cluster, for the commands that work there.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        *,
        jobs: int,
        fail_fast: bool,
        anew: bool,
        ray: str | None = None,
    ) -> None:
        self.plan, self.journal, self.jobs = plan, journal, jobs
        self.fail_fast, self.anew, self.ray = fail_fast, anew, ray
        self.counts = {"done": 0, "skipped": 0, "failed": 0}
        self.codes: list[int] = []
        self.missing: set[Path] = set()  # results that could not be made
        self.children: set[Child] = set()
        self.stopped: int | None = None  # by this signal

    def run(self) -> int:
        """Do all that is to be done; the exit code.

        Raises:
            ImgtoolError: another run works in the folder.
        """
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.plan.folder / LOCK, timeout=0), console.progress("Run") as on_progress:
                asyncio.run(self._steps(on_progress))
        except Timeout as error:
            raise ImgtoolError(f"another run works in {printable(self.plan.folder)}") from error
        if self.stopped:
            console.say("To go on: the same command.")
        console.say(counted(self.counts))
        console.record({"summary": self.counts})
        if self.stopped:
            signal.raise_signal(self.stopped)
        alone = len(set(self.codes)) == 1 and not self.counts["done"]
        return self.codes[0] if alone else min(1, len(self.codes))

    async def _steps(self, on_progress: OnProgress) -> None:
        """All steps, each as soon as those that it needs are done."""
        self.turn = asyncio.Semaphore(self.jobs)
        steps = {step.name: step for step in self.plan.tasks}
        under_way: dict[str, asyncio.Task[None]] = {}

        async def one(step: Step) -> None:
            await asyncio.gather(*(under_way[name] for name in step.needs))
            await self._step(step)

        with _heard(self._stop):
            for name, step in steps.items():  # in their order, so that those needed are there
                under_way[name] = asyncio.create_task(one(step))
            watching = asyncio.create_task(self._watch(on_progress))
            try:
                await asyncio.gather(*under_way.values())
            finally:
                watching.cancel()

    async def _step(self, step: Step) -> None:
        """What a step has to make."""
        tasks = self.plan.tasks[step]
        if self.ends:
            self.missing |= {task.output for task in tasks}
            return
        able = [task for task in tasks if not task.after & self.missing]
        if lost := [task for task in tasks if task.after & self.missing]:
            console.error(f"{step.name}: {len(lost)} not made, for what they need was not")
            self._fail(lost, [])
        due = stale(self.plan, self.journal, able, anew=self.anew)
        self.counts["skipped"] += len(able) - len(due)
        await asyncio.gather(*(self._command(step, part, due) for part in self._parts(list(due))))

    @property
    def ends(self) -> bool:
        """Whether nothing more is to begin."""
        return self.stopped is not None or (self.fail_fast and self.counts["failed"] > 0)

    def _parts(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Tasks that one command can do together: in one folder, with the same options."""
        alike: dict[object, list[Task]] = {}
        for task in tasks:
            alike.setdefault((task.output if task.joins else task.output.parent, task.words), []).append(task)
        for group in alike.values():
            size = min(MOST_PICTURES, math.ceil(len(group) / self.jobs))
            for first in range(0, len(group), size):
                yield group[first : first + size]

    async def _command(self, step: Step, tasks: list[Task], keys: dict[Task, str]) -> None:
        """One command line, and what came of it."""
        left = {task.output: task for task in tasks}

        def on_record(record: dict[str, Any]) -> None:
            child.progress = {}  # of the picture that is done now
            output = Path(record.get("output") or "")
            console.record({"step": step.name, **record})
            if output in left and not record.get("error") and not record.get("unfinished"):
                self.journal.note(output, keys[left.pop(output)])
                self.counts["done"] += 1

        async with self.turn:
            if self.ends:
                self.missing |= left.keys()
                return
            for task in tasks:  # should we be killed, the file that the command may still write is ours
                self.journal.note(task.output, BEGUN)
            child = Child(
                step.command,
                self._words(step, tasks),
                on_record=on_record,
                on_line=lambda line: _say(step, line),
            )
            self.children.add(child)
            code = await child.run()
            self.children.remove(child)
        if self.stopped:
            self.missing |= left.keys()
        elif left:
            if not child.error:  # as when the kernel ends it for want of memory
                console.error(f"{step.name}: the command ended with {code}, {len(left)} not made")
            self._fail(left.values(), [max(1, code)])

    def _words(self, step: Step, tasks: Sequence[Task]) -> list[str]:
        """The options and pictures of a command line."""
        first = tasks[0]
        words = [*first.words, "--force"]
        if first.joins:
            words.append(f"--output={first.output}")
        else:
            words += [f"--output={first.output.parent}/", f"--name={{stem}}{first.output.suffix}"]
        has = {param.name for param in self.plan.commands[step.command].params}
        if self.ray is not None and "ray" in has:
            words.append(f"--ray={self.ray}")
        elif self.jobs > 1 and "threads" in has and not any(word.startswith("--threads") for word in words):
            words.append(f"--threads={max(1, processor.cores() // self.jobs)}")
        return [*words, "--", *map(str, (path for task in tasks for path in task.inputs))]

    def _fail(self, tasks: Iterable[Task], codes: list[int]) -> None:
        """Note results that could not be made."""
        outputs = {task.output for task in tasks}
        self.missing |= outputs
        self.counts["failed"] += len(outputs)
        self.codes += codes

    def _stop(self, number: int) -> None:
        """End all that is under way, with what it has so far."""
        self.stopped = number
        for child in self.children:
            child.stop()

    async def _watch(self, on_progress: OnProgress) -> None:
        """Tell how far everything is."""
        total = len(list(self.plan))
        while True:
            shares = [_share(child.progress) for child in self.children]
            note = ", ".join(str(child.progress.get("title", "")) for child in self.children)
            on_progress(sum(self.counts.values()) + sum(shares), total, note)
            await asyncio.sleep(0.2)


def _share(progress: dict[str, Any]) -> float:
    done, total = progress.get("done"), progress.get("total")
    return min(1.0, done / total) if done and total else 0.0


def _say(step: Step, line: str) -> None:
    """What a command says: failures and notes aloud, the rest with -v."""
    kind, _, text = line.partition(": ")
    if kind == "error":
        console.error(f"{step.name}: {text}")
    elif kind == "note":
        console.warn(f"{step.name}: {text}")
    else:
        console.detail(f"{step.name}: {line}")


@contextmanager
def _heard(tell: Callable[[int], None]) -> Iterator[None]:
    """Signals told to a function of the running loop while a block lasts, and then to whom they were before."""
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    with suppress(NotImplementedError):  # as on Windows
        for number in numbers:
            if before[number] != signal.SIG_IGN:
                loop.add_signal_handler(number, tell, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler)
