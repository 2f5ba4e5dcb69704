import json

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from imgtool.errors import WeightsError
from imgtool.imaging.raster import raster_of
from imgtool.nn.hed import HED
from imgtool.nn.unet import UNet
from imgtool.options.segment import SegmentOptions
from imgtool.runtime.checkpoints import described, halved, save_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.load import load_segmenter
from imgtool.tasks.objects import instances_of
from imgtool.tasks.segment import (
    Segmenter,
    classes_of,
    foreground,
    memory_needed,
    only,
    probabilities,
    probability_strips,
    scale_of,
    tiling_of,
)

CPU = Device(torch.device("cpu"), torch.float32, "test")
WHOLE = 4096  # a tile that no picture here fills


def network_of(channels=1, classes=2, *, width=4, depth=2, norm=True, seed=0):
    """Random weights and statistics, with probabilities far from one another."""
    torch.manual_seed(seed)
    network = UNet(channels, classes, width=width, depth=depth, norm=norm)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network.requires_grad_(False).eval()


def segmenter_of(channels=1, classes=2, *, dtype=torch.float32, probes=False, **shape):
    names = tuple(map(str, range(classes)))
    return Segmenter(network_of(channels, classes, **shape), dtype, names, probes=probes)


def picture(height, width, channels=1, *, seed=0, dtype=np.uint8):
    random = np.random.default_rng(seed)
    return raster_of(random.integers(0, 256, (height, width, channels)).astype(dtype))


def case(number, most):
    """A random size and tile."""
    random = np.random.default_rng((11, number))
    return int(random.integers(1, most)), int(random.integers(1, most)), int(random.integers(16, most))


def require_equal(raster, segmenter, tile, **options):
    """Tiles give the whole's numbers to the bit."""
    whole = probabilities(raster, segmenter, tile=WHOLE, **options)
    tiled = probabilities(raster, segmenter, tile=tile, **options)
    assert whole.shape == (segmenter.network.classes, raster.height, raster.width)
    assert np.isfinite(whole).all()
    assert np.array_equal(whole, tiled), (raster.height, raster.width, tile)
    return whole


@pytest.mark.parametrize("probes", [False, True])
@pytest.mark.parametrize("number", range(3))
def test_tiles_equal_the_whole_in_fp32(number, probes):
    height, width, tile = case(number, 600)
    found = require_equal(picture(height, width), segmenter_of(probes=probes), tile)
    assert np.ptp(found) > 0.2  # or nothing would be proved


