"""What `imgtool segment` does for each picture: open it, call the task, write strip by strip, tell."""

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.recipes import Ingredient
from imgtool.cli.segment import ALSO_READABLE, ENDINGS, TABLE
from imgtool.cli.session import Session
from imgtool.cli.sources import READABLE, find_sources
from imgtool.errors import BadImage, OptionError
from imgtool.imaging.labels import MEASURES, contours_over, label_layout, mask_over, measured, palette
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.imaging.raster import Raster, raster_of
from imgtool.imaging.sheet import draw_sheet
from imgtool.imaging.strips import Layout
from imgtool.options import SegmentOptions
from imgtool.runtime.device import require_memory, step_down
from imgtool.runtime.registry import registry
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.segment import (
    Probabilities,
    Scale,
    Segmenter,
    classes_of,
    foreground,
    instances_of,
    memory_needed,
    only,
    probabilities,
    probability_strips,
    scale_of,
)

WHOLE = ("instances", "contours")  # kinds for which a picture must be known whole
SHEET_SIDE = 1024  # pixels of a picture's sides that a sheet shows
NOTHING, ALL = 1e-5, 0.995  # shares of a picture that are worth a word
VERIFIED_SIDE = 900  # pixels of the part on which tiles are proved
VERIFIED_TILES = (128, 272)


