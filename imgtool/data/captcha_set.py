"""Sets of captchas on disk: written shard by shard, so that each is whole or not there, and read back.

DIR/manifest.json           how the set was made
DIR/shards/00000.jsonl      what shard 0 holds, written when all of it is there
DIR/[SPLIT/]labels.jsonl    {"file": …, "text": …} a line, paths from here; with a "member" or "row"
DIR/[SPLIT/]labels.csv      the same
DIR/[SPLIT/]truth.jsonl     with every glyph
DIR/[SPLIT/]000000.png, or 00000.tar (WebDataset), or 00000.npy
DIR/[SPLIT/]masks/000000.png
"""

import csv
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from imgtool.errors import DataError
from imgtool.files import TEMPORARY_PREFIX, atomic_write, output_errors, printable
from imgtool.imaging.quick import decoded, encoded

MANIFEST = "manifest.json"
LABELS, TRUTH, MASKS, SHARDS = "labels.jsonl", "truth.jsonl", "masks", "shards"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawn:
    """A captcha on its way into a set.

    Attributes:
        index: its number.
        text: what it says.
        pixels: (H, W, 3).
        glyphs: what is known of each glyph, as JSON holds it; empty if that is not asked for.
        mask: (H, W) numbers of glyphs, or None.
    """

    index: int
    text: str
    pixels: Pixels
    glyphs: Sequence[Mapping[str, Any]] = ()
    mask: Pixels | None = None


