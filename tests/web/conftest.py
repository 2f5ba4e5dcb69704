import http.client
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 120


class Server:
    """`imgtool serve` in a process of its own, and a client of it."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "imgtool", "serve", "--port", "0", "--json", "--threads", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "IMGTOOL_EDGES_THIN": "settings do not speak here"},
        )
        told = self.process.stdout.readline()
        assert told, self.process.communicate()[1]
        self.address = json.loads(told)["address"]
        self.place = urlsplit(self.address)

    def ask(self, path="", method="GET", body=None, *, token=None, **headers):
        """Status and body of an answer; JSON is read."""
        connection = http.client.HTTPConnection(self.place.netloc, timeout=WAIT_SECONDS)
        token = self.place.path if token is None else token
        connection.request(method, f"{token}{path}", body, headers)
        answer = connection.getresponse()
        self.headers = answer.headers
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if "json" in answer.headers["content-type"] else data

    def upload(self, data, name="photo.png"):
        status, saved = self.ask(f"pictures?name={quote(name)}", "POST", data)
        assert status == 201, saved
        return saved["id"]

    def submit(self, command, picture, **answers):
        body = json.dumps({"command": command, "picture": picture, "answers": answers})
        return self.ask("jobs", "POST", body)

    def finished(self, job):
        """A job that has ended."""
        end = time.monotonic() + WAIT_SECONDS
        while job["state"] not in ("done", "failed", "cancelled"):
            assert time.monotonic() < end, job
            time.sleep(0.05)
            _, job = self.ask(f"jobs/{job['id']}")
        return job

    def close(self):
        """End it as Ctrl-C does; what it said."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=WAIT_SECONDS)
        return said


@pytest.fixture(scope="session")
def start():
    """Starts a server with options; all are ended, and none has shown a traceback."""
    started = []

    def start(*options):
        started.append(Server(*options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            assert "Traceback" not in server.close()


@pytest.fixture(scope="session")
def photo():
    """A small picture as a file's bytes."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((140, 100)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def bomb():
    """A PNG of a few hundred kilobytes that says it has 400 megapixels, and has them."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()