@pytest.mark.parametrize("probes", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_tiles_equal_the_whole_in_bf16(number, probes):
    """Nothing keeps windows large here: tiles may be as small as a stride."""
    height, width, tile = case(number, 260)
    segmenter = segmenter_of(dtype=torch.bfloat16, probes=probes, width=8)
    assert np.ptp(require_equal(picture(height, width), segmenter, tile // 4)) > 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_equal_the_whole_when_turned_and_flipped(dtype):
    """Window sizes are such that poolings begin alike from either end."""
    require_equal(picture(71, 50), segmenter_of(dtype=dtype, probes=True), 40, tta=True)


def test_many_tiles_in_fp32_equal_the_whole():
    """More rows and columns of tiles than one, each of a window that is larger than what it keeps."""
    require_equal(picture(430, 450), segmenter_of(width=2, depth=1), 100)


@pytest.mark.parametrize("depth", [1, 3])
def test_tiles_equal_the_whole_at_other_depths(depth):
    require_equal(picture(210, 90), segmenter_of(depth=depth, width=2, dtype=torch.bfloat16), 33)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (2, 3)])
@pytest.mark.parametrize("probes", [False, True])
def test_tiny_pictures(size, probes):
    found = require_equal(picture(*size), segmenter_of(dtype=torch.bfloat16, probes=probes), 16)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pictures_of_many_channels(channels):
    segmenter = segmenter_of(channels, 3, dtype=torch.bfloat16)
    require_equal(picture(90, 61, channels, dtype=np.uint16), segmenter, 24)


@pytest.mark.parametrize("classes", [2, 4])
def test_is_the_network_on_the_mirrored_picture(classes):
    """By numpy's own mirroring and torch's softmax."""
    segmenter = segmenter_of(3, classes)
    raster = picture(50, 60, 3)
    samples = raster.whole().astype(np.float64)
    network = segmenter.network
    mean, deviation = samples.mean(axis=(0, 1)), samples.std(axis=(0, 1))
    frame = [
        (network.halo, network.halo + network.output_side(length) - length) for length in samples.shape[:2]
    ]
    mirrored = np.pad((samples - mean) / deviation, [*frame, (0, 0)], mode="reflect")
    image = torch.from_numpy(mirrored.transpose(2, 0, 1)[None].copy()).float()
    expected = network(image).softmax(dim=1)[0, :, :50, :60].numpy()
    np.testing.assert_allclose(probabilities(raster, segmenter, tile=WHOLE), expected, atol=2e-4)


def test_turns_and_flips_are_averaged():
    segmenter = segmenter_of(dtype=torch.float32, depth=1)
    samples = picture(30, 44).whole()
    found = probabilities(raster_of(samples), segmenter, tile=WHOLE, tta=True)
    turned = probabilities(
        raster_of(np.ascontiguousarray(np.rot90(samples))), segmenter, tile=WHOLE, tta=True
    )
    plain = probabilities(raster_of(samples), segmenter, tile=WHOLE)
    assert np.abs(found - plain).max() > 0.01
    # Not alike to the bit, for poolings begin at another pixel where the whole is turned; far from it they are close.
    assert np.corrcoef(np.rot90(found, axes=(1, 2))[1].ravel(), turned[1].ravel())[0, 1] > 0.9


def test_turns_and_flips_by_hand():
    """Each of the eight views of a mirrored picture is turned back before it is added."""
    segmenter = segmenter_of(depth=1)
    network = segmenter.network
    raster = picture(20, 20)
    window = scale_of(raster)(
        tiling_of(network, WHOLE, torch.float32).cut(
            raster.whole(), next(tiling_of(network, WHOLE, torch.float32).tiles(20, 20))
        )
    )
    views = []
    for turns in range(4):
        for flip in (False, True):
            seen = window.flip(-1) if flip else window
            back = network(torch.rot90(seen, turns, (2, 3))).softmax(1)
            back = torch.rot90(back, -turns, (2, 3))
            views.append(back.flip(-1) if flip else back)
    expected = torch.stack(views).mean(0)[0, :, :20, :20]
    found = probabilities(raster, segmenter, tile=WHOLE, tta=True)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_strips_come_from_the_top_and_progress_counts_tiles():
    told = []
    segmenter = segmenter_of(dtype=torch.bfloat16, depth=1)
    strips = list(
        probability_strips(
            picture(70, 40),
            segmenter,
            tile=32,
            on_tile=lambda done, total: told.append((done, total)),
        )
    )
    assert [place for place, _ in strips] == [slice(0, 32), slice(32, 64), slice(64, 70)]
    assert [found.shape for _, found in strips] == [(2, 32, 40), (2, 32, 40), (2, 6, 40)]
    assert told == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64, np.bool_])
