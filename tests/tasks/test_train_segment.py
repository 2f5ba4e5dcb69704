import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.data.coding import OBJECT_CLASSES, Coding, coding_of
from imgtool.data.mask_pairs import check_pairs, find_mask_pairs, numbered
from imgtool.imaging.raster import raster_of
from imgtool.metrics.masks import BORDER_THRESHOLDS, average_precision, best_borders, border_table, dice
from imgtool.options.segment import TrainSegmentOptions
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.judge_segment import OBJECT_THRESHOLDS, THRESHOLDS, SegmentJudge
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import Scale, foreground, probabilities
from imgtool.tasks.segment_examples import Examples
from imgtool.tasks.train_segment import SegmentTrainee, recolored
from imgtool.training.loop import Limits, fit
from imgtool.training.run_folder import LAST, MODEL, RunFolder

CPU = Device(torch.device("cpu"), torch.float32, "test")
BF16 = Device(torch.device("cpu"), torch.bfloat16, "test")
META = Device(torch.device("meta"), torch.float32, "test")
TINY = {"width": 4, "depth": 1, "batch": 2, "crop": 32, "steps": 100, "angles": 4, "elastic_spacing": 32}
PICTURES = 4


@pytest.fixture
def data(tmp_path):
    """Bright discs on a dark ground, each with a number of its own."""
    for number in range(PICTURES):
        random = np.random.default_rng(number)
        labels = np.zeros((56, 64), np.uint8)
        y, x = np.mgrid[:56, :64]
        for index, (row, column) in enumerate(((14, 16), (40, 20), (28, 48)), start=1):
            labels[np.hypot(y - row - number, x - column) < 9] = index
        pixels = np.where(labels > 0, 190, 60) + random.normal(0, 12, labels.shape)
        for folder, image in (
            ("images", np.clip(pixels, 0, 255).astype(np.uint8)),
            ("masks", (labels > 0) * np.uint8(255)),
            ("labels", labels),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
    return tmp_path


def examples_of(data, folder="masks", *, part=slice(None), channels=1, **changes):
    options = TrainSegmentOptions(**{**TINY, **changes})
    pairs = find_mask_pairs(data / "images", data / folder)
    coding = coding_of({pair: np.unique(pair.values()) for pair in pairs}, pairs, objects=folder == "labels")
    return Examples(pairs[part], coding, options, channels=channels), options


def trainee_of(data, folder="masks", *, judged=True, device=CPU, metric="dice", channels=1, **changes):
    examples, options = examples_of(data, folder, part=slice(1, None), channels=channels, **changes)
    held_out, _ = examples_of(data, folder, part=slice(0, 1), channels=channels, **changes)
    judge = SegmentJudge(held_out, metric, device) if judged else None
    return SegmentTrainee(examples, options, device=device, judge=judge)


@pytest.mark.parametrize("device", [CPU, BF16])
def test_learns_to_see_discs(data, device):
    trainee = trainee_of(data, learning_rate=1e-2, device=device, average=0.9)
    losses = [trainee.step(number, 0.2)["loss"] for number in range(40)]
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:8])
    assert trainee.score()["dice"] > 0.8


@pytest.mark.parametrize("norm", [True, False])
def test_learns_without_normalisation_and_with_sgd(data, norm):
    trainee = trainee_of(data, norm=norm, optimizer="sgd", momentum=0.9, learning_rate=2e-2)
    losses = [trainee.step(number, 0.2)["loss"] for number in range(40)]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_adam_keeps_decay_apart(data):
    assert isinstance(trainee_of(data, judged=False).optimizer, torch.optim.AdamW)


def test_batch_depends_on_seed_and_number_alone(data):
    first, second = trainee_of(data), trainee_of(data)
    second.batch(3)
    for ours, theirs in zip(first.batch(5), second.batch(5), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first.batch(5)[0], first.batch(6)[0])
    assert not torch.equal(first.batch(5)[0], trainee_of(data, seed=1).batch(5)[0])


def test_shapes_of_a_batch(data):
    trainee = trainee_of(data, channels=3)
    image, classes, borders = trainee.batch(0)
    inner = trainee.network.output_side(32)
    assert image.shape == (2, 3, inner + 2 * trainee.network.halo, inner + 2 * trainee.network.halo)
    assert classes.shape == borders.shape == (2, inner, inner)
    assert classes.dtype == torch.int64
    assert trainee.network(image).shape == (2, 2, inner, inner)


