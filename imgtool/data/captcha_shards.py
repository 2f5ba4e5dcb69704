"""Sets of captchas as they are written: shard by shard, so that each is whole or not there.

DIR/manifest.json           how the set was made
DIR/shards/00000.jsonl      what shard 0 holds, written when all of it is there
DIR/shards/00000.truth      its lines of truth.jsonl, apart from what is read again and again
DIR/[SPLIT/]labels.jsonl    {"file": …, "text": …} a line, paths from here; with a "member" or "row"
DIR/[SPLIT/]labels.csv      the same
DIR/[SPLIT/]truth.jsonl     with every glyph
DIR/[SPLIT/]000000.png, or 00000.tar (WebDataset), or 00000.npy
DIR/[SPLIT/]masks/000000.png
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.tar import Tar
from imgtool.files import TEMPORARY_PREFIX, atomic_write, output_errors, settle
from imgtool.imaging.quick import encoded
from imgtool.options.captcha import CAPTCHA_FORMATS, CAPTCHA_LAYOUTS

MANIFEST = "manifest.json"
LABELS, TABLE, TRUTH, SHEET = "labels.jsonl", "labels.csv", "truth.jsonl", "sheet.png"
KEYS = ("split", "file", "text")  # of each record
MASKS, SHARDS = "masks", "shards"
# What tells a picture's place in its file.
PLACES = {"files": [], "tar": ["member"], "npy": ["row"]}

_JSON = json.JSONEncoder(ensure_ascii=False)
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
        truth: whether every glyph is told.
        masks: whether each pixel's glyph is.
        splits: shares by name; empty for a set without parts.
        seed: which texts belong to which split depends on it.
    """

    count: int
    start: int = 0
    shard: int = 1000
    layout: str = "files"
    format: str = "png"
    quality: int = 90
    truth: bool = False
    masks: bool = False
    splits: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("count", 1), ("start", 0), ("shard", 1), ("quality", 1), ("seed", 0)):
            _require(isinstance(getattr(self, name), int) and getattr(self, name) >= low, name)
        _require(self.layout in CAPTCHA_LAYOUTS and self.format in CAPTCHA_FORMATS, "layout or format")
        _require(isinstance(self.splits, Mapping), "splits")
        for name, share in self.splits.items():
            good = isinstance(name, str) and name.isidentifier() and name not in (MASKS, SHARDS)
            _require(good and isinstance(share, int | float) and 0 < share < math.inf, f"split {name!r}")

    @classmethod
    def of(cls, found: Any) -> "SetShape":
        """The shape that a manifest tells.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(**found)
        except TypeError as error:
            raise ValueError(f"it tells no shape of a set: {error}") from error

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.count // self.shard)

    def indices(self, shard: int) -> range:
        """The numbers of a shard's pictures."""
        first = self.start + shard * self.shard
        return range(first, min(first + self.shard, self.start + self.count))

    def index_of(self, name: str) -> int | None:
        """The number of the picture that a file of this name holds; None if it is none of the set's."""
        stem, _, suffix = name.partition(".")
        if self.layout != "files" or suffix != self.format or not stem.isdecimal():
            return None
        index = int(stem) - self.start
        return int(stem) if 0 <= index < self.count and _stem(int(stem)) == stem else None

    def split_of(self, text: str) -> str:
        """The part that a text belongs to, wherever and however often it is drawn; "" for a set without parts."""
        if not self.splits:
            return ""
        digest = hashlib.sha256(f"{self.seed}:{text}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64 * sum(self.splits.values())
        for name, share in sorted(self.splits.items()):
            place -= share
            if place < 0:
                return name
        return max(self.splits)

    def files(self, shard: int) -> Iterator[str]:
        """All that a shard may have written, from the folder of its part."""
        if self.layout == "files":
            names = [f"{_stem(index)}.{self.format}" for index in self.indices(shard)]
            masks = [f"{MASKS}/{_stem(index)}.png" for index in self.indices(shard)]
        else:
            names = [f"{shard:05d}.{self.layout}"]
            masks = [f"{MASKS}/{shard:05d}.npy"]
        yield from names
        yield from masks


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise ValueError(f"its {name} is none of a set")


def _stem(index: int) -> str:
    """The name of a picture."""
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
        settle({folder, *(path.parent for path in _files_of(folder, records))})
    if shape.truth:
        with atomic_write(_truth_path(folder, shard)) as file:
            file.writelines(as_line(_without(record, "split")) for record in records)
    with atomic_write(_record_path(folder, shard)) as file:
        file.writelines(as_line(_without(record, "glyphs")) for record in records)


def is_whole(folder: Path, shape: SetShape, shard: int) -> bool:
    """Whether all of a shard is there."""
    try:
        records = list(records_of(folder, shard))
        told = sum(1 for _ in truth_of(folder, shard)) if shape.truth else len(records)
        whole = len(records) == told == len(shape.indices(shard))
        return whole and all(each.stat().st_size for each in _files_of(folder, records))
    except (OSError, ValueError):
        return False


def missing(folder: Path, shape: SetShape, shards: Collection[int]) -> list[int]:
    """Those of some shards that are not whole; while some have no record, which a glance tells, these alone."""
    to_begin = [each for each in shards if not _record_path(folder, each).exists()]
    return to_begin or [each for each in shards if not is_whole(folder, shape, each)]


def _files_of(folder: Path, records: Sequence[Mapping[str, Any]]) -> set[Path]:
    """The files that records name."""
    names = {(each["split"], each[kind]) for each in records for kind in ("file", "mask") if kind in each}
    return {folder / split / name for split, name in names}


def remove_set(folder: Path, shape: SetShape) -> None:
    """Delete what a set of this shape writes, and nothing else; what its records say is not asked."""
    parts = (*shape.splits, "")
    for shard in range(shape.shards):
        for name in shape.files(shard):
            for split in parts:
                (folder / split / name).unlink(missing_ok=True)
        for path in (_record_path(folder, shard), _truth_path(folder, shard)):
            path.unlink(missing_ok=True)
        _remove_apart(folder, shard)
    for split in parts:
        for name in (LABELS, TABLE, TRUTH) if split else (LABELS, TABLE, TRUTH, MANIFEST, SHEET):
            (folder / split / name).unlink(missing_ok=True)
        for inside in (MASKS, "") if split else (MASKS, SHARDS):
            with suppress(OSError):  # it holds something else, or is not there
                (folder / split / inside).rmdir()


def _remove_apart(folder: Path, shard: int) -> None:
    """Delete what a process left of a shard when it was killed."""
    for left in folder.glob(f"{TEMPORARY_PREFIX}*-{shard:05d}"):
        shutil.rmtree(left, ignore_errors=True)


def _as_files(folder: Path, shape: SetShape, shard: int, drawn: Iterable[Drawn]) -> list[dict[str, Any]]:
    """A picture a file. They are written apart and moved when all are there."""
    _remove_apart(folder, shard)
    apart = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{shard:05d}"
    records = []
    try:
        for each in drawn:
            record = _record(shape, each)
            place = apart / record["split"]
            place.mkdir(parents=True, exist_ok=True)
            record["file"] = f"{_stem(each.index)}.{shape.format}"
            (place / record["file"]).write_bytes(encoded(each.pixels, shape.format, quality=shape.quality))
            if each.mask is not None:
                record["mask"] = f"{MASKS}/{_stem(each.index)}.png"
                (place / MASKS).mkdir(exist_ok=True)
                (place / record["mask"]).write_bytes(encoded(each.mask, "png"))
            records.append(record)
        settle(_files_of(apart, records))
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
        tars: dict[str, Tar] = {}
        for each in drawn:
            record = _record(shape, each)
            split, name = record["split"], _stem(each.index)
            record |= {"file": f"{shard:05d}.tar", "member": f"{name}.{shape.format}"}
            if split not in tars:
                file = stack.enter_context(atomic_write(folder / split / record["file"]))
                tars[split] = stack.enter_context(Tar(file))
            add = tars[split].add
            add(record["member"], encoded(each.pixels, shape.format, quality=shape.quality))
            add(f"{name}.txt", each.text.encode())
            if each.glyphs:
                add(f"{name}.json", as_line({"text": each.text, "glyphs": each.glyphs}))
            if each.mask is not None:
                add(f"{name}.mask.png", encoded(each.mask, "png"))
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


def as_line(record: Mapping[str, Any]) -> bytes:
    """A line of JSON."""
    return _JSON.encode(record).encode() + b"\n"


def _record_path(folder: Path, shard: int) -> Path:
    return folder / SHARDS / f"{shard:05d}.jsonl"


def _truth_path(folder: Path, shard: int) -> Path:
    return _record_path(folder, shard).with_suffix(".truth")


def truth_of(folder: Path, shard: int) -> Iterator[bytes]:
    """The lines of a shard's truth."""
    with _truth_path(folder, shard).open("rb") as lines:
        yield from lines


def _without(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def records_of(folder: Path, shard: int) -> Iterator[dict[str, Any]]:
    """What a shard holds.

    Raises:
        ValueError: it is not what `write_shard` wrote.
    """
    with _record_path(folder, shard).open(encoding="utf-8") as lines:
        for line in lines:
            record = parsed_json(line)
            known = isinstance(record, dict) and all(isinstance(record.get(key), str) for key in KEYS)
            if not known:
                raise ValueError(f"{line[:40]!r} is no record")
            yield record


def parsed_json(text: str) -> Any:
    """JSON that a stranger may have written.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