class SegmentWork:
    """The model, loaded once; called with a job, it segments one picture.

    Args:
        options: of the task.
        values: the command's other values by parameter name.
    Raises:
        WeightsError, DeviceError: nothing can be done for any picture.
        OptionError: a class that the model does not know.
    """

    def __init__(self, options: SegmentOptions, values: dict[str, Any]) -> None:
        self.options, self.values = options, values
        self.session = Session("segment", values)
        self.segmenter = load_segmenter(self.session.find_weights(values["weights"]), self.session.device)
        self.wanted = _wanted(self.segmenter, values["classes"])
        self.threshold = self.segmenter.threshold if options.threshold is None else options.threshold
        terms = registry()[values["weights"]].data if values["weights"] in registry() else ""
        if "non-commercial" in terms:
            console.warn(f"{values['weights']} was trained on data with terms of their own: {terms}")

    def __call__(self, job: Job) -> dict[str, Any]:
        """Segment one picture and write what was asked for; the fields of its `--json` line."""
        began = time.monotonic()
        with self.session.raster(job.source) as (given, ingredient):
            raster = _seen(given, self.segmenter, str(job.source))
            scale = _scale(raster, str(job.source))
            hint = f"--tile {max(16, self.options.tile // 2)}"
            whole = bool(set(WHOLE) & set(job.outputs))
            tiles = [self.options.tile, max(16, self.options.tile // 2)]
            require_memory(
                self.session.device.torch,
                memory_needed(raster, replace(self.options, tile=tiles[1]), self.segmenter, whole=whole),
                hint="a smaller picture, or --kind mask" if whole else hint,
            )
            share, objects = step_down(
                lambda tile: self._written(job, raster, scale, ingredient, tile),
                tiles,
                say=_say_smaller,
                hint=hint,
            )
            height, width = raster.height, raster.width
        seconds = time.monotonic() - began
        counted = "" if objects is None else f", {objects} objects"
        console.say(f"{job}: {width}x{height}, {share:.1%} found{counted}, {seconds:.2f} s")
        return {
            "width": width,
            "height": height,
            "seconds": round(seconds, 3),
            "metrics": {"share": share, **({} if objects is None else {"objects": objects})},
            **self.session.about(),
        }

    def _written(
        self, job: Job, raster: Raster, scale: Scale, ingredient: Ingredient, tile: int
    ) -> tuple[float, int | None]:
        """One pass over a picture: the share of it that is found, and how many objects, if they were counted."""
        options = replace(self.options, tile=tile, threshold=self.threshold)
        named = {"weights": self.values["weights"]} if self.values["weights"] in registry() else {}
        made = {name: self.values[name] for name in ("classes", "bits")}
        whole = {**asdict(options), **made, **named}
        recipes = {
            kind: self.session.recipe(ingredient, {**whole, "kind": (kind,)})  # each can be made again alone
            for kind in job.outputs
        }
        kept, found_pixels, highest = [], 0, 0.0
        sheet = _Sheet(raster) if self.values["sheet"] else None
        with ExitStack() as stack:
            writers = {
                kind: stack.enter_context(
                    self.session.strips(
                        job.of(kind),
                        self._layout(job, kind, raster),
                        recipes[kind],
                        sidecar=self.values["sidecar"],
                    )
                )
                for kind in job.outputs
                if kind not in WHOLE
            }
            for place, found in self._strips(job, raster, tile):
                front, classes = foreground(found), classes_of(found, self.threshold)
                found_pixels += int((classes > 0).sum())
                highest = max(highest, float(front.max()))
                for kind, writer in writers.items():
                    writer.write(self._drawn(job, kind, raster, scale, place, front, classes))
                if sheet:
                    sheet.add(place, _view(raster, scale, place), front, self._tinted(classes))
                if set(WHOLE) & set(job.outputs):
                    kept.append(found)
        objects = self._objects(job, raster, scale, kept, recipes) if kept else None
        if sheet:
            self.session.write_beside(job, ENDINGS["sheet"], sheet.drawn())
        share = found_pixels / (raster.height * raster.width)
        self._say_odd(job, share, highest)
        return share, objects

    def _strips(self, job: Job, raster: Raster, tile: int) -> Iterator[tuple[slice, Probabilities]]:
        every = self._several() or bool(set(WHOLE) & set(job.outputs))

        def keep(found: Probabilities) -> Probabilities:
            found = only(found, self.wanted)
            return found if every else foreground(found)[None]

        with console.progress(job.source.stem) as on_progress:
            yield from probability_strips(
                raster,
                self.segmenter,
                tile=tile,
                tta=self.options.tta,
                keep=keep,
                on_tile=lambda done, total: on_progress(done, total, ""),
            )

    def _layout(self, job: Job, kind: str, raster: Raster) -> Layout:
        size = (raster.height, raster.width)
        if kind == "overlay":
            return Layout(*size, channels=3)
        if kind == "probability":
            if _format(job.of(kind)) == "npy":
                return Layout(*size, dtype=np.float32)
            return Layout(*size, dtype=np.uint8 if self.values["bits"] == "8" else np.uint16)
        return Layout(*size, palette=palette(len(self.segmenter.classes)) if self._several() else None)

    def _several(self) -> bool:
        """Whether a mask has more to tell than yes and no."""
        return len(self.segmenter.classes) > 2 and not self.segmenter.objects

    def _drawn(
        self,
        job: Job,
        kind: str,
        raster: Raster,
        scale: Scale,
        place: slice,
        front: Probabilities,
        classes: NDArray[np.uint8],
    ) -> NDArray[Any]:
        """The rows of one kind."""
        if kind == "probability":
            raw = _format(job.of(kind)) == "npy"
            return front if raw else levels(front, bits=int(self.values["bits"]))
        if kind == "overlay":
            return mask_over(_view(raster, scale, place), self._tinted(classes))
        return classes if self._several() else np.where(classes > 0, 255, 0).astype(np.uint8)

    def _tinted(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What an overlay shows: classes, or that something is there."""
        return classes if self._several() else np.minimum(classes, 1)

    def _objects(
        self,
        job: Job,
        raster: Raster,
        scale: Scale,
        kept: Sequence[Probabilities],
        recipes: Mapping[str, Mapping[str, Any]],
    ) -> int:
        """Write objects, their table and their outlines; how many there are."""
        found = np.concatenate(kept, axis=1)
        labels = instances_of(
            found, self.threshold, objects=self.segmenter.objects, min_area=self.options.min_area
        )
        count = int(labels.max())
        if "instances" in job.outputs:
            one = job.of("instances")
            layout = label_layout(labels.shape, count, _format(one))
            with self.session.strips(
                one, layout, recipes["instances"], sidecar=self.values["sidecar"]
            ) as writer:
                writer.write(labels)
            if layout.palette is None and _format(one) == "png":
                console.warn(
                    f"{one}: {count} objects as numbers of 16 bits look black in a viewer; "
                    "--kind contours shows them"
                )
            self.session.write_text_beside(one, TABLE, _table(measured(labels, foreground(found))))
        if "contours" in job.outputs:
            layout = Layout(raster.height, raster.width, channels=3)
            with self.session.strips(
                job.of("contours"), layout, recipes["contours"], sidecar=self.values["sidecar"]
            ) as writer:
                writer.write(contours_over(_view(raster, scale, slice(0, raster.height)), labels))
        return count

    def _say_odd(self, job: Job, share: float, highest: float) -> None:
        """Say aloud what is most often a mistake: nothing was found, or everything."""
        model = self.values["weights"]
        if share < NOTHING:
            console.warn(
                f"{job.source}: next to nothing found: probabilities reach {highest:.2f}, the threshold is "
                f"{self.threshold:.2f}. {advised(highest, self.threshold)}, "
                f"or {model} was not trained for such pictures (--weights, train-segment)."
            )
        elif share > ALL:
            console.warn(
                f"{job.source}: {share:.1%} of it was found, with a threshold of {self.threshold:.2f}. Try a higher "
                f"--threshold; or {model} was not trained for such pictures (--weights, train-segment)."
            )


def advised(highest: float, threshold: float) -> str:
    """What to type where next to nothing was found: half of what is reached, but below the threshold."""
    lower = max(0.01, min(highest, threshold) / 2)
    return f"Try --threshold {lower:.2f}, or another size of picture"


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


def verify(
    pictures: Sequence[str], options: SegmentOptions, values: dict[str, Any], *, recursive: bool
) -> int:
    """Segment the middle of each picture whole and in tiles, and tell by how much they differ; the exit code."""
    session = Session("segment", values)
    segmenter = load_segmenter(session.find_weights(values["weights"]), session.device)
    differing = 0
    one = VERIFIED_SIDE + segmenter.network.stride  # not below the side when it is rounded down
    for source in find_sources(pictures, recursive=recursive, suffixes=(*READABLE, *ALSO_READABLE)):
        with session.raster(source) as (given, _):
            raster = raster_of(_middle(_seen(given, segmenter, str(source))))
            _scale(raster, str(source))
        whole = probabilities(raster, segmenter, tile=one, tta=options.tta)
        for tile in dict.fromkeys((*VERIFIED_TILES, options.tile)):
            tiled = probabilities(raster, segmenter, tile=tile, tta=options.tta)
            difference = float(np.abs(tiled - whole).max())
            differing += difference > 0
            size = f"{raster.width}x{raster.height}"
            console.say(f"{source}: {size}, tiles of {tile}: maximum difference {difference:g}")
            console.record({"input": str(source.path), "tile": tile, "metrics": {"difference": difference}})
    return min(1, differing)


def _middle(raster: Raster) -> NDArray[Any]:
    """At most `VERIFIED_SIDE` pixels each way."""
    top, left = (max(0, (side - VERIFIED_SIDE) // 2) for side in (raster.height, raster.width))
    rows = raster.rows(top, min(top + VERIFIED_SIDE, raster.height))
    return np.ascontiguousarray(rows[:, left : left + VERIFIED_SIDE])


def _seen(raster: Raster, segmenter: Segmenter, name: str) -> Raster:
    """A picture with as many channels as the model wants.

    Raises:
        BadImage: it has others.
    """
    try:
        return raster.with_channels(segmenter.network.channels)
    except ValueError as error:
        raise BadImage(name, f"{error} by the model", hint="a model trained on such pictures") from error


def _scale(raster: Raster, name: str) -> Scale:
    """The statistics of a picture.

    Raises:
        BadImage: there are none.
    """
    try:
        return scale_of(raster)
    except ValueError as error:
        raise BadImage(name, str(error)) from error


def _wanted(segmenter: Segmenter, given: str | None) -> tuple[int, ...]:
    """The numbers of the classes to find.

    Raises:
        OptionError: the model has no such class.
    """
    if given is None:
        return tuple(range(1, len(segmenter.classes)))
    names = list(dict.fromkeys(name.strip() for name in given.split(",")))
    known = segmenter.classes[1:]
    for name in names:
        if name not in known or segmenter.objects:
            choices = "one class only" if segmenter.objects else f"classes {', '.join(known)}"
            raise OptionError("classes", f"no {name!r}; the model has {choices}")
    return tuple(segmenter.classes.index(name) for name in names)


def _view(raster: Raster, scale: Scale, place: slice) -> NDArray[np.uint8]:
    """Rows of a picture to look at, in its own colours."""
    return scale.viewable(raster.given.rows(place.start, place.stop))


def _format(job: Job) -> str:
    return job.format if job.to_stream else Path(job.output).suffix[1:].lower()


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, MEASURES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _say_smaller(tile: int) -> None:
    console.warn(f"out of memory; once more with --tile {tile}")
