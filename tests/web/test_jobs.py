import asyncio
import os

import pytest

from imgtool.web import jobs
from imgtool.web.forms import Field, Form, FormError
from imgtool.web.jobs import Busy, Queue

FORM = Form("none", "Nothing.", (Field("flag", "flag", ""),), on_the_way="*-step[0-9]*.png")


class Fake:
    """A child that ends when it is told to."""

    made = []  # noqa: RUF012

    def __init__(self, command, words, *, folder, environment):
        self.words, self.folder = words, folder
        self.records, self.progress, self.lines, self.error, self.stopped = [], {}, [], None, False
        self.end = asyncio.get_running_loop().create_future()
        Fake.made.append(self)

    async def run(self):
        return await self.end

    def stop(self):
        self.stopped = True
        self.end.set_result(143)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(jobs, "Child", Fake)
    Fake.made = []
    return Fake.made


def link(upload, folder):
    (folder / f"{upload}.png").touch()
    return f"{upload}.png"


def with_queue(tmp_path, act, **limits):
    """Runs a coroutine function with a queue."""

    async def main():
        queue = Queue(tmp_path, os.environ, **{"workers": 1, "waiting": 2, "limit": 60.0, **limits})
        try:
            await act(queue, lambda **answers: queue.submit(FORM, answers, "photo", link))
        finally:
            await queue.close()

    asyncio.run(main())


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_after_the_other(tmp_path, fake):
    async def act(queue, submit):
        first, second = submit(), submit(flag=True)
        await settle()
        assert (first.state, second.state, queue.ahead(second)) == ("running", "waiting", 1)
        fake[0].end.set_result(0)
        await settle()
        assert (first.state, second.state) == ("done", "running")
        fake[1].end.set_result(2)
        await settle()
        assert (second.state, second.error) == ("failed", "the command ended with 2")
        assert fake[1].words == ["--flag", "--output=results/", "--", "photo.png"]

    with_queue(tmp_path, act)


def test_two_at_once(tmp_path):
    async def act(queue, submit):
        made = [submit(), submit()]
        await settle()
        assert [job.state for job in made] == ["running", "running"]

    with_queue(tmp_path, act, workers=2)


def test_cancel(tmp_path, fake):
    async def act(queue, submit):
        first, second, third = submit(), submit(), submit()
        await settle()
        second.cancel()
        first.cancel()
        assert (first.state, second.state) == ("stopping", "cancelled")
        await settle()
        assert (first.state, third.state) == ("cancelled", "running")
        assert fake[0].stopped and not fake[1].stopped

    with_queue(tmp_path, act, waiting=3)


def test_too_many_wait(tmp_path):
    async def act(queue, submit):
        submit()
        await settle()
        submit(), submit()
        with pytest.raises(Busy):
            submit()

    with_queue(tmp_path, act)


def test_takes_too_long(tmp_path):
    async def act(queue, submit):
        job = submit()
        await job.task
        assert (job.state, job.error) == ("failed", "it was stopped after 0.01 seconds")

    with_queue(tmp_path, act, limit=0.01)


def test_refused_answers_leave_nothing(tmp_path):
    async def act(queue, submit):
        with pytest.raises(FormError):
            submit(other=True)
        assert not queue.jobs and not list(tmp_path.iterdir())

    with_queue(tmp_path, act)


def test_old_jobs_go(tmp_path, fake, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT", 1)

    async def act(queue, submit):
        made = []
        for number in range(3):
            made.append(submit())
            await settle()
            fake[number].end.set_result(0)
            await settle()
        assert list(queue.jobs) == [made[1].id, made[2].id]
        assert not made[0].folder.exists() and made[1].folder.exists()

    with_queue(tmp_path, act)


def test_large_jobs_go(tmp_path, fake, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT_BYTES", 25)

    async def act(queue, submit):
        made = []
        for number in range(4):
            made.append(submit())
            await settle()
            (made[-1].folder / "results" / "a.png").write_bytes(b"x" * 10)
            fake[number].end.set_result(0)
            await settle()
        submit()
        assert [job.folder.exists() for job in made] == [False, False, True, True]

    with_queue(tmp_path, act)


def test_files(tmp_path):
    async def act(queue, submit):
        job = submit()
        results = job.folder / "results"
        for name in ("a-step0001.png", "b.png", "b.png.json", ".imgtool-x.part"):
            (results / name).touch()
        os.utime(results / "a-step0001.png", (1, 1))
        (results / "c-step0002.png").touch()
        assert job.preview().name == "c-step0002.png"
        assert [path.name for path in job.results()] == ["b.png", "b.png.json"]
        job.child.records.append({"output": "results/c-step0002.png"})  # so the photo was called
        assert [path.name for path in job.results()] == ["c-step0002.png", "b.png", "b.png.json"]
        for name in ("../photo.png", "photo.png", ".imgtool-x.part", ""):
            with pytest.raises(jobs.Unknown):
                job.file(name)

    with_queue(tmp_path, act)
