"""What `imgtool segment --verify-tiles` does: the middle of a picture, whole and in tiles, number by number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console, counted
from imgtool.cli.segment_work import seen_by_model, statistics_of
from imgtool.cli.session import Session
from imgtool.cli.sources import Source, find_sources
from imgtool.errors import ImgtoolError
from imgtool.imaging.raster import Raster, raster_of
from imgtool.imaging.suffixes import RASTERS
from imgtool.options.segment import SegmentOptions
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.segment import Segmenter, probabilities

SIDE = 900  # pixels of the part on which tiles are proved
TILES = (128, 272)  # besides the one of the options


def verify(
    pictures: Sequence[str], options: SegmentOptions, values: dict[str, Any], *, recursive: bool
) -> int:
    """Tell by how much tiles differ from the whole, of each picture; the exit code."""
    session = Session("segment", values)
    segmenter = load_segmenter(session.find_weights(values["weights"]), session.device)
    counts = {"equal": 0, "different": 0, "failed": 0}
    for source in find_sources(pictures, recursive=recursive, suffixes=RASTERS):
        try:
            equal = _verified(session, source, segmenter, options)
            counts["equal" if equal else "different"] += 1
        except ImgtoolError as error:
            counts["failed"] += 1
            console.error(error.message, hint=error.hint)
            console.record({"input": str(source.path), "error": error.message})
    if sum(counts.values()) > 1:
        console.say(counted(counts))
    console.record({"summary": counts})
    return min(1, counts["different"] + counts["failed"])


def _verified(session: Session, source: Source, segmenter: Segmenter, options: SegmentOptions) -> bool:
    """Whether tiles of all sizes give the numbers of one window."""
    with session.raster(source) as (given, _):
        raster = raster_of(_middle(seen_by_model(given, segmenter, str(source))))
        statistics_of(raster, str(source))
    one = SIDE + segmenter.network.stride  # not below the side when it is rounded down
    whole = probabilities(raster, segmenter, tile=one, tta=options.tta)
    equal = True
    for tile in dict.fromkeys((*TILES, options.tile)):
        tiled = probabilities(raster, segmenter, tile=tile, tta=options.tta)
        difference = float(np.abs(tiled - whole).max())
        equal &= difference == 0
        told = f"{source}: {raster.width}x{raster.height}, tiles of {tile}: maximum difference {difference:g}"
        if difference:
            console.error(told)
        else:
            console.say(told)
        console.record({"input": str(source.path), "tile": tile, "metrics": {"difference": difference}})
    return equal


def _middle(raster: Raster) -> NDArray[Any]:
    """At most `SIDE` pixels each way."""
    top, left = (max(0, (side - SIDE) // 2) for side in (raster.height, raster.width))
    rows = raster.rows(top, min(top + SIDE, raster.height))
    return np.ascontiguousarray(rows[:, left : left + SIDE])
