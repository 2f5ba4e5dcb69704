"""What `imgtool segment` does for each picture: open it, call the task, hand on its strips, tell."""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.recipes import Ingredient
from imgtool.cli.segment import TABLE
from imgtool.cli.segment_files import WHOLE, SegmentFiles
from imgtool.cli.session import Session
from imgtool.errors import BadImage, OptionError
from imgtool.files import printable
from imgtool.imaging.raster import Raster
from imgtool.imaging.raster_files import CHANNELS_LAST, has_channels_first
from imgtool.options.segment import SegmentOptions
from imgtool.runtime.registry import registry
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.segment import (
    Probabilities,
    Scale,
    Segmenter,
    foreground,
    in_tiles_that_fit,
    only,
    overhead,
    probability_strips,
    scale_of,
)

NOTHING, ALL = 1e-5, 0.995  # shares of a picture that are worth a word
HARDLY = 0.02  # a probability that no threshold helps
SLOW = 3  # times the work of tiles as they usually are that is worth a word


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
        self.told_slow = False
        self.wanted = _wanted(self.segmenter, values["classes"])
        self.threshold = self.segmenter.threshold if options.threshold is None else options.threshold
        terms = registry()[values["weights"]].data if values["weights"] in registry() else ""
        if "non-commercial" in terms:
            console.warn(f"{values['weights']} was trained on data with terms of their own: {terms}")

    def __call__(self, job: Job) -> dict[str, Any]:
        """Segment one picture and write what was asked for; the fields of its `--json` line."""
        began = time.monotonic()
        with self.session.raster(job.source) as (given, ingredient):
            raster = seen_by_model(given, self.segmenter, str(job.source))
            scale = statistics_of(raster, str(job.source))
            self._say_slow(raster)
            share, objects = in_tiles_that_fit(
                lambda tile: self._written(job, raster, scale, ingredient, tile),
                raster,
                self.options,
                self.segmenter,
                whole=bool(set(WHOLE) & set(job.outputs)),
                on_smaller=lambda tile: console.warn(f"out of memory; once more with --tile {tile}"),
            )
            height, width = raster.height, raster.width
        seconds = time.monotonic() - began
        counted = "" if objects is None else f", {objects} objects"
        tables = [str(job.of("instances").beside(TABLE))] if "instances" in job.outputs else []
        made = ", ".join([str(job), *map(printable, tables)])
        console.say(f"{made}: {width}x{height}, {share:.1%} found{counted}, {seconds:.2f} s")
        return {
            "width": width,
            "height": height,
            "seconds": round(seconds, 3),
            "metrics": {"share": share, **({} if objects is None else {"objects": objects})},
            **({"table": tables[0]} if tables else {}),
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
        files = SegmentFiles(self.session, job, raster, scale, self.segmenter, options, self.values, recipes)
        with files:
            for place, found in self._strips(job, raster, scale, tile, every=files.needs_all):
                files.add(place, found)
                del found  # before the next strip is made
        share = files.pixels / (raster.height * raster.width)
        self._say_odd(job, share, files.highest)
        return share, files.objects

    def _strips(
        self, job: Job, raster: Raster, scale: Scale, tile: int, *, every: bool
    ) -> Iterator[tuple[slice, Probabilities]]:
        def keep(found: Probabilities) -> Probabilities:
            found = only(found, self.wanted)
            return found if every else foreground(found)[None]

        with console.progress(job.source.stem) as on_progress:
            yield from probability_strips(
                raster,
                self.segmenter,
                tile=tile,
                tta=self.options.tta,
                scale=scale,
                keep=keep,
                on_tile=lambda done, total: on_progress(done, total, ""),
            )

    def _say_slow(self, raster: Raster) -> None:
        """Say once that most of the work will be what tiles see around them."""
        usual = SegmentOptions.tile
        now, then = (overhead(raster, self.segmenter, tile) for tile in (self.options.tile, usual))
        if now > SLOW * then and not self.told_slow:
            self.told_slow = True
            console.warn(
                f"tiles of {self.options.tile} are slow: with what they see around them the network looks at "
                f"{now:.0f} times the picture, with --tile {usual} at {then:.1f} times, to the same result"
            )

    def _say_odd(self, job: Job, share: float, highest: float) -> None:
        """Say aloud what is most often a mistake: nothing was found, or everything."""
        model = self.values["weights"]
        if share < NOTHING and highest < HARDLY:
            console.warn(
                f"{job.source}: nothing found: no probability is above {highest:.3f}. The picture is plain, or of "
                f"another size than {model} knows, or it was trained for others (--weights, train-segment)."
            )
        elif share < NOTHING:
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


def seen_by_model(raster: Raster, segmenter: Segmenter, name: str) -> Raster:
    """A picture with as many channels as the model wants.

    Raises:
        BadImage: it has others.
    """
    try:
        return raster.with_channels(segmenter.network.channels)
    except ValueError as error:
        first = has_channels_first(raster.height, raster.channels)
        hint = CHANNELS_LAST if first else "a model trained on such pictures"
        raise BadImage(name, f"{error} by the model", hint=hint) from error


def statistics_of(raster: Raster, name: str) -> Scale:
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
