"""What a set of captchas says of its pictures once all are there: labels as lines and as a table, and truth."""

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

from imgtool.data.captcha_shards import LABELS, PLACES, TABLE, TRUTH, SetShape, as_line, records_of, truth_of
from imgtool.files import atomic_write


def write_labels(folder: Path, shape: SetShape) -> None:
    """Tell what the set holds, once all shards are there: labels and truth of each part."""
    keys = ["file", *PLACES[shape.layout], "text"]
    with ExitStack() as stack:
        parts = {
            split: _Labels(stack, folder / split, keys, truth=shape.truth) for split in shape.splits or ("",)
        }
        for shard in range(shape.shards):
            truth = truth_of(folder, shard) if shape.truth else repeat(b"")
            for record, line in zip(records_of(folder, shard), truth, strict=False):
                parts[record["split"]].add(record, line)


class _Labels:
    """The labels of a part, as lines of JSON and as a table."""

    def __init__(self, stack: ExitStack, place: Path, keys: Sequence[str], *, truth: bool) -> None:
        self.keys = keys
        self.lines = stack.enter_context(atomic_write(place / LABELS))
        table = stack.enter_context(atomic_write(place / TABLE))
        self.rows = csv.writer(stack.enter_context(_text(table)), lineterminator="\n")
        self.rows.writerow(keys)
        self.truth = stack.enter_context(atomic_write(place / TRUTH)) if truth else None

    def add(self, record: Mapping[str, Any], truth: bytes) -> None:
        """A picture, with its line of truth."""
        self.rows.writerow([record[key] for key in self.keys])
        self.lines.write(as_line({key: record[key] for key in self.keys}))
        if self.truth:
            self.truth.write(truth)


def _text(file: BinaryIO) -> "io.TextIOWrapper":
    return _Unclosing(file, encoding="utf-8", newline="")


class _Unclosing(io.TextIOWrapper):
    """Text written into a file that somebody else will close."""

    def __exit__(self, *_: object) -> None:
        self.flush()
        self.detach()
