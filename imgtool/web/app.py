"""The page and what it asks for: pictures in, jobs, and their results."""

import json
import math
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imgtool.errors import ImgtoolError
from imgtool.web.forms import Form, FormError
from imgtool.web.gate import Gate
from imgtool.web.jobs import Busy, Job, Queue
from imgtool.web.store import Store, TooLarge, Unknown

PAGE = Path(__file__).with_name("page")
MAX_ASK_BYTES = 64_000  # of a request that is no picture
STATUS = {FormError: 400, Unknown: 404, TooLarge: 413, Busy: 503}
# What a file is served as; anything else is bytes to be saved.
TYPES = {
    **{f".{name}": f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "bmp", "avif")},
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}
NO_FACTS = ("input", "output", "kind", "table", "error", "seconds")  # of a record
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Limits:
    """What the page may ask of this machine.

    Attributes:
        upload_bytes: of one picture.
        waiting: jobs in the queue.
        workers: jobs at once.
        seconds: of one job.
    """

    upload_bytes: int = 50_000_000
    waiting: int = 20
    workers: int = 1
    seconds: float = 3600.0


def make_app(
    forms: Sequence[Form],
    *,
    token: str,
    hosts: Collection[str],
    suffixes: Collection[str],
    environment: Mapping[str, str],
    limits: Limits,
) -> Starlette:
    """The page's server side; what it keeps goes when it ends.

    Args:
        forms: of the commands that it offers.
        token: in each address.
        hosts: names that a browser may call it by.
        suffixes: of pictures.
        environment: of the commands.
        limits: of uploads and jobs.
    """

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="imgtool-serve-") as name:
            uploads, jobs = Path(name) / "uploads", Path(name) / "jobs"
            uploads.mkdir()
            app.state.store = Store(uploads, max_bytes=limits.upload_bytes, suffixes=suffixes)
            app.state.queue = queue = Queue(
                jobs, environment, workers=limits.workers, waiting=limits.waiting, limit=limits.seconds
            )
            yield
            await queue.close()

    site = _Site({form.command: form for form in forms}, limits)
    return Starlette(
        routes=[
            Route("/commands", site.commands),
            Route("/pictures", site.upload, methods=["POST"]),
            Route("/jobs", site.submit, methods=["POST"]),
            Route("/jobs/{id}", site.status),
            Route("/jobs/{id}", site.cancel, methods=["DELETE"]),
            Route("/jobs/{id}/given", site.given),
            Route("/jobs/{id}/results/{name}", site.result),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(Gate, token=token, hosts=hosts)],
        exception_handlers={ImgtoolError: _refuse, ClientDisconnect: _nobody_listens},
        lifespan=life,
    )


async def _refuse(request: Request, error: Exception) -> Response:
    """What is wrong, in one line."""
    assert isinstance(error, ImgtoolError)
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"error": error.message}, status)


async def _nobody_listens(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


class _Site:
    """Answers to what the page asks."""

    def __init__(self, forms: Mapping[str, Form], limits: Limits) -> None:
        self.forms, self.limits = forms, limits

    async def commands(self, request: Request) -> Response:
        """All forms, and what an upload may weigh."""
        forms = [form.as_dict() for form in self.forms.values()]
        return JSONResponse({"commands": forms, "max_bytes": self.limits.upload_bytes})

    async def upload(self, request: Request) -> Response:
        """Keep a picture, which is the whole body."""
        limit = self.limits.upload_bytes
        if int(request.headers.get("content-length", "0")) > limit:
            raise TooLarge(f"more than {limit / 1e6:g} MB")
        saved = await request.app.state.store.save(request.query_params.get("name", ""), request.stream())
        return JSONResponse({"id": saved.id, "name": saved.path.name, "bytes": saved.bytes}, 201)

    async def submit(self, request: Request) -> Response:
        """Put a job in the queue: {"command", "picture", "answers"}."""
        asked = await _object(request)
        command, picture, answers = (asked.get(name) for name in ("command", "picture", "answers"))
        form = self.forms.get(str(command))
        if form is None or not isinstance(picture, str) or not isinstance(answers, dict):
            raise FormError("expected one of the commands, a picture and answers")
        queue, store = request.app.state.queue, request.app.state.store
        job = queue.submit(form, answers, picture, store.link)
        return JSONResponse(self._told(job, queue), 201)

    async def status(self, request: Request) -> Response:
        """How a job stands."""
        queue = request.app.state.queue
        return JSONResponse(self._told(queue.job(request.path_params["id"]), queue))

    async def cancel(self, request: Request) -> Response:
        """End a job."""
        queue = request.app.state.queue
        job = queue.job(request.path_params["id"])
        job.cancel()
        return JSONResponse(self._told(job, queue))

    async def given(self, request: Request) -> Response:
        """The picture that a job was given."""
        job = request.app.state.queue.job(request.path_params["id"])
        return _file(job.folder / job.picture)

    async def result(self, request: Request) -> Response:
        """A file that a job made."""
        job = request.app.state.queue.job(request.path_params["id"])
        return _file(job.file(request.path_params["name"]))

    def _told(self, job: Job, queue: Queue) -> dict[str, Any]:
        """A job for the page."""
        names = [path.name for path in job.results()]
        preview = job.preview()
        target = ["-o", "results/"] if job.form.writes else []
        return {
            "id": job.id,
            "command": job.form.command,
            "given": job.picture,
            "state": job.state,
            "ahead": queue.ahead(job) if job.state == "waiting" else 0,
            "progress": job.child.progress,
            "preview": preview.name if preview and not job.ended else None,
            "pictures": [name for name in names if Path(name).suffix.lower() in TYPES],
            "files": names,
            "facts": [_facts(record) for record in job.child.records],
            "notes": [line.removeprefix("note: ") for line in job.child.lines if line.startswith("note: ")],
            "error": job.error,
            "seconds": round(job.seconds, 1),
            "typed": ["imgtool", job.form.command, job.picture, *job.words, *target],
        }


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record of a command tells a person: plain values, and those of its metrics."""
    metrics = record.get("metrics")
    named = {**record, **(metrics if isinstance(metrics, dict) else {})}
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in named.items()
        if isinstance(value, str | int | float) and name not in NO_FACTS
    }


def _file(path: Path) -> Response:
    """A file as a picture, or else as bytes to be saved; an SVG that is opened alone runs nothing."""
    kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": SANDBOX})


async def _object(request: Request) -> dict[str, Any]:
    """The JSON object of a small body.

    Raises:
        FormError: it is none.
        TooLarge: it is not small.
    """
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > MAX_ASK_BYTES:
            raise TooLarge(f"more than {MAX_ASK_BYTES / 1e3:g} kB")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise FormError("expected a JSON object")
    return asked
