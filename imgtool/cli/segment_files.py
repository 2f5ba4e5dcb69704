"""What `imgtool segment` writes of a picture, strip by strip, and all of it or nothing."""

import csv
import io
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.segment import BESIDE, TABLE
from imgtool.cli.session import Session
from imgtool.imaging.labels import MEASURES, contours_over, label_layout, mask_over, measured, palette
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.imaging.raster import Raster
from imgtool.imaging.sheet import draw_sheet
from imgtool.imaging.strips import Layout, StripWriter
from imgtool.options.segment import SegmentOptions
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import Probabilities, Scale, Segmenter, classes_of, foreground

WHOLE = ("instances", "contours")  # kinds for which a picture must be known whole
PIECE_PIXELS = 1 << 20  # that are drawn at once
SHEET_SIDE = 1024  # pixels of a picture's sides that a sheet shows


class SegmentFiles:
    """The outputs of one job. A context manager: at its end they are there, and after an error none is.

    Attributes:
        pixels: that were found to be no background.
        highest: probability of it.
        objects: how many there are, once they were counted.

    Args:
        session: of the command.
        job: whose outputs they are.
        raster: the picture, as the model sees it.
        scale: its statistics.
        segmenter: the model.
        options: of the task, with its threshold.
        values: the command's by parameter name.
        recipes: of each kind.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        raster: Raster,
        scale: Scale,
        segmenter: Segmenter,
        options: SegmentOptions,
        values: Mapping[str, Any],
        recipes: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.session, self.job, self.raster, self.scale = session, job, raster, scale
        self.segmenter, self.options, self.values, self.recipes = segmenter, options, values, recipes
        self.threshold = options.threshold if options.threshold is not None else segmenter.threshold
        self.pixels, self.highest = 0, 0.0
        self.objects: int | None = None
        self._stack = ExitStack()
        self._kept: list[Probabilities] = []
        self._sheet = _Sheet(raster) if values["sheet"] and job.leads else None
        self._overlay = _Overlay(self._view, raster)
        self._writers: dict[str, StripWriter] = {}

    def __enter__(self) -> "SegmentFiles":
        self._writers = {
            kind: self._opened(kind, self._layout(kind)) for kind in self.job.outputs if kind not in WHOLE
        }
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            try:
                self._finish()
            except BaseException as late:
                self._stack.__exit__(type(late), late, late.__traceback__)
                raise
        self._stack.__exit__(*error)

    @property
    def needs_all(self) -> bool:
        """Whether the probability of each class is needed, not only that of being no background."""
        return self._several or any(kind in WHOLE for kind in self.job.outputs)

    @property
    def _several(self) -> bool:
        """Whether a mask has more to tell than yes and no."""
        return len(self.segmenter.classes) > 2 and not self.segmenter.objects

    def add(self, place: slice, found: Probabilities) -> None:
        """Write what can be written of some rows, from the top: all classes, or what is no background alone."""
        step = max(1, PIECE_PIXELS // self.raster.width)
        for top in range(place.start, place.stop, step):
            piece = slice(top, min(top + step, place.stop))
            self._add(piece, found[:, top - place.start : piece.stop - place.start])
        if any(kind in WHOLE for kind in self.job.outputs):
            self._kept.append(found)

    def _add(self, place: slice, found: Probabilities) -> None:
        """A few rows, so that all that is made of them is small."""
        front, classes = foreground(found), classes_of(found, self.threshold)
        self.pixels += int((classes > 0).sum())
        self.highest = max(self.highest, float(front.max()))
        for kind, writer in self._writers.items():
            rows = self._drawn(kind, front, classes)
            if len(rows):
                writer.write(rows)
        if self._sheet:
            self._sheet.add(place, self._view(place), front, self._tinted(classes))

    def _finish(self) -> None:
        """Write what needs the whole picture, and what stands beside the outputs."""
        if "overlay" in self._writers:
            self._writers["overlay"].write(self._overlay.rest())
        if self._kept:
            self._write_objects(np.concatenate(self._kept, axis=1))
        if self._sheet:
            self.session.write_beside(self.job, BESIDE["sheet"], self._sheet.drawn())

    def _opened(self, kind: str, layout: Layout) -> StripWriter:
        strips = self.session.strips(
            self.job.of(kind), layout, self.recipes[kind], sidecar=self.values["sidecar"]
        )
        return self._stack.enter_context(strips)

    def _layout(self, kind: str) -> Layout:
        size = (self.raster.height, self.raster.width)
        if kind == "overlay":
            return Layout(*size, channels=3)
        if kind == "probability":
            if self.job.of(kind).suffix == "npy":
                return Layout(*size, dtype=np.float32)
            return Layout(*size, dtype=np.uint8 if self.values["bits"] == "8" else np.uint16)
        return Layout(*size, palette=palette(len(self.segmenter.classes)) if self._several else None)

    def _drawn(self, kind: str, front: Probabilities, classes: NDArray[np.uint8]) -> NDArray[Any]:
        """The rows of one kind that can be written now."""
        if kind == "probability":
            raw = self.job.of(kind).suffix == "npy"
            return front if raw else levels(front, bits=int(self.values["bits"]))
        if kind == "overlay":
            return self._overlay.added(self._tinted(classes))
        return classes if self._several else (classes > 0) * np.uint8(255)

    def _tinted(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What an overlay shows: classes, or that something is there."""
        return classes if self._several else np.minimum(classes, 1)

    def _view(self, place: slice) -> NDArray[np.uint8]:
        """Rows of a picture to look at, in its own colours."""
        return self.scale.viewable(self.raster.given.rows(place.start, place.stop))

    def _write_objects(self, found: Probabilities) -> None:
        """Objects, their table and their outlines."""
        labels = instances_of(
            found, self.threshold, objects=self.segmenter.objects, min_area=self.options.min_area
        )
        count = self.objects = int(labels.max())
        if "instances" in self.job.outputs:
            one = self.job.of("instances")
            layout = label_layout(labels.shape, count, one.suffix)
            self.session.write_text_beside(one, TABLE, self._table(labels, found))
            self._opened("instances", layout).write(labels)
            if layout.palette is None and one.suffix == "png":
                console.warn(
                    f"{one}: {count} objects as numbers of 16 bits look black in a viewer; "
                    "--kind contours shows them"
                )
        if "contours" in self.job.outputs:
            layout = Layout(self.raster.height, self.raster.width, channels=3)
            self._opened("contours", layout).write(
                contours_over(self._view(slice(0, self.raster.height)), labels)
            )

    def _table(self, labels: NDArray[np.int32], found: Probabilities) -> str:
        classes = self._tinted(classes_of(found, self.threshold))
        names = ("", "object") if self.segmenter.objects else self.segmenter.classes
        text = io.StringIO()
        writer = csv.DictWriter(text, MEASURES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(measured(labels, foreground(found), classes=classes, names=names))
        return text.getvalue()


class _Overlay:
    """The classes over a picture, one row behind what is known, for outlines depend on the rows above and below.

    Args:
        view: rows of the picture to look at.
        raster: the picture.
    """

    def __init__(self, view: Callable[[slice], NDArray[np.uint8]], raster: Raster) -> None:
        self.view, self.top, self.done = view, 0, 0
        # Classes from the row `top` on: of the last one that was drawn, and of those that are not yet
        self.known = np.empty((0, raster.width), np.uint8)

    def added(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The rows that can be drawn, now that more are known."""
        self.known = np.concatenate([self.known, classes])
        return self._drawn(self.top + len(self.known) - 1)

    def rest(self) -> NDArray[np.uint8]:
        """The last row."""
        return self._drawn(self.top + len(self.known))

    def _drawn(self, end: int) -> NDArray[np.uint8]:
        drawn = mask_over(self.view(slice(self.top, self.top + len(self.known))), self.known)
        rows = drawn[self.done - self.top : end - self.top]
        above = max(0, end - 1)
        self.known, self.top, self.done = self.known[above - self.top :], above, end
        return rows


class _Sheet:
    """A small picture of a large one, gathered on the way."""

    def __init__(self, raster: Raster) -> None:
        self.step = max(1, -(-max(raster.height, raster.width) // SHEET_SIDE))
        self.photo: list[NDArray[np.uint8]] = []
        self.front: list[Probabilities] = []
        self.classes: list[NDArray[np.uint8]] = []

    def add(
        self, place: slice, photo: NDArray[np.uint8], front: Probabilities, classes: NDArray[np.uint8]
    ) -> None:
        """The rows of a strip, each so-many-th of them."""
        first = -place.start % self.step
        rows = (slice(first, None, self.step), slice(None, None, self.step))
        self.photo.append(photo[rows].copy())
        self.front.append(front[rows].copy())
        self.classes.append(classes[rows].copy())

    def drawn(self) -> Picture:
        """Picture, probability and mask beside each other."""
        photo, front = np.concatenate(self.photo), np.concatenate(self.front)
        return draw_sheet(
            [
                ("picture", Picture(photo)),
                ("probability", Picture.gray(levels(front))),
                ("mask", Picture(mask_over(photo, np.concatenate(self.classes)))),
            ]
        )
