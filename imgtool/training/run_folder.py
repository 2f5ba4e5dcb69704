"""A training run on disk: a folder that says what was asked for, how it went, and where it can go on."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
from torch import Tensor

from imgtool.errors import DataError, OutputError
from imgtool.files import atomic_write, printable
from imgtool.imaging.io import write_picture
from imgtool.imaging.picture import Picture
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.given import MODEL
from imgtool.runtime.states import load_state, save_state

OPTIONS, LOG, REPORT = "options.json", "log.jsonl", "report.html"
LAST, BEST = "checkpoints/last.safetensors", "checkpoints/best.safetensors"
SAMPLES, TEACHER = "samples", "teacher"
LOCK = ".lock"


class RunFolder:
    """The files of one run; use `new` or `resumed`.

    Attributes:
        path: the folder.
        options: as `options.json` holds them.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path, self.options = path, dict(options)

    @classmethod
    def new(cls, path: Path, options: Mapping[str, Any]) -> "RunFolder":
        """A run that begins; `options` is all that was asked for, as JSON can hold it.

        Raises:
            OutputError: there is a run already, or the folder cannot be written.
        """
        cls.require_new(path)
        run = cls(path, options)
        run.save_options(overwrite=False)
        return run

    def save_options(self, *, overwrite: bool = True) -> None:
        """Write `options.json`."""
        with atomic_write(self.path / OPTIONS, overwrite=overwrite) as file:
            file.write(json.dumps(self.options, indent=2).encode() + b"\n")

    @staticmethod
    def require_new(path: Path) -> None:
        """Refuse a place where a run cannot begin.

        Raises:
            OutputError: there is a run already, or something else.
        """
        if (path / OPTIONS).exists():
            raise OutputError(
                f"{printable(path)} holds a training run already",
                hint="--resume goes on with it, or another -o",
            )
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(f"{printable(path)} is there and is no training run", hint="another -o")

    @classmethod
    def resumed(cls, path: Path) -> "RunFolder":
        """A run that goes on.

        Raises:
            DataError: there is none.
        """
        try:
            return cls(path, dict(json.loads((path / OPTIONS).read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{printable(path)} holds no training run: no readable {OPTIONS}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out: two that train in one folder would write each other's checkpoints.

        Raises:
            OutputError: one is there already.
        """
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise OutputError(f"another process is training in {printable(self.path)}") from error
        try:
            yield
        finally:
            lock.release()

    def log(self, fields: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        line = json.dumps(fields).encode() + b"\n"
        with (self.path / LOG).open("ab") as file:
            file.write(line)

    def history(self) -> list[dict[str, Any]]:
        """The lines of the log that are whole."""
        if not (self.path / LOG).exists():
            return []
        found = []
        for line in (self.path / LOG).read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                fields = json.loads(line)
            except ValueError:  # the process died while it wrote
                continue
            if isinstance(fields, dict) and "step" in fields:
                found.append(fields)
        return found

    def forget_after(self, step: int) -> None:
        """Drop what the log says of steps that the last checkpoint does not know; they are done again."""
        kept = [line for line in self.history() if line.get("step", 0) <= step]
        with atomic_write(self.path / LOG) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())

    def save_checkpoint(self, name: str, state: Mapping[str, Any]) -> None:
        """Write `LAST` or `BEST`, whole or not at all."""
        save_state(self.path / name, state)

    def load_checkpoint(self, name: str) -> dict[str, Any] | None:
        """What was saved; None if nothing was.

        Raises:
            WeightsError: it is damaged.
        """
        path = self.path / name
        return load_state(path) if path.exists() else None

    def save_model(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Write what the command that uses the network takes as --weights."""
        save_tensors(self.path / MODEL, tensors, metadata)

    def teacher_map(self, name: str) -> Path:
        """Where the map that a teacher made of a photo is kept."""
        return self.path / TEACHER / f"{name}.png"

    def save_sample(self, name: str, picture: Picture) -> None:
        """Write `samples/NAME.png`."""
        write_picture(self.path / SAMPLES / f"{name}.png", picture)

    def samples(self) -> list[Path]:
        """The files of the samples, in the order of their names."""
        return sorted((self.path / SAMPLES).glob("*.png"))

    def save_report(self, page: str) -> None:
        """Write `report.html`."""
        with atomic_write(self.path / REPORT) as file:
            file.write(page.encode())


class FollowedRun(RunFolder):
    """A run of which another rank of the same training keeps the files: read here, never written."""

    def save_options(self, *, overwrite: bool = True) -> None:
        """Nothing."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The other rank has the lock."""
        yield

    def log(self, fields: Mapping[str, Any]) -> None:
        """Nothing."""

    def forget_after(self, step: int) -> None:
        """Nothing."""

    def save_checkpoint(self, name: str, state: Mapping[str, Any]) -> None:
        """Nothing."""

    def save_model(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Nothing."""

    def save_sample(self, name: str, picture: Picture) -> None:
        """Nothing."""

    def save_report(self, page: str) -> None:
        """Nothing."""
