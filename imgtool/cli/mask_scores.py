"""What `imgtool score masks` tells of its scores: names, numbers, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.data.coding import Coding
from imgtool.imaging.report import Plot
from imgtool.metrics.masks import BORDER_THRESHOLDS, ClassScores
from imgtool.tasks.score_masks import (
    HALF,
    OVERLAPS,
    BorderCounts,
    BorderSet,
    ClassSet,
    ObjectImage,
    ObjectSet,
    share,
)


@dataclass(frozen=True)
class Told:
    """Scores in words.

    Attributes:
        rows: names, numbers, and what they are.
        summary: the same for programs.
        images: each picture's numbers.
        worst_by: which of these ranks pictures, the lowest first.
        columns: which of them a table has, and what they are called there.
        plot: a curve for the report, and its title.
    """

    rows: Sequence[tuple[str, float, str]]
    summary: dict[str, Any]
    images: Sequence[dict[str, Any]]
    worst_by: str
    columns: dict[str, str]
    plot: tuple[str, Plot] | None = None


def told_borders(scores: BorderSet, coding: Coding) -> Told:
    """Of pictures of two values."""
    names, best = coding.names, scores.best
    cells = f"regions of {names[1]}"
    rows = [
        (
            "V-Rand",
            best.rand,
            f"{cells}, best F with one threshold, {best.threshold:g}: "
            f"splits {scores.rand_split:.3f}, mergers {scores.rand_merge:.3f}",
        ),
        (
            "V-Info",
            best.info,
            f"the same by information, best with {best.info_threshold:g}: "
            f"splits {scores.info_split:.3f}, mergers {scores.info_merge:.3f}",
        ),
        ("V-Rand at 0.5", best.rand_at_half, "with the threshold 0.5"),
        ("V-Info at 0.5", best.info_at_half, "with the threshold 0.5"),
        ("pixel error", scores.error, "share of wrong pixels at 0.5"),
        (
            "best pixel error",
            scores.best_error,
            f"least with one threshold, {scores.error_threshold:g}",
        ),
        *_class_rows(names, scores.dice, scores.iou, "mean over the pictures at 0.5"),
    ]
    summary = {
        "v_rand": best.rand,
        "v_rand_threshold": best.threshold,
        "v_rand_split": scores.rand_split,
        "v_rand_merge": scores.rand_merge,
        "v_info": best.info,
        "v_info_threshold": best.info_threshold,
        "v_info_split": scores.info_split,
        "v_info_merge": scores.info_merge,
        "v_rand_at_half": best.rand_at_half,
        "v_info_at_half": best.info_at_half,
        "pixel_error": scores.error,
        "pixel_error_best": scores.best_error,
        "pixel_error_threshold": scores.error_threshold,
        "dice": _by_name(names, scores.dice),
        "iou": _by_name(names, scores.iou),
    }
    plot = Plot(
        {
            "V-Rand": list(zip(BORDER_THRESHOLDS, scores.rands.tolist(), strict=True)),
            "V-Info": list(zip(BORDER_THRESHOLDS, scores.infos.tolist(), strict=True)),
        },
        "threshold",
        "score",
        unit=True,
        marks={f"{best.rand:.3f}": (best.threshold, best.rand)},
    )
    columns = {
        "v_rand": "V-Rand",
        "v_info": "V-Info",
        "v_rand_split": "splits",
        "v_rand_merge": "mergers",
        "pixel_error": "pixel error at 0.5",
    }
    images = [_border_image(image, scores, names) for image in scores.images]
    return Told(rows, summary, images, "v_rand", columns, ("Scores over the threshold", plot))


def _border_image(image: BorderCounts, scores: BorderSet, names: Sequence[str]) -> dict[str, Any]:
    """One picture at the thresholds that are best for all."""
    rand, info, half = (image.table[at] for at in (scores.rand_at, scores.info_at, HALF))
    return {
        "v_rand": rand.rand,
        "v_rand_split": rand.rand_split,
        "v_rand_merge": rand.rand_merge,
        "v_info": info.info,
        "v_info_split": info.info_split,
        "v_info_merge": info.info_merge,
        "v_rand_at_half": half.rand,
        "v_info_at_half": half.info,
        "pixel_error": float(image.errors[HALF]),
        "dice": _by_name(names, image.half.dice),
        "iou": _by_name(names, image.half.iou),
    }


def told_classes(scores: ClassSet, coding: Coding) -> Told:
    """Of pictures of several classes."""
    names, all_pixels = coding.names, scores.scores
    rows = [
        ("pixel error", all_pixels.error, "share of pixels with the wrong class"),
        ("mean Dice", all_pixels.mean_dice, "over the classes"),
        ("mean IoU", all_pixels.mean_iou, "over the classes"),
        *_class_rows(names, all_pixels.dice, all_pixels.iou, "over the pixels of all pictures"),
    ]
    columns = {"mean_iou": "mean IoU", "mean_dice": "mean Dice", "pixel_error": "pixel error"}
    images = [_class_record(names, image) for image in scores.images]
    return Told(rows, _class_record(names, all_pixels), images, "mean_iou", columns)


def _class_record(names: Sequence[str], scores: ClassScores) -> dict[str, Any]:
    return {
        "pixel_error": scores.error,
        "mean_dice": scores.mean_dice,
        "mean_iou": scores.mean_iou,
        "dice": _by_name(names, scores.dice),
        "iou": _by_name(names, scores.iou),
    }


def told_objects(scores: ObjectSet) -> Told:
    """Of pictures of objects."""
    precisions, mean = scores.precisions, float(scores.precisions.mean())
    objects = sum(image.counts.truth for image in scores.images)
    found = sum(image.counts.found for image in scores.images)
    ends = f"{OVERLAPS[0]:g} to {OVERLAPS[-1]:g}"
    rows = [
        ("AP at 0.5", float(precisions[0]), "TP / (TP + FP + FN) at an IoU of 0.5, mean over the pictures"),
        ("mean AP", mean, f"the same at IoUs of {ends}"),
        (
            "precision",
            scores.precision,
            f"share of the {found} found objects that are right, at an IoU of 0.5",
        ),
        ("recall", scores.recall, f"share of the {objects} true objects that were found, at an IoU of 0.5"),
        ("Dice", scores.dice, "of what is no background, mean over the pictures"),
    ]
    curve = list(zip(OVERLAPS, precisions.tolist(), strict=True))
    summary = {
        "ap": float(precisions[0]),
        "mean_ap": mean,
        "ap_by_iou": {f"{overlap:g}": value for overlap, value in curve},
        "precision": scores.precision,
        "recall": scores.recall,
        "dice": scores.dice,
        "found": found,
        "objects": objects,
    }
    columns = {
        "ap": "AP at 0.5",
        "mean_ap": "mean AP",
        "precision": "precision",
        "recall": "recall",
        "dice": "Dice",
        "found": "found",
        "objects": "objects",
    }
    plot = Plot({"AP": curve}, "IoU from which on an object is found", "AP", unit=True)
    images = [_object_image(image) for image in scores.images]
    return Told(rows, summary, images, "ap", columns, ("Average precision over the IoU", plot))


def _object_image(image: ObjectImage) -> dict[str, Any]:
    counts = image.counts
    return {
        "ap": float(counts.precisions[0]),
        "mean_ap": float(counts.precisions.mean()),
        "precision": share(int(counts.hits[0]), counts.found),
        "recall": share(int(counts.hits[0]), counts.truth),
        "dice": image.dice,
        "found": counts.found,
        "objects": counts.truth,
    }


def _class_rows(
    names: Sequence[str], dice: NDArray[np.float64], iou: NDArray[np.float64], about: str
) -> list[tuple[str, float, str]]:
    return [
        (f"{what} of {name}", float(value), about)
        for what, values in (("Dice", dice), ("IoU", iou))
        for name, value in zip(names, values, strict=True)
    ]


def _by_name(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    """None for a class that neither is there nor was found."""
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(names, values, strict=True)
    }