@dataclass(frozen=True)
class SetShape:
    """How a set is cut and stored.

    Attributes:
        count: pictures.
        start: number of the first one.
        shard: pictures in each shard.
        layout: one of `CAPTCHA_LAYOUTS`.
        format: of pictures, one of `CAPTCHA_FORMATS`.
        quality: of JPEG and WebP.
        splits: shares by name; empty for a set without parts.
        seed: which texts belong to which split depends on it.
    """

    count: int
    start: int = 0
    shard: int = 1000
    layout: str = "files"
    format: str = "png"
    quality: int = 90
    splits: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.count // self.shard)

    def indices(self, shard: int) -> range:
        """The numbers of a shard's pictures."""
        first = self.start + shard * self.shard
        return range(first, min(first + self.shard, self.start + self.count))

    def split_of(self, text: str) -> str:
        """The part that a text belongs to, wherever and however often it is drawn; "" for a set without parts."""
        if not self.splits:
            return ""
        digest = hashlib.sha256(f"{self.seed}:{text}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64 * sum(self.splits.values())
        for name, share in self.splits.items():
            place -= share
            if place < 0:
                return name
        return name

    def name(self, index: int) -> str:
        """Of a picture, without its suffix."""
        return f"{index:06d}"


def write_shard(folder: Path, shape: SetShape, shard: int, drawn: Iterable[Drawn]) -> None:
    """Store a shard's captchas, and then the word that they are all there.

    Args:
        folder: of the set.
        shape: of the set.
        shard: its number.
        drawn: all of its captchas, in order.
    Raises:
        OutputError: it cannot be written.
    """
    store = {"files": _as_files, "tar": _as_tars, "npy": _as_arrays}[shape.layout]
    with output_errors(folder):
        records = store(folder, shape, shard, drawn)
    with atomic_write(_record_path(folder, shard)) as file:
        for record in records:
            file.write(_line(record))


def is_whole(folder: Path, shape: SetShape, shard: int) -> bool:
    """Whether all of a shard is there."""
    try:
        records = list(_records(folder, shard))
    except (OSError, ValueError):
        return False
    files = {folder / record["split"] / record["file"] for record in records}
    return len(records) == len(shape.indices(shard)) and all(map(Path.is_file, files))


def write_labels(folder: Path, shape: SetShape) -> None:
    """Tell what the set holds, once all shards are there: labels and truth of each part."""
    for split in shape.splits or ("",):
        place = folder / split
        with ExitStack() as stack:
            labels = stack.enter_context(atomic_write(place / LABELS))
            table = stack.enter_context(atomic_write(place / "labels.csv"))
            text = stack.enter_context(_text(table))
            truth: BinaryIO | None = None
            keys = ["file", *_place_key(shape.layout), "text"]
            rows = csv.writer(text, lineterminator="\n")
            rows.writerow(keys)
            for shard in range(shape.shards):
                for record in _records(folder, shard):
                    if record.pop("split") != split:
                        continue
                    rows.writerow([record[key] for key in keys])
                    labels.write(_line({key: record[key] for key in keys}))
                    if "glyphs" in record:
                        truth = truth or stack.enter_context(atomic_write(place / TRUTH))
                        truth.write(_line(record))


def remove_set(folder: Path, shape: SetShape) -> None:
    """Delete all that a set wrote, and nothing else."""
    for shard in range(shape.shards):
        with suppress(OSError, ValueError):
            for record in _records(folder, shard):
                place = folder / record["split"]
                (place / record["file"]).unlink(missing_ok=True)
                if "mask" in record:
                    (place / record["mask"]).unlink(missing_ok=True)
        _record_path(folder, shard).unlink(missing_ok=True)
    for split in (*shape.splits, ""):
        for name in (LABELS, "labels.csv", TRUTH, MANIFEST):
            (folder / split / name).unlink(missing_ok=True)
        for inside in (MASKS, SHARDS, "") if split else (MASKS, SHARDS):
            with suppress(OSError):  # it holds something else, or is not there
                (folder / split / inside).rmdir()


def _as_files(folder: Path, shape: SetShape, shard: int, drawn: Iterable[Drawn]) -> list[dict[str, Any]]:
    """A picture a file. They are written apart and moved when all are there."""
    apart = folder / f"{TEMPORARY_PREFIX}{shard:05d}"
    shutil.rmtree(apart, ignore_errors=True)
    records = []
    try:
        for each in drawn:
            record = _record(shape, each)
            place = apart / record["split"]
            place.mkdir(parents=True, exist_ok=True)
            record["file"] = f"{shape.name(each.index)}.{shape.format}"
            (place / record["file"]).write_bytes(encoded(each.pixels, shape.format, quality=shape.quality))
            if each.mask is not None:
                record["mask"] = f"{MASKS}/{shape.name(each.index)}.png"
                (place / MASKS).mkdir(exist_ok=True)
                (place / record["mask"]).write_bytes(encoded(each.mask, "png"))
            records.append(record)
        for record in records:
            for name in filter(None, (record["file"], record.get("mask"))):
                target = folder / record["split"] / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (apart / record["split"] / name).replace(target)
    finally:
        shutil.rmtree(apart, ignore_errors=True)
    return records


def _as_tars(folder: Path, shape: SetShape, shard: int, drawn: Iterable[Drawn]) -> list[dict[str, Any]]:
    """A tar for each part, as WebDataset reads them: NAME.png, NAME.txt; if asked for NAME.json, NAME.mask.png."""
    records = []
    with ExitStack() as stack:
        tars: dict[str, tarfile.TarFile] = {}
        for each in drawn:
            record = _record(shape, each)
            split, name = record["split"], shape.name(each.index)
            record |= {"file": f"{shard:05d}.tar", "member": f"{name}.{shape.format}"}
            if split not in tars:
                file = stack.enter_context(atomic_write(folder / split / record["file"]))
                tars[split] = stack.enter_context(
                    tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)
                )
            _add(tars[split], record["member"], encoded(each.pixels, shape.format, quality=shape.quality))
            _add(tars[split], f"{name}.txt", each.text.encode())
            if each.glyphs:
                _add(tars[split], f"{name}.json", _line({"text": each.text, "glyphs": each.glyphs}))
            if each.mask is not None:
                _add(tars[split], f"{name}.mask.png", encoded(each.mask, "png"))
            records.append(record)
    return records