def test_statistics_by_strips_are_the_wholes(dtype, monkeypatch):
    monkeypatch.setattr("imgtool.imaging.raster.STRIP_BYTES", 1000)
    samples = np.random.default_rng(3).integers(0, 2 if dtype == np.bool_ else 250, (90, 31, 3)).astype(dtype)
    raster = raster_of(samples)
    assert len(list(raster.strips())) > 3
    found = scale_of(raster)
    np.testing.assert_allclose(found.mean, samples.mean(axis=(0, 1), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, samples.astype(np.float64).std(axis=(0, 1)), rtol=1e-6)


def test_statistics_of_numbers_far_from_zero_lose_no_digits():
    samples = 1e5 + np.random.default_rng(0).normal(0, 2, (60, 60, 1))
    assert scale_of(raster_of(samples)).deviation[0] == pytest.approx(samples.std(), rel=1e-6)


def test_a_flat_channel_is_only_shifted():
    samples = np.full((9, 9, 2), 200, np.uint8)
    samples[..., 1] = np.arange(81).reshape(9, 9)
    scale = scale_of(raster_of(samples))
    assert scale.deviation[0] == 1
    assert (scale(samples)[0, 0] == 0).all()
    assert scale(samples)[0, 1].std(correction=0) == pytest.approx(1, rel=1e-5)


def test_probes_do_not_depend_on_the_tile_and_change_the_result():
    raster = picture(150, 90)
    network = network_of()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    own = Segmenter(network, torch.float32, ("a", "b"), probes=True)
    running = Segmenter(network, torch.float32, ("a", "b"))
    assert np.abs(probabilities(raster, own, tile=64) - probabilities(raster, running, tile=64)).max() > 0.01
    for name, each in network.state_dict().items():
        assert torch.equal(each, before[name]), name  # the model itself keeps its statistics


def test_foreground_and_classes():
    found = np.array([[[0.6, 0.4, 0.5, 0.1]], [[0.3, 0.35, 0.1, 0.45]], [[0.1, 0.25, 0.4, 0.45]]], np.float32)
    np.testing.assert_allclose(foreground(found), [[0.4, 0.6, 0.5, 0.9]], rtol=1e-6)
    assert classes_of(found, 0.5).tolist() == [[0, 1, 2, 1]]
    assert classes_of(found, 0.35).tolist() == [[1, 1, 2, 1]]
    assert classes_of(found, 0.95).max() == 0
    assert (foreground(found[:2]) == found[1]).all()


def test_only_some_classes():
    found = np.array([[[0.2]], [[0.3]], [[0.5]]], np.float32)
    kept = only(found, (1,))
    np.testing.assert_allclose(kept[:, 0, 0], [0.7, 0.3, 0], rtol=1e-6)
    assert only(found, (1, 2)) is found


def discs():
    """Two objects whose rims touch, and a thin one that is all rim: probabilities of background, core and rim."""
    y, x = np.mgrid[:40, :60]
    first, second = np.hypot(y - 20, x - 16), np.hypot(y - 20, x - 36)
    core = (np.minimum(first, second) < 7).astype(np.float32)
    all_ = (np.minimum(first, second) < 11) | ((x > 52) & (x < 55) & (y > 4) & (y < 30))
    core, all_ = 0.8 * core, 0.9 * all_.astype(np.float32)
    return np.stack([1 - all_, core, all_ - core]).astype(np.float32)


def test_cores_part_objects_that_touch():
    labels = instances_of(discs(), 0.5, objects=True, min_area=0)
    assert labels.max() == 3
    assert labels[20, 16] != labels[20, 36]
    assert labels[20, 53] not in (0, labels[20, 16], labels[20, 36])  # it has no core and stands for itself
    assert ((labels > 0) == (foreground(discs()) >= 0.5)).all()
    background = discs()[0]
    as_regions = instances_of(np.stack([background, 1 - background]), 0.5, objects=False, min_area=0)
    assert as_regions.max() == 2


def test_objects_that_are_hardly_there_are_left_out():
    found = discs()
    assert instances_of(found, 0.75, objects=True, min_area=0).max() == 3
    found[1:, :, :28] *= (
        0.95 * (0.5 + 0.75 / 2) / 0.9
    )  # the first: everywhere above 0.75, nowhere half-way to 1
    found[0] = 1 - found[1] - found[2]
    labels = instances_of(found, 0.75, objects=True, min_area=0)
    assert (labels.max(), labels[20, 16]) == (2, 0)
    assert labels[20, 36] and labels[20, 53]


def test_small_objects_are_left_out_and_numbers_have_no_gap():
    found = np.zeros((2, 20, 20), np.float32)
    found[1, 2:4, 2:4] = found[1, 8:14, 8:14] = found[1, 16, 16] = 1
    found[0] = 1 - found[1]
    assert instances_of(found, 0.5, objects=False, min_area=0).max() == 3
    labels = instances_of(found, 0.5, objects=False, min_area=4)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert labels[16, 16] == 0
    assert instances_of(found, 0.5, objects=False, min_area=1000).max() == 0
    nothing = np.stack([np.ones((9, 9)), np.zeros((9, 9)), np.zeros((9, 9))]).astype(np.float32)
    assert instances_of(nothing, 0.5, objects=True, min_area=0).max() == 0


def test_objects_of_two_classes_that_touch_are_two():
    found = np.zeros((3, 20, 20), np.float32)
    found[1, 5:10, 3:9], found[2, 5:10, 9:16] = 0.9, 0.8
    found[0] = 1 - found[1:].sum(axis=0)
    labels = instances_of(found, 0.5, objects=False, min_area=0)
    assert [labels[7, 4], labels[7, 12], labels[0, 0]] == [1, 2, 0]


def test_what_a_weak_bridge_joins_comes_apart():
    front = np.zeros((12, 30), np.float32)
    front[2:10, 2:12] = front[2:10, 16:28] = 0.95
    front[5:7, 12:16] = 0.55
    labels = instances_of(np.stack([1 - front, front]), 0.5, objects=False, min_area=0)
    assert labels.max() == 2
    assert (labels[front > 0] > 0).all()


def test_memory_grows_with_the_tile_and_the_whole():
    segmenter = segmenter_of(dtype=torch.bfloat16)
    raster = picture(900, 900)
    small, large = (
        memory_needed(raster, SegmentOptions(tile=tile), segmenter, whole=False) for tile in (64, 512)
    )
    assert small < large
    assert large < memory_needed(raster, SegmentOptions(tile=512), segmenter, whole=True)


def test_memory_of_fp32_counts_the_window_that_is_taken():
    """Tiles below the least window need as much as it."""
    raster, segmenter = picture(900, 900), segmenter_of()
    needed = [
        memory_needed(raster, SegmentOptions(tile=tile), segmenter, whole=False) for tile in (16, 200, 388)
    ]
    assert len(set(needed)) == 1


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_viewable(channels):
    raster = picture(20, 30, channels)
    seen = scale_of(raster).viewable(raster.whole())
    assert seen.shape == (20, 30, 3)
    assert (seen[..., 0] == raster.whole()[..., 0]).all()
    deep = raster_of(raster.whole().astype(np.uint16) * 100)
    spread = scale_of(deep).viewable(deep.whole())
    assert spread.dtype == np.uint8
    assert 90 < spread.mean() < 165


def test_all_tensors_are_on_the_networks_device():
    """Fake tensors refuse an operation on two devices."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            network = UNet(1, 2, width=2, depth=1).eval()
        assert network(torch.rand(1, 1, 32, 32, device="cuda")).device.type == "cuda"
    elsewhere = network_of(depth=1).to("meta")
    window = torch.rand(1, 1, 32, 32, device="meta")
    assert elsewhere.folded()(window).device.type == "meta"


# Files of weights


def weights_file(path, network, about, *, called="unet"):
    tensors = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
    metadata = {"network": called, "preprocessing": "none", "segment": about}
    save_tensors(path, halved(tensors), metadata)
    return WeightsFile("model", path, "", called, "none", "test")


def test_loads_what_the_file_says(tmp_path):
    about = json.dumps({"classes": ["bg", "core", "rim"], "objects": True, "threshold": 0.3, "probes": True})
    network = network_of(2, 3)
    segmenter = load_segmenter(weights_file(tmp_path / "a.safetensors", network, about), CPU)
    assert (segmenter.classes, segmenter.objects) == (("bg", "core", "rim"), True)
    assert (segmenter.threshold, segmenter.probes, segmenter.dtype) == (0.3, True, torch.float32)
    assert torch.equal(segmenter.network.head.weight, network.head.weight.half().float())
    assert not any(each.requires_grad for each in segmenter.network.parameters())


def test_a_file_that_says_nothing_has_numbers_for_classes(tmp_path):
    segmenter = load_segmenter(weights_file(tmp_path / "a.safetensors", network_of(1, 4), "{}"), CPU)
    assert segmenter.classes == ("0", "1", "2", "3")
    assert (segmenter.threshold, segmenter.objects, segmenter.probes) == (0.5, False, False)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("{", "no segmenter"),
        ("[]", "no segmenter"),
        ('{"classes": ["a"]}', "names 1 classes and has 2"),
        ('{"threshold": 2}', "threshold of 2"),
        ('{"threshold": NaN}', "threshold of nan"),
        ('{"threshold": "high"}', "high"),
        ('{"objects": true}', "objects"),
        ("[" * 100_000, "no segmenter"),
    ],
)
def test_refuses_what_a_file_says_wrongly(tmp_path, about, words):
    with pytest.raises(WeightsError, match=words):
        load_segmenter(weights_file(tmp_path / "a.safetensors", network_of(), about), CPU)


def test_probes_need_a_normalisation(tmp_path):
    plain = weights_file(tmp_path / "a.safetensors", network_of().folded(), '{"probes": true}')
    with pytest.raises(WeightsError, match="no normalisation"):
        load_segmenter(plain, CPU)


def test_other_weights_are_refused(tmp_path):
    other = weights_file(tmp_path / "a.safetensors", HED((2, 2, 2, 2, 2)), "{}", called="hed")
    with pytest.raises(WeightsError, match="holds hed, expected unet"):
        load_segmenter(other, CPU)
    disguised = weights_file(tmp_path / "b.safetensors", HED((2, 2, 2, 2, 2)), "{}")
    with pytest.raises(WeightsError, match=r"down0\.first\.weight is missing"):
        load_segmenter(disguised, CPU)


@pytest.mark.parametrize(
    "changes",
    [
        {"down0.first.weight": (512, 1, 3, 3)},
        {f"down{level}.first.weight": (1,) for level in range(3, 9)},
        {"merge1.second.weight": (4, 4, 3, 4)},
        {"up0.bias": (3,)},
        {"merge0.first.weight": None},
    ],
    ids=str,
)
def test_other_sizes_are_refused_before_anything_large_is_made(tmp_path, changes, monkeypatch):
    network, largest, plain = network_of(), 0, torch.empty
    tensors = described(network, "unet")[0]
    tensors |= {name: shape and torch.zeros(shape) for name, shape in changes.items()}
    kept = {name: each for name, each in tensors.items() if each is not None}
    save_tensors(tmp_path / "a.safetensors", kept, {"segment": "{}"})

    def measured(*size, **options):
        nonlocal largest
        tensor = plain(*size, **options)
        largest = max(largest, 0 if tensor.is_meta else tensor.numel())
        return tensor

    monkeypatch.setattr(torch, "empty", measured)
    with pytest.raises(WeightsError, match="expected float32"):
        load_segmenter(WeightsFile("model", tmp_path / "a.safetensors", "", "unet", "none", "test"), CPU)
    assert largest < 10_000


def test_damaged_numbers_are_refused(tmp_path):
    network = network_of()
    network.head.bias[0] = torch.nan
    with pytest.raises(WeightsError, match=r"head\.bias holds NaN"):
        load_segmenter(weights_file(tmp_path / "a.safetensors", network, "{}"), CPU)


def test_nothing_of_one_picture_is_left_for_the_next():
    segmenter = segmenter_of(dtype=torch.bfloat16, probes=True)
    first = probabilities(picture(40, 40), segmenter, tile=WHOLE)
    probabilities(picture(30, 60, seed=5), segmenter, tile=WHOLE)
    assert np.array_equal(first, probabilities(picture(40, 40), segmenter, tile=WHOLE))
