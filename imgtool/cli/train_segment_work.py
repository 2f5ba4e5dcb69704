"""What `imgtool train-segment` stands on: pairs, what their masks mean, and the parts of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.console import console
from imgtool.cli.training import Prepared, Training
from imgtool.data.coding import Coding, coding_of
from imgtool.data.mask_pairs import MaskPair, PairContents, check_pairs, find_mask_pairs
from imgtool.errors import DataError, OptionError
from imgtool.files import printable
from imgtool.options.segment import TrainSegmentOptions
from imgtool.runtime.device import Device
from imgtool.tasks.judge_segment import SegmentJudge
from imgtool.tasks.segment_examples import Examples
from imgtool.tasks.train_segment import SegmentTrainee
from imgtool.training.run_folder import RunFolder


def prepare(
    data: Mapping[str, Path], options: TrainSegmentOptions, device: Device, remembered: Mapping[str, Any]
) -> Prepared:
    """The data of a run, checked and told about.

    Raises:
        DataError: a pair is not one, the masks say nothing, or these are no more the data of the run.
    """
    pairs = find_mask_pairs(data["images"], data["masks"])
    train, held_out = parts(pairs, options.val, options.fold)
    about: dict[str, Any] = {
        "pairs": [pair.name for pair in train],
        "held_out": [pair.name for pair in held_out],
    }
    _require_same(about, remembered)
    contents = check_pairs(pairs)
    values = {pair: found.values for pair, found in contents.items()}
    coding = coding_of(values, train, objects=options.objects)
    about["classes"] = list(coding.names)
    _require_same(about, remembered)
    if options.metric == "v-rand" and len(coding.names) > 2:
        raise OptionError("metric", "v-rand is of masks with two classes", hint="--metric dice or ap")
    console.say(f"{len(train)} pairs to train on, {len(held_out)} to choose by; masks hold {coding}")
    blank = [pair for pair, found in values.items() if len(found) == 1]
    if blank:
        console.warn(f"{len(blank)} masks hold one value only, the first {printable(blank[0].mask)}")
    metric = metric_of(options, coding)
    if metric == "v-rand":
        _require_cells(held_out, values, coding)
    channels = _channels(contents)
    examples = Examples(train, coding, options, channels=channels, contents=contents)
    judge = (
        SegmentJudge(Examples(held_out, coding, options, channels=channels, beside=examples), metric, device)
        if held_out
        else None
    )
    return Prepared(
        lambda run, ranks: SegmentTrainee(examples, options, device=device, judge=judge), metric, about
    )


def _require_same(about: Mapping[str, Any], remembered: Mapping[str, Any]) -> None:
    """A run goes on with the data that it began with, or its scores would be of pictures that it was trained on.

    Raises:
        DataError: names the first difference.
    """
    if all(remembered.get(key, now) == now for key, now in about.items()):
        return
    news = "what is held out"
    for what, keys in (("pair", ("pairs", "held_out")), ("class", ("classes",))):
        now = {name for key in keys for name in about.get(key, ())}
        before = {name for key in keys if key in about for name in remembered.get(key, ())}
        if now != before:
            name = min(now ^ before)
            news = f"the {what} {printable(name)} is {'new' if name in now else 'gone'}"
            break
    raise DataError(
        f"the data of the run changed: {news}", hint="the data as it was, or another run with another -o"
    )


def parts(pairs: Sequence[MaskPair], val: float, fold: int) -> tuple[list[MaskPair], list[MaskPair]]:
    """Those to train on, and those to choose by: neighbours in the order of names, for slices resemble each other."""
    count = round(len(pairs) * val) if val < 1 else int(val)
    if val > 0:
        count = max(1, count)
    end = len(pairs) - fold * count
    if count >= len(pairs) or end - count < 0:
        raise DataError(
            f"{len(pairs)} pairs cannot hold out {count} of them as fold {fold}",
            hint="a smaller --val or --fold",
        )
    held = list(pairs[end - count : end])
    return [pair for pair in pairs if pair not in held], held


def metric_of(options: TrainSegmentOptions, coding: Coding) -> str:
    """What is best."""
    if options.metric != "auto":
        return options.metric
    return "ap" if coding.of_objects else "dice"


def _require_cells(
    pairs: Sequence[MaskPair], values: Mapping[MaskPair, NDArray[np.int64]], coding: Coding
) -> None:
    """V-Rand counts pixels of cells only.

    Raises:
        DataError: names the first mask without any.
    """
    for pair in pairs:
        if not len(np.setdiff1d(values[pair], coding.values[:1])):
            raise DataError(
                f"{printable(pair.mask)} is held out and has no cell, which v-rand needs",
                hint="another --val or --fold, or --metric dice",
            )


def _channels(contents: Mapping[MaskPair, PairContents]) -> int:
    """What a network for these images needs: three, if some are in colour.

    Raises:
        DataError: names the first that is neither like the others, nor grey.
    """
    most = max(found.channels for found in contents.values())
    for pair, found in contents.items():
        if found.channels not in (1, most):
            raise DataError(f"{printable(pair.image)} has {found.channels} channels, others have {most}")
    return most


def statistics_told(run: RunFolder) -> str:
    """Which statistics the best network takes for its normalisation, and what the others would have given."""
    scores = [line["score"] for line in run.history() if "probes" in line.get("score", {})]
    if not scores:
        return ""
    best = max(scores, key=lambda each: max(each["running"], each["probes"]))
    own, running = best["probes"], best["running"]
    if own > running:
        return (
            f"normalisation by each picture's own statistics: {own:.3f}, with those of training {running:.3f}"
        )
    return f"normalisation by the statistics of training: {running:.3f}, with each picture's own {own:.3f}"


TRAINING = Training(
    command="train-segment",
    options=TrainSegmentOptions,
    prepare=prepare,
    use=("segment", "IMAGE", "--weights"),
    remark=statistics_told,
)
