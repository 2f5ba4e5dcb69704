"""The server as a client sees it: what is let in, and what comes out."""

import http.client
import io
import json
import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from imgtool.web.gate import host_name


@pytest.fixture(scope="module")
def server(start):
    return start("--max-upload", "1", "--max-pixels", "1000000")


@pytest.mark.parametrize("path", ["", "page.js", "page.css", "commands"])
def test_page(server, path):
    status, _ = server.ask(path)
    assert status == 200
    assert server.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in server.headers["content-security-policy"]


@pytest.mark.parametrize("token", ["/", "/wrong/", "//", "/../", "/%2e%2e/", "/%C3%A9/"])
def test_wrong_token(server, token):
    for path in ("", "commands", "jobs/x"):
        assert server.ask(path, token=token)[0] == 403
    assert server.ask("pictures", "POST", b"x", token=token)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:80"])
def test_wrong_host(server, host):
    assert server.ask(Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:99", "LOCALHOST"])
def test_right_host(server, host):
    assert server.ask(Host=host)[0] == 200
    assert host_name(host).strip("[]") in ("localhost", "127.0.0.1", "::1")


def test_too_large_body_is_refused_by_its_length(server):
    status, told = server.ask("pictures", "POST", b"x" * 1_000_001)
    assert (status, told["error"]) == (413, "more than 1 MB")


def test_too_large_body_is_refused_as_it_comes(server):
    blocks = (b"x" * 100_000 for _ in range(200))
    try:
        status, _ = server.ask("pictures", "POST", blocks)
    except (ConnectionError, http.client.HTTPException):  # it hung up before all was sent
        status = 413
    assert status == 413


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"command": "edges"}', b"[" * 50_000, b"\xff", b" " * 70_000]
)
def test_jobs_that_are_none(server, body):
    assert server.ask("jobs", "POST", body)[0] in (400, 413)


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        ("doctor", {}),
        ("edges", {"output": "/tmp/x"}),
        ("edges", {"weights": "/etc/passwd"}),
        ("stylize", {"style": "/etc/passwd"}),
        ("stylize", {"style": "https://example.com/a.png"}),
    ],
)
def test_options_name_no_files_of_this_machine(server, photo, command, answers):
    status, told = server.submit(command, server.upload(photo), **answers)
    assert status in (400, 404) and told["error"]


def test_pictures_and_jobs_of_others_are_not_found(server):
    assert server.submit("edges", "guessed")[0] == 404
    assert server.ask("jobs/guessed")[0] == 404
    assert server.ask("jobs/guessed/results/a.png")[0] == 404


def test_refused_option_is_told_in_one_line(server, photo):
    _, job = server.submit("edges", server.upload(photo), scales="100")
    job = server.finished(job)
    assert job["state"] == "failed" and "\n" not in job["error"]
    assert "scales" in job["error"]


def test_result_and_recipe(server, photo):
    _, job = server.submit("edges", server.upload(photo, "my photo.png"), invert=True)
    job = server.finished(job)
    assert (job["state"], job["error"]) == ("done", None)
    assert job["pictures"] == ["my_photo.png"]
    assert job["files"] == ["my_photo.png", "my_photo.png.json"]
    assert job["progress"]["done"] == job["progress"]["total"]
    assert job["typed"] == ["imgtool", "edges", "my_photo.png", "--invert", "-o", "results/"]
    _, data = server.ask(f"jobs/{job['id']}/results/my_photo.png")
    assert server.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(data)).size == (140, 100)
    _, recipe = server.ask(f"jobs/{job['id']}/results/my_photo.png.json")
    assert json.loads(recipe)["options"]["invert"] is True
    assert server.ask(f"jobs/{job['id']}/given")[1] == photo


@pytest.mark.parametrize("kind", ["text", "bomb", "truncated"])
def test_hostile_pictures(server, photo, bomb, kind):
    data = {"text": b"no picture", "bomb": bomb, "truncated": photo[: len(photo) // 2]}[kind]
    _, job = server.submit("edges", server.upload(data, "evil.png"))
    job = server.finished(job)
    assert job["state"] == "failed" and job["error"].startswith("evil.png: ")
    assert not job["files"]


def test_ends_with_its_jobs_and_files(start, tmp_path, photo, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = start()
    _, job = server.submit("edges", server.upload(photo))
    while job["state"] == "waiting":
        time.sleep(0.05)
        _, job = server.ask(f"jobs/{job['id']}")
    children = subprocess.run(
        ["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert children
    assert server.close().splitlines()[-1] == "error: terminated"
    assert server.process.returncode == 143
    assert not list(tmp_path.iterdir())
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


def test_without_the_extra():
    script = "import sys; sys.modules['starlette'] = None; from imgtool.cli.main import run; sys.exit(run(['serve']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.endswith("Try: pip install 'imgtool[web]'")


def test_port_that_is_taken(server):
    command = [sys.executable, "-m", "imgtool", "serve", "--port", str(server.place.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("error: cannot listen on 127.0.0.1, port ")