def test_truth_turns_with_the_picture(data):
    """Discs are bright: wherever a crop is turned, bent and scaled to, its truth lies on them."""
    trainee = trainee_of(data, gray=0.0, angles=64)
    halo = trainee.network.halo
    for number in range(4):
        image, classes, _ = trainee.batch(number)
        middle = image[:, 0, halo:-halo, halo:-halo]
        assert middle[classes == 1].mean() - middle[classes == 0].mean() > 1.5
        bright = middle > 0.5 * (middle[classes == 1].mean() + middle[classes == 0].mean())
        assert (bright == (classes == 1)).float().mean() > 0.93


def test_every_pair_is_seen_once_before_any_comes_again(data, monkeypatch):
    trainee = trainee_of(data, batch=3)
    seen = []
    plain = Examples.__getitem__
    monkeypatch.setattr(Examples, "__getitem__", lambda own, index: seen.append(index) or plain(own, index))
    for number in range(4):
        trainee.batch(number)
    assert all(sorted(seen[start : start + 3]) == [0, 1, 2] for start in range(0, 12, 3))


def test_contrast_light_and_inversion():
    random = np.random.default_rng(0)
    image = torch.rand(1, 2, 9, 9)
    still = TrainSegmentOptions(gray=0.0)
    assert torch.equal(recolored(image, still, random), image)
    assert torch.equal(recolored(image, TrainSegmentOptions(gray=0.0, invert=1.0), random), -image)
    assert not torch.equal(recolored(image, TrainSegmentOptions(gray=0.2), random), image)


def test_class_weights_are_those_of_the_definition(data):
    """Of mean 1 over all pixels; with a balance of 1 each class weighs the same in all."""
    examples, _ = examples_of(data, balance=1.0)
    share = np.mean([np.asarray(Image.open(data / f"masks/{n}.png")) > 0 for n in range(PICTURES)])
    weights = examples.class_weights()
    np.testing.assert_allclose(weights, [0.5 / (1 - share), 0.5 / share], rtol=1e-5)
    assert (examples_of(data, balance=0.0)[0].class_weights() == 1).all()


@pytest.mark.parametrize("folder", ["masks", "labels"])
def test_class_weights_are_the_same_from_counts(data, folder, monkeypatch):
    examples, options = examples_of(data, folder)
    weights = examples.class_weights()
    contents = check_pairs(examples.pairs)
    counted = Examples(examples.pairs, examples.coding, options, channels=1, contents=contents)
    if folder == "masks":
        monkeypatch.setattr("imgtool.data.mask_pairs.read_samples", None)  # no file is read
    assert (counted.class_weights() == weights).all()


def test_examples_of_objects(data):
    examples, _ = examples_of(data, "labels")
    example = examples[0]
    assert examples.coding.names == OBJECT_CLASSES
    assert set(np.unique(example.classes)) == {0, 1, 2}
    assert ((example.classes > 0) == (example.objects > 0)).all()
    assert example.borders.max() > 0
    assert (example.borders[example.objects > 0] == 0).all()


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd"}, {"norm": False}])
def test_going_on_is_the_same_to_the_bit(data, kept, changes):
    whole = trainee_of(data, judged=False, **changes)
    for number in range(5):
        whole.step(number, number / 10)
        if number == 1:
            state = kept(whole.state())
    cut = trainee_of(data, judged=False, **changes)
    cut.load_state(state)
    for number in (2, 3, 4):
        cut.step(number, number / 10)
    for part in ("network", "average"):
        for name, tensor in whole.state()[part].items():
            assert torch.equal(tensor, cut.state()[part][name]), name


class _Stopped:
    """A trainee whose run is interrupted before a step."""

    def __init__(self, trainee, at):
        self.trainee, self.at = trainee, at

    def __getattr__(self, name):
        return getattr(self.trainee, name)

    def step(self, number, progress):
        if number == self.at:
            raise KeyboardInterrupt
        return self.trainee.step(number, progress)


