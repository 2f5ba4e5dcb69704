import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.data.edge_pairs import find_edge_pairs
from imgtool.errors import WeightsError
from imgtool.losses.edges import OUTSIDE
from imgtool.nn.hed import HED, VGG16_DEPTHS, VGG16_WIDTHS
from imgtool.options.edges import STUDENT, TrainEdgesOptions
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.train_edges import EdgesTrainee, network_to_train

META = Device(torch.device("meta"), torch.float32, "test")
CPU = Device(torch.device("cpu"), torch.float32, "test")
TINY = {**STUDENT, "widths": (4, 4, 6, 6, 8), "decoder": 4, "batch": 2, "crop": 64, "border": 8, "steps": 100}


@pytest.fixture
def data(tmp_path):
    """Discs on a ground, and their outlines."""
    for number in range(3):
        for folder in ("images", "groundTruth"):
            (tmp_path / folder / "train").mkdir(parents=True, exist_ok=True)
        y, x = np.mgrid[:80, :90]
        distance = np.hypot(y - 40, x - 45) - 18 - 5 * number
        pixels = np.where(distance[..., None] < 0, (200, 60, 40), (40, 90, 120)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/train/{number}.png")
        outline = (np.abs(distance) < 0.7) * np.uint8(255)
        Image.fromarray(outline).save(tmp_path / f"groundTruth/train/{number}.png")
    return tmp_path


def trainee_of(data, teacher=None, **changes):
    options = TrainEdgesOptions(**{**TINY, **changes})
    torch.manual_seed(options.seed)
    pairs = find_edge_pairs(data, "train")
    return EdgesTrainee(
        pairs, options, network=network_to_train(options, None), device=CPU, teacher=teacher or {}
    )


def test_learns_to_see_discs(data):
    trainee = trainee_of(data, learning_rate=5e-3)
    losses = [trainee.step(number, 0.2)["annotators"] for number in range(80)]
    assert np.mean(losses[-16:]) < 0.75 * np.mean(losses[:16])


def test_batch_depends_on_seed_and_number_alone(data):
    first, second = trainee_of(data), trainee_of(data)
    second.batch(3)
    for ours, theirs in zip(first.batch(5)[:2], second.batch(5)[:2], strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first.batch(5)[0], first.batch(6)[0])
    assert not torch.equal(first.batch(5)[0], trainee_of(data, seed=1).batch(5)[0])


def test_every_pair_is_seen_once_before_any_comes_again(data, monkeypatch):
    trainee = trainee_of(data, batch=3)
    seen = []
    plain = trainee._crop
    monkeypatch.setattr(trainee, "_crop", lambda pair, random: seen.append(pair.name) or plain(pair, random))
    for number in range(4):
        trainee.batch(number)
    assert all(sorted(seen[start : start + 3]) == ["0", "1", "2"] for start in range(0, 12, 3))


def test_truth_turns_with_the_photo(data):
    """Where the truth has an edge, the crop of the photo changes."""
    trainee = trainee_of(data, flat=0.0, crop_scales=(1.0,))
    images, consensus, _ = trainee.batch(0)
    gray = images.mean(1, keepdim=True)
    change = torch.nn.functional.max_pool2d(gray, 5, 1, 2) + torch.nn.functional.max_pool2d(-gray, 5, 1, 2)
    assert change[consensus > 0.3].min() > 0.05


def test_border_of_a_crop_says_nothing(data):
    consensus = trainee_of(data, flat=0.0).batch(0)[1]
    assert (consensus[..., :8, :] == OUTSIDE).all()
    assert (consensus[..., -8:] == OUTSIDE).all()
    assert (consensus[..., 8:-8, 8:-8] != OUTSIDE).any()


def test_plain_crops_have_no_edge(data):
    images, consensus, _ = trainee_of(data, flat=1.0).batch(0)
    assert (images == images[..., :1, :1]).all()
    assert (consensus == 0).all()


def test_imitates_less_and_less(data):
    teacher = {str(number): np.full((80, 90), 128, np.uint8) for number in range(3)}
    trainee = trainee_of(data, teacher)
    assert trainee.step(0, 0.0)["teacher"] > 0
    assert trainee.step(1, 1.0)["teacher"] == 0


def test_going_on_is_the_same_to_the_bit(data, kept):
    whole = trainee_of(data)
    for number in range(4):
        whole.step(number, number / 10)
        if number == 1:
            state = kept(whole.state())
    cut = trainee_of(data)
    cut.load_state(state)
    for number in (2, 3):
        cut.step(number, number / 10)
    for name, tensor in whole.state()["network"].items():
        assert torch.equal(tensor, cut.state()["network"][name]), name


def test_frozen_blocks_stay(data):
    trainee = trainee_of(data, freeze=2)
    before = {name: value.clone() for name, value in trainee.network.state_dict().items()}
    trainee.step(0, 0.5)
    for name, value in trainee.network.state_dict().items():
        if name.startswith("conv"):
            assert torch.equal(value, before[name]) == (name[4] in "12"), name


def test_model_is_halves_without_normalisation(data):
    trainee = trainee_of(data)
    trainee.step(0, 0.5)
    tensors, metadata = trainee.model()
    assert metadata["network"] == "hed"
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert not any("norm" in name for name in tensors)


def weights_file(path, tensors, network, preprocessing="caffe"):
    from imgtool.runtime.checkpoints import save_tensors

    save_tensors(path, tensors, {})
    return WeightsFile("start", path, "", network, preprocessing, "test")


def test_starts_from_displaced_weights_without_their_displacement(tmp_path):
    weights = HED((2, 2, 2, 2, 2)).state_dict()
    network = network_to_train(
        TrainEdgesOptions(), weights_file(tmp_path / "a.safetensors", weights, "hed", "hed")
    )
    assert network.shifts == (0,) * 5
    assert torch.equal(network.state_dict()["conv5_3.weight"], weights["conv5_3.weight"])


def test_starts_from_vgg_with_sides_that_say_nothing(tmp_path):
    blocks = {
        name: tensor
        for name, tensor in HED(VGG16_WIDTHS, VGG16_DEPTHS).state_dict().items()
        if "conv" in name
    }
    start = weights_file(tmp_path / "a.safetensors", blocks, "vgg16", "torchvision")
    network = network_to_train(TrainEdgesOptions(start="vgg16"), start)
    assert torch.equal(network.conv3_2.weight.data, blocks["conv3_2.weight"])
    assert (network(torch.rand(1, 3, 32, 32)) == 0).all()


STUDENTS = TrainEdgesOptions(**TINY)


def test_student_starts_with_the_layers_that_it_shares(tmp_path):
    """The others, and the first block of an older student that saw single pixels, are random."""
    torch.manual_seed(0)
    older = HED(TINY["widths"], decoder=4, preprocessing="torchvision").state_dict()
    network = network_to_train(
        STUDENTS, weights_file(tmp_path / "a.safetensors", older, "hed", "torchvision")
    )
    own = network.state_dict()
    assert {name for name in own if own[name].shape == older[name].shape and "bias" not in name} >= {
        "conv3_1.weight", "lateral2.weight", "fuse.weight"
    }  # fmt: skip
    for name, tensor in own.items():
        if tensor.shape == older[name].shape:
            assert torch.equal(tensor, older[name]), name
    assert (network.cell, network.depths, own["conv1_1.weight"].shape[1]) == (2, STUDENT["depths"], 12)
    assert not any("norm" in name for name in own)


def test_student_does_not_start_from_what_it_shares_nothing_with(tmp_path):
    other = HED((3, 5, 7, 9, 11), decoder=3, preprocessing="torchvision").state_dict()
    start = weights_file(tmp_path / "a.safetensors", other, "hed", "torchvision")
    with pytest.raises(WeightsError, match="no convolution of the shape of a student's"):
        network_to_train(STUDENTS, start)


def test_other_weights_are_refused(tmp_path):
    start = weights_file(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, "unet")
    with pytest.raises(WeightsError, match="holds unet, expected hed or vgg16"):
        network_to_train(TrainEdgesOptions(), start)


def test_whole_step_on_the_meta_device(data):
    trainee = trainee_of(data)
    network = network_to_train(trainee.options, None).to("meta")
    on_meta = EdgesTrainee(
        trainee.pairs,
        trainee.options,
        network=network,
        device=Device(torch.device("meta"), torch.float32, "test"),
        teacher={},
    )
    image, consensus, _ = on_meta.batch(0)
    assert image.device.type == consensus.device.type == "meta"
    on_meta.network(image).sum().backward()
    on_meta.optimizer.step()
    on_meta.average.update(on_meta.network, 1)