def _as_arrays(folder: Path, shape: SetShape, shard: int, drawn: Iterable[Drawn]) -> list[dict[str, Any]]:
    """An array for each part, (N, H, W, 3) uint8, and one of masks if asked for."""
    records: list[dict[str, Any]] = []
    pixels: dict[str, list[Pixels]] = {}
    masks: dict[str, list[Pixels]] = {}
    for each in drawn:
        record = _record(shape, each)
        rows = pixels.setdefault(record["split"], [])
        record |= {"file": f"{shard:05d}.npy", "row": len(rows)}
        rows.append(each.pixels)
        if each.mask is not None:
            masks.setdefault(record["split"], []).append(each.mask)
            record["mask"] = f"{MASKS}/{record['file']}"
        records.append(record)
    for arrays, inside in ((pixels, ""), (masks, MASKS)):
        for split, rows in arrays.items():
            with atomic_write(folder / split / inside / f"{shard:05d}.npy") as file:
                np.save(file, np.stack(rows))
    return records


def _record(shape: SetShape, drawn: Drawn) -> dict[str, Any]:
    glyphs = {"glyphs": list(drawn.glyphs)} if drawn.glyphs else {}
    return {"split": shape.split_of(drawn.text), "file": "", "text": drawn.text, **glyphs}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member whose header tells nothing of when and by whom it was made."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _text(file: BinaryIO) -> "io.TextIOWrapper":
    return _Unclosing(file, encoding="utf-8", newline="")


class _Unclosing(io.TextIOWrapper):
    """Text written into a file that somebody else will close."""

    def __exit__(self, *_: object) -> None:
        self.flush()
        self.detach()


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _record_path(folder: Path, shard: int) -> Path:
    return folder / SHARDS / f"{shard:05d}.jsonl"


def _records(folder: Path, shard: int) -> Iterator[dict[str, Any]]:
    with _record_path(folder, shard).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _place_key(layout: str) -> list[str]:
    """What tells a picture's place in its file."""
    return {"files": [], "tar": ["member"], "npy": ["row"]}[layout]


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
    for number, record in enumerate(_rows(labels), start=1):
        where = f"{printable(labels)}, line {number}"
        file, text = record.get("file"), record.get("text")
        if not isinstance(file, str) or not isinstance(text, str) or not file or not text:
            raise DataError(f"{where}: expected a file and a text, found {printable(str(record))[:80]}")
        place = labels.parent / file
        if not place.is_file():
            raise DataError(f"{where}: {printable(file)} is not there")
        items.append(CaptchaItem(str(record.get("member", file)), text, _reader(place, record, where)))
    if not items:
        raise DataError(f"{printable(labels)} holds no labels")
    return items


def _labels_file(path: Path) -> Path:
    if path.is_file():
        return path
    for name in (LABELS, "labels.csv"):
        if (path / name).is_file():
            return path / name
    parts = sorted(each.parent.name for each in path.glob(f"*/{LABELS}")) if path.is_dir() else []
    hint = f"{printable(path / parts[0])}" if parts else "imgtool captcha-gen -n 1000 -o DIR"
    raise DataError(f"{printable(path)} holds no {LABELS} or labels.csv", hint=hint)


def _rows(labels: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with labels.open(encoding="utf-8", newline="") as lines:
            if labels.suffix.lower() == ".csv":
                yield from csv.DictReader(lines)
                return
            for number, line in enumerate(lines, start=1):
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise DataError(
                        f"{printable(labels)}, line {number}: expected an object, found {line[:40]!r}"
                    )
                yield record
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{printable(labels)} cannot be read: {error}") from error


def _reader(place: Path, record: Mapping[str, Any], where: str) -> Callable[[], Pixels]:
    """How a picture is read when its turn comes."""

    def read() -> Pixels:
        try:
            if "row" in record:
                pixels: Pixels = np.array(
                    np.load(place, mmap_mode="r", allow_pickle=False)[int(record["row"])]
                )
                return pixels
            if "member" in record:
                member = _opened(place).extractfile(str(record["member"]))
                return decoded(member.read() if member else b"")
            return decoded(place.read_bytes())
        except (OSError, ValueError, LookupError, tarfile.TarError) as error:
            raise DataError(f"{where}: {printable(place)} cannot be read: {error}") from error

    return read


@lru_cache(maxsize=8)
def _opened(tar: Path) -> tarfile.TarFile:
    """A tar that stays open, for it is searched once and read often."""
    return tarfile.open(tar)