def test_a_stopped_run_goes_on_to_the_same_bytes(data, tmp_path):
    limits = Limits(steps=9, score_every=4)
    whole, cut = (RunFolder.new(tmp_path / "runs" / name, {}) for name in ("whole", "cut"))
    fit(trainee_of(data), limits, run=whole, on_step=lambda *told: None)
    first = fit(_Stopped(trainee_of(data), 5), limits, run=cut, on_step=lambda *told: None)
    assert (first.steps, first.interrupted is None) == (5, False)
    second = fit(trainee_of(data), limits, run=cut, on_step=lambda *told: None)
    assert second.steps == 9
    assert (whole.path / MODEL).read_bytes() == (cut.path / MODEL).read_bytes()
    states = [run.load_checkpoint(LAST)["trainee"]["network"] for run in (whole, cut)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def model_file(trainee, path):
    tensors, metadata = trainee.model()
    save_tensors(path, tensors, metadata)
    return WeightsFile("model", path, "", metadata["network"], metadata["preprocessing"], "test")


@pytest.mark.parametrize("probes", [False, True])
def test_model_keeps_the_statistics_and_threshold_that_were_best(data, tmp_path, probes, monkeypatch):
    """`segment` sees what the judge saw, but for the rounding to halves."""
    trainee = trainee_of(data, average=0.5, learning_rate=1e-2)
    for number in range(12):
        trainee.step(number, 0.2)
    plain = SegmentJudge._judged

    def biased(judge, tables, each):
        judgement = plain(judge, tables, each)
        return type(judgement)(1.0 if each is probes else 0.0, 0.35, each, judgement.details)

    monkeypatch.setattr(SegmentJudge, "_judged", biased)
    scores = trainee.score()
    assert (scores["dice"], scores["threshold"]) == (1.0, 0.35)
    assert (scores["probes"], scores["running"]) == (float(probes), float(not probes))
    tensors, metadata = trainee.model()
    about = json.loads(metadata["segment"])
    assert (about["threshold"], about["probes"], about["classes"]) == (0.35, probes, ["0", "255"])
    assert any("norm" in name for name in tensors) == probes
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    segmenter = load_segmenter(model_file(trainee, tmp_path / "m.safetensors"), CPU)
    assert (segmenter.threshold, segmenter.probes) == (0.35, probes)
    example = trainee.judge.examples[0]
    found = probabilities(raster_of(example.pixels), segmenter, tile=512)
    np.testing.assert_allclose(foreground(found), trainee.judge.seen[0], atol=0.01)


def test_model_without_a_judge_has_running_statistics(data):
    trainee = trainee_of(data, judged=False)
    trainee.step(0, 0.5)
    tensors, metadata = trainee.model()
    assert metadata["network"] == "unet"
    about = json.loads(metadata["segment"])
    assert (about["threshold"], about["probes"], about["objects"]) == (0.5, False, False)
    assert not any("norm" in name for name in tensors)
    assert trainee.score() == {}
    assert trainee.samples() == {}


def test_objects_are_judged_by_those_found(data):
    trainee = trainee_of(data, "labels", metric="ap", learning_rate=1e-2, average=0.8)
    for number in range(50):
        trainee.step(number, 0.2)
    scores = trainee.score()
    assert next(iter(scores)) == "ap"
    assert scores["dice"] > 0.8
    assert scores["ap"] > 0.3
    assert json.loads(trainee.model()[1]["segment"])["objects"] is True


def test_borders_are_judged_by_v_rand(data):
    trainee = trainee_of(data, metric="v-rand", learning_rate=1e-2, average=0.8)
    for number in range(20):
        trainee.step(number, 0.2)
    scores = trainee.score()
    assert {"v-rand", "v-info", "v-rand at 0.5"} <= scores.keys()
    assert 0 < scores["v-rand"] <= 1


def test_samples_are_the_worst_and_show_three_views(data):
    examples, options = examples_of(data)
    judge = SegmentJudge(examples, "dice", CPU)
    trainee = SegmentTrainee(examples, options, device=CPU, judge=judge)
    trainee.score()
    samples = trainee.samples()
    assert list(samples) == [f"worst-{place}" for place in range(1, 5)]
    assert all(picture.pixels.shape == (56, 3 * 64, 3) for picture in samples.values())


def test_at_most_so_many_are_judged(data, monkeypatch):
    monkeypatch.setattr("imgtool.tasks.judge_segment.JUDGED", 2)
    examples, _ = examples_of(data)
    assert SegmentJudge(examples, "dice", CPU).chosen == [0, PICTURES - 1]


def test_crops_of_a_large_picture_are_those_of_the_whole(data, monkeypatch):
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        mask = np.kron(random.integers(0, 2, (40, 50), np.uint8), np.ones((10, 10), np.uint8)) * 255
        Image.fromarray(mask).save(data / f"masks/{number}.png")
        Image.fromarray(mask // 2 + random.integers(0, 99, mask.shape, np.uint8)).save(
            data / f"images/{number}.png"
        )
    trainee = trainee_of(data, angles=64)
    scaled = []
    plain = Scale.__call__
    monkeypatch.setattr(
        Scale, "__call__", lambda own, samples: scaled.append(samples.size) or plain(own, samples)
    )
    cut = [trainee.batch(number) for number in range(4)]
    assert max(scaled) <= 400 * 500 / 4
    monkeypatch.setattr("imgtool.data.augment.WORTHWHILE", math.inf)
    for ours, whole in zip(cut, map(trainee.batch, range(4)), strict=True):
        torch.testing.assert_close(ours[0], whole[0], rtol=0, atol=1e-3)
        assert torch.equal(ours[1], whole[1])
        torch.testing.assert_close(ours[2], whole[2], rtol=0, atol=1e-3)
    assert max(scaled) == 400 * 500


@pytest.mark.parametrize("metric", ["dice", "ap", "v-rand"])
def test_scores_are_those_of_all_pictures_at_once(data, metric):
    folder = "labels" if metric == "ap" else "masks"
    trainee = trainee_of(data, folder, metric=metric, learning_rate=1e-2, average=0.8)
    trainee.judge = judge = SegmentJudge(trainee.examples, metric, CPU)
    for number in range(20):
        trainee.step(number, 0.2)
    found = trainee.score()
    network = trainee.average.network
    best = {}
    for probes in (False, True):
        segmenter = judge.segmenter(network, probes=probes)
        truths = [judge.examples[index] for index in judge.chosen]
        seen = [probabilities(raster_of(each.pixels), segmenter, tile=512) for each in truths]
        if metric == "v-rand":
            tables = [
                border_table(foreground(each), truth.objects, BORDER_THRESHOLDS)
                for each, truth in zip(seen, truths, strict=True)
            ]
            scores = best_borders(tables, BORDER_THRESHOLDS)
            best[probes] = (scores.rand, scores.info_threshold)
            continue
        tried = {}
        for threshold in OBJECT_THRESHOLDS if metric == "ap" else THRESHOLDS:
            tried[threshold] = np.mean(
                [
                    average_precision(
                        instances_of(each, threshold, objects=True, min_area=20), numbered(truth.objects)
                    )
                    if metric == "ap"
                    else dice(foreground(each) >= threshold, truth.classes > 0)
                    for each, truth in zip(seen, truths, strict=True)
                ]
            )
        threshold = max(tried, key=tried.get)
        best[probes] = (tried[threshold], threshold)
    assert (found["running"], found["probes"]) == (best[False][0], best[True][0])
    assert (found[metric], found["threshold"]) == max(best.values(), key=lambda pair: pair[0])


def test_a_judge_keeps_halves_of_the_foreground_and_nothing_old(data, monkeypatch):
    trainee = trainee_of(data)
    judge = trainee.judge

    def seen(*arguments, **more):
        assert judge.seen == []
        return probabilities(*arguments, **more)

    monkeypatch.setattr("imgtool.tasks.judge_segment.probabilities", seen)
    for _ in range(2):
        trainee.score()
        assert [(each.shape, each.dtype) for each in judge.seen] == [((56, 64), np.float16)]


def test_memory_is_bounded_by_bytes_and_shared(data, monkeypatch):
    examples, options = examples_of(data)
    size = examples[0].nbytes
    assert size == 56 * 64 * (1 + 1 + 2 + 4)
    held = Examples(examples.pairs, examples.coding, options, channels=1, beside=examples)
    assert held[0] is examples[0]
    examples.kept.room = 2 * size
    for index in range(PICTURES):
        held[index]
    assert [pair.name for pair in examples.kept] == ["2", "3"]


def test_objects_take_four_bytes_whatever_their_numbers(data):
    labels = np.zeros((56, 64), np.uint32)
    labels[4:20, 4:20], labels[30:40, 30:40] = 4_000_000_000, 7
    np.save(data / "labels/0.npy", labels)
    (data / "labels/0.png").unlink()
    objects = examples_of(data, "labels")[0][0].objects
    assert objects.dtype == np.int32
    assert len(np.unique(objects)) == 3
    assert ((objects > 0) == (labels > 0)).all()


def test_objects_with_large_numbers_are_counted_by_few():
    assert numbered(np.array([[0, 70000], [16_000_000, 70000]])).tolist() == [[0, 1], [2, 1]]
    assert numbered(np.array([[9, 9], [4, 4]])).tolist() == [[2, 2], [1, 1]]


def test_whole_step_on_the_meta_device(data):
    examples, options = examples_of(data)
    trainee = SegmentTrainee(examples, options, device=META)
    image, classes, borders = trainee.batch(0)
    assert {each.device.type for each in (image, classes, borders)} == {"meta"}
    from imgtool.losses.masks import weighted_cross_entropy

    loss = weighted_cross_entropy(trainee.network(image), classes, trainee.class_weights[classes] + borders)
    loss.backward()
    trainee.optimizer.step()
    trainee.average.update(trainee.network, 1)
    assert {each.device.type for each in trainee.network.state_dict().values()} == {"meta"}


def test_coding_is_of_the_masks_that_are_given(data):
    assert examples_of(data)[0].coding == Coding((0, 255))
