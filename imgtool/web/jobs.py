"""What the page was asked to do: commands that wait for their turn, work, and are kept for a while."""

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imgtool.child import Child
from imgtool.errors import ImgtoolError
from imgtool.web.forms import Form
from imgtool.web.store import Unknown

RESULTS = "results"  # the folder of a job's outputs
# Jobs that have ended, and bytes of theirs, that are kept; the oldest go, never the last.
KEPT, KEPT_BYTES = 100, 2_000_000_000


class Busy(ImgtoolError):
    """More is waiting than may be."""


@dataclass
class Job:
    """One command on one picture.

    Attributes:
        id: what the page calls it; cannot be guessed.
        form: of the command.
        folder: where it works.
        picture: name of the picture that it was given, in that folder.
        words: the options that were answered.
        child: the process.
        state: "waiting", "running", "stopping", then "done", "failed" or "cancelled".
        error: why it failed.
        seconds: how long it took, once it has ended.
        task: that waits for its turn and runs it.
    """

    id: str
    form: Form
    folder: Path
    picture: str
    words: list[str]
    child: Child
    state: str = "waiting"
    error: str | None = None
    seconds: float = 0.0
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    async def run(self, limit: float) -> None:
        """Run the command to its end, at most for some seconds."""
        self.state, began = "running", time.monotonic()
        overtime = asyncio.get_running_loop().call_later(limit, self.child.stop)
        try:
            code = await self.child.run()
        finally:
            overtime.cancel()
            self.seconds = time.monotonic() - began
        if self.state == "stopping":
            self.state = "cancelled"
        elif code == 0:
            self.state = "done"
        else:
            self.state = "failed"
            late = f"it was stopped after {limit:g} seconds" if self.child.stopped else None
            self.error = late or self.child.error or f"the command ended with {code}"

    def cancel(self) -> None:
        """End it, now or as soon as it has saved what it has so far."""
        if self.state == "waiting":
            self.state = "cancelled"
            if self.task:
                self.task.cancel()
        elif self.state == "running":
            self.state = "stopping"
            self.child.stop()

    def results(self) -> list[Path]:
        """What it has made: first what its records name, then what stands beside."""
        records = self.child.records
        named = [Path(record["output"]).name for record in records if record.get("output")]
        place = {name: number for number, name in enumerate(named)}
        files = [path for path in self._files() if path.name in place or not self._is_early(path)]
        return sorted(files, key=lambda path: (place.get(path.name, len(place)), path.name))

    def preview(self) -> Path | None:
        """The latest picture on the way to the result."""
        early = [path for path in self._files() if self._is_early(path)]
        return max(early, key=lambda path: path.stat().st_mtime_ns, default=None)

    def file(self, name: str) -> Path:
        """One of the files that it wrote.

        Raises:
            Unknown: there is none of this name.
        """
        for path in self._files():
            if path.name == name:
                return path
        raise Unknown("there is no such file")

    def size(self) -> int:
        """Bytes of what it was given and made."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _files(self) -> list[Path]:
        return [path for path in (self.folder / RESULTS).glob("[!.]*") if path.is_file()]

    def _is_early(self, path: Path) -> bool:
        return bool(self.form.on_the_way) and path.match(self.form.on_the_way)


class Queue:
    """Jobs, of which few work at once and the others wait in order.

    Args:
        folder: of ours alone.
        environment: of the commands.
        workers: how many work at once.
        waiting: how many more may wait.
        limit: seconds that one may take.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, workers: int, waiting: int, limit: float
    ) -> None:
        self.folder, self.environment = folder, environment
        self.waiting, self.limit = waiting, limit
        self.jobs: dict[str, Job] = {}
        self._turn = asyncio.Semaphore(workers)

    def submit(self, form: Form, answers: Mapping[str, Any], picture: str, link: Callable[..., str]) -> Job:
        """Put a job at the end of the queue.

        Args:
            form: of the command.
            answers: to it.
            picture: that it is for, as the page calls it.
            link: `Store.link`.
        Raises:
            Busy: too many wait.
            FormError, Unknown: the answers are not to this form.
        """
        if sum(job.state == "waiting" for job in self.jobs.values()) >= self.waiting:
            raise Busy(f"{self.waiting} others are waiting already; try again later")
        id = secrets.token_urlsafe(12)
        folder = self.folder / id
        (folder / RESULTS).mkdir(parents=True)
        try:
            name = link(picture, folder)
            words = form.words(answers, lambda upload: link(upload, folder))
        except ImgtoolError:
            shutil.rmtree(folder)
            raise
        target = [f"--output={RESULTS}/"] if form.writes else []
        typed = [*form.always, *words, *target, "--", name]
        child = Child(form.command, typed, folder=folder, environment=self.environment)
        self.jobs[id] = job = Job(id, form, folder, name, words, child)
        job.task = asyncio.create_task(self._work(job))
        self._forget()
        return job

    def job(self, id: str) -> Job:
        """A job by what the page calls it.

        Raises:
            Unknown: there is no such job, or it is no longer kept.
        """
        if id not in self.jobs:
            raise Unknown("there is no such job, or it is no longer kept")
        return self.jobs[id]

    def ahead(self, job: Job) -> int:
        """How many come before a job that waits."""
        earlier = list(self.jobs).index(job.id)
        return sum(not other.ended for other in list(self.jobs.values())[:earlier])

    async def close(self) -> None:
        """End everything at once."""
        tasks = [job.task for job in self.jobs.values() if job.task and not job.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, job: Job) -> None:
        async with self._turn:
            await job.run(self.limit)

    def _forget(self) -> None:
        ended = [job for job in self.jobs.values() if job.ended]
        sizes = [job.size() for job in ended]
        for number, job in enumerate(ended[:-1]):
            if len(ended) - number > KEPT or sum(sizes[number:]) > KEPT_BYTES:
                shutil.rmtree(self.jobs.pop(job.id).folder)
