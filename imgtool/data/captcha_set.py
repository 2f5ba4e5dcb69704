"""Labelled pictures of texts, as `captcha-gen` or somebody else has written them."""

import csv
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.captcha_shards import LABELS, TABLE, TRUTH, parsed_json
from imgtool.errors import BadImage, DataError
from imgtool.files import printable
from imgtool.imaging.io import read_picture
from imgtool.imaging.picture import on_white

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class CaptchaItem:
    """A labelled picture of a set.

    Attributes:
        name: as its line of labels tells it.
        text: its label.
        read: its pixels, (H, W, 3) RGB.
    """

    name: str
    text: str
    read: Callable[[], Pixels]


def read_captcha_set(path: Path) -> list[CaptchaItem]:
    """The pictures of a set with their labels.

    Args:
        path: a folder with labels.jsonl or labels.csv, or such a file.
    Raises:
        DataError: there are no labels, or one of them is none, or names a picture that is not there.
    """
    labels = _labels_file(path)
    items = []
    for number, record in _rows(labels):
        where = f"{printable(labels)}, line {number}"
        file, text = record.get("file"), record.get("text")
        if not isinstance(file, str) or not isinstance(text, str) or not file or not text:
            raise DataError(f"{where}: expected a file and a text, found {printable(str(record))[:80]}")
        if PurePath(file).is_absolute() or ".." in PurePath(file).parts:
            raise DataError(f"{where}: {printable(file)} is not inside the set")
        place = labels.parent / file
        if not _is_file(place):
            raise DataError(f"{where}: {printable(file)} is not there")
        row = f", row {record['row']}" if "row" in record else ""
        items.append(CaptchaItem(f"{record.get('member', file)}{row}", text, _reader(place, record, where)))
    if not items:
        raise DataError(f"{printable(labels)} holds no labels")
    return items


def _is_file(path: Path) -> bool:
    """Whether there is a file, also for a name that no system takes."""
    return os.path.isfile(path)  # noqa: PTH113


def _labels_file(path: Path) -> Path:
    if path.is_file():
        return path
    for name in (LABELS, TABLE):
        if (path / name).is_file():
            return path / name
    parts = sorted(each.parent.name for each in path.glob(f"*/{LABELS}")) if path.is_dir() else []
    hint = (
        f"{printable(path / parts[0])}" if parts else "imgtool captcha-gen -n 1000 -o DIR, which writes both"
    )
    fields = "a file and a text in each line"
    raise DataError(f"{printable(path)} holds no {LABELS} or {TABLE} with {fields}", hint=hint)


def _rows(labels: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The records of a file of labels, each with the number of its line."""
    try:
        with labels.open(encoding="utf-8-sig", newline="") as lines:
            if labels.suffix.lower() == ".csv":
                rows = csv.DictReader(lines)
                yield from ((rows.line_num, row) for row in rows)
                return
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                record = parsed_json(line)
                if not isinstance(record, dict):
                    raise DataError(
                        f"{printable(labels)}, line {number}: expected an object, found {line[:40]!r}"
                    )
                yield number, record
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{printable(labels)} cannot be read: {error}") from error


def _reader(place: Path, record: Mapping[str, Any], where: str) -> Callable[[], Pixels]:
    """How a picture is read when its turn comes."""

    def read() -> Pixels:
        try:
            if "row" in record:
                return _row(place, int(record["row"]))
            if "member" in record:
                return on_white(read_picture(io.BytesIO(_member(place, str(record["member"]))), name=where))
            return on_white(read_picture(place))
        except BadImage as error:
            raise DataError(f"{where}: {error.message}") from error
        except (OSError, ValueError, LookupError, TypeError, RecursionError, tarfile.TarError) as error:
            raise DataError(f"{where}: {printable(place)} cannot be read: {error}") from error

    return read


def _row(place: Path, row: int) -> Pixels:
    pixels = np.load(place, mmap_mode="r", allow_pickle=False)
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"it holds {pixels.dtype} of {pixels.shape}, expected uint8 of (N, H, W, 3)")
    return np.array(pixels[row])


def _member(tar: Path, name: str) -> bytes:
    offset, size = _members(tar, tar.stat().st_mtime_ns)[name]
    with tar.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@lru_cache(maxsize=64)
def _members(tar: Path, changed: int) -> Mapping[str, tuple[int, int]]:
    """Where the members of a tar lie in it; found once, for a tar is read often and in any order."""
    with tarfile.open(tar) as opened:
        return {info.name: (info.offset_data, info.size) for info in opened.getmembers() if info.isreg()}


def glyphs_known(place: Path, most: int) -> list[tuple[float, float]]:
    """Contrast and visible share of each glyph of the first captchas of a set; none, if it does not tell.

    Args:
        place: its folder, or its file of labels.
        most: captchas.
    """
    path = (place if place.is_dir() else place.parent) / TRUTH
    try:
        with path.open(encoding="utf-8") as lines:
            records = [parsed_json(line) for _, line in zip(range(most), lines, strict=False)]
        return [
            (float(glyph["contrast"]), float(glyph["visible"]))
            for record in records
            for glyph in record["glyphs"]
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return []
