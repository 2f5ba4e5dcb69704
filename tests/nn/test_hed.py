import pytest
import torch
from torch.nn import functional

from imgtool.nn.hed import HED, OUTPUTS
from imgtool.nn.winograd import WIDTH, Winograd

SMALL = (4, 6, 8, 10, 12)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return HED(SMALL).eval()


@pytest.fixture
def image():
    return torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))


def test_six_maps_at_the_size_of_the_image(network, image):
    assert network(image).shape == (1, len(OUTPUTS), 64, 48)


@pytest.mark.parametrize(("size", "cell"), [((16, 64), 1), ((64, 41), 2)])
def test_refuses_sizes_that_it_cannot_reflect_or_cut_into_cells(size, cell):
    with pytest.raises(ValueError, match=f"multiples of {cell} from 17"):
        HED(SMALL, cell=cell)(torch.rand(1, 3, *size))


@pytest.mark.parametrize(
    ("decoder", "preprocessing", "cell"), [(0, "hed", 1), (4, "torchvision", 1), (4, "torchvision", 2)]
)
def test_plain_image_has_the_same_answer_up_to_its_border(decoder, preprocessing, cell):
    """Zeros around the features would draw a frame; in a cell, each pixel has an answer of its own."""
    torch.manual_seed(0)
    network = HED(SMALL, decoder=decoder, preprocessing=preprocessing, cell=cell).double().eval()
    logits = network(torch.tensor((0.9, 0.5, 0.2)).double().view(1, 3, 1, 1).expand(1, 3, 48, 64))
    alike = functional.pixel_unshuffle(logits, cell)
    assert (alike.amax((2, 3)) - alike.amin((2, 3))).max() <= 1e-6


@pytest.mark.parametrize("size", [(64, 48), (35, 17), (61, 47)])
@pytest.mark.parametrize("grad", [True, False])
def test_sides_and_fusion_by_the_definition(network, size, grad):
    """Figure 3 of Xie & Tu: a 1x1 convolution of each block, enlarged by powers of two, and one of the five.

    Blocks of pictures that are no multiple of 16 end in squares that are filled by mirroring.
    """
    image = torch.rand(2, 3, *size)
    features, sides = network.normalise(image), []
    for block, depth in enumerate(network.depths, start=1):
        if block > 1:
            odd = features.shape[-1] % 2, features.shape[-2] % 2
            features = functional.pad(features, (0, odd[0], 0, odd[1]), mode="reflect")
            features = functional.max_pool2d(features, 2)
        for index in range(1, depth + 1):
            convolution = network.get_submodule(f"conv{block}_{index}")
            features = functional.pad(features, (1, 1, 1, 1), mode="reflect")
            features = functional.relu(functional.conv2d(features, convolution.weight, convolution.bias))
        side = network.get_submodule(f"side{block}")(features)
        large = functional.interpolate(side, scale_factor=2 ** (block - 1), mode="bilinear")
        sides.append(large[..., : size[0], : size[1]])
    stacked = torch.cat(sides, dim=1)
    expected = torch.cat((stacked, network.fuse(stacked)), dim=1)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(network(image), expected)


def test_first_block_on_squares_of_pixels_draws_each_of_them():
    """Its four logits of a square lie where the square's pixels do, and the second block is as large."""
    torch.manual_seed(0)
    network = HED(SMALL, (1, 1, 1, 1, 1), cell=2).eval()
    with torch.no_grad():  # nothing but the red of each pixel goes through
        for parameter in network.parameters():
            parameter.zero_()
        network.conv1_1.weight[:4, :4, 1, 1] = torch.eye(4)
        network.side1.weight[:, :, 0, 0] = torch.eye(4)
        network.conv2_1.weight[0, 0, 1, 1] = 1
        network.side2.weight[0, 0] = 1
    network.mean.zero_()
    network.scale.fill_(1)
    network.bgr = False
    image = torch.rand(1, 3, 48, 64)
    sides = network(image)
    assert torch.equal(sides[:, :1], image[:, :1])
    enlarged = functional.interpolate(image[:, :1, ::2, ::2], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(sides[:, 1:2], enlarged)


def test_an_image_mirrored_left_to_right_has_mirrored_edges():
    """With symmetric kernels; sides that are enlarged off their places would not be mirrored."""
    torch.manual_seed(0)
    network = HED(SMALL).eval()
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = (parameter.data + parameter.data.flip(-1)) / 2
    image = torch.rand(1, 3, 48, 64)
    torch.testing.assert_close(network(image.flip(-1)), network(image).flip(-1), rtol=1e-4, atol=1e-5)


def test_displaced_weights_are_read_further_right_and_down():
    torch.manual_seed(0)
    plain = HED(SMALL, preprocessing="caffe").eval()
    displaced = HED(SMALL, preprocessing="hed").eval()
    displaced.load_state_dict(plain.state_dict())
    displaced.mean = plain.mean
    image = torch.rand(1, 3, 64, 64)
    for number, shift in enumerate((0, 0, 1, 2, 4)):
        ours, moved = plain(image)[0, number], displaced(image)[0, number]
        torch.testing.assert_close(moved[: 64 - shift, : 64 - shift], ours[shift:, shift:])


@pytest.mark.parametrize(
    ("decoder", "preprocessing", "cell"), [(0, "hed", 1), (2, "caffe", 1), (0, "caffe", 2), (2, "caffe", 2)]
)
def test_reach_covers_what_an_output_can_see(decoder, preprocessing, cell):
    """The gradient of one output pixel is zero further away, and not far below."""
    torch.manual_seed(0)
    network = HED((2, 2, 2, 2, 2), decoder=decoder, preprocessing=preprocessing, cell=cell).double().eval()
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)  # nothing is cut off by a ReLU
    furthest = 0
    image = torch.rand(1, 3, 512, 32, dtype=torch.float64, requires_grad=True)
    for place in (256, 263, 271):
        network(image)[0, :, place].sum().backward()
        rows = image.grad.abs().sum((0, 1, 3)).nonzero()
        block = place // 16 * 16  # tiles end at multiples of the stride
        assert block - network.reach <= rows.min()
        assert rows.max() < block + 16 + network.reach
        furthest = max(furthest, block - int(rows.min()), int(rows.max()) - block - 15)
        image.grad = None
    assert network.reach - 32 < furthest


@pytest.mark.parametrize("cell", [1, 2])
def test_folding_batch_norm_changes_nothing(cell):
    torch.manual_seed(0)
    network = HED(SMALL, decoder=4, norm=True, cell=cell)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 32, 32))
    network.eval()
    image = torch.rand(1, 3, 32, 32)
    folded = network.folded()
    assert not any("norm" in name for name in folded.state_dict())
    torch.testing.assert_close(folded(image), network(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", [0, 4])
def test_quickened_it_computes_the_same(decoder):
    torch.manual_seed(0)
    network = HED((4, WIDTH, WIDTH, 10, 12), decoder=decoder).eval().requires_grad_(False)
    image = torch.rand(1, 3, 48, 80)
    slow = network(image)
    network.quicken()
    assert [name for name, module in network.named_children() if isinstance(module, Winograd)] == [
        "conv2_2", "conv3_1", "conv3_2", "conv3_3"
    ]  # fmt: skip
    torch.testing.assert_close(network(image), slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("decoder", "cell"), [(0, 1), (4, 1), (4, 2)])
def test_shape_is_read_from_the_weights(decoder, cell):
    network = HED(SMALL, (1, 2, 1, 2, 1), decoder=decoder, cell=cell)
    again = HED.shaped_as(network.state_dict(), preprocessing="caffe")
    again.load_state_dict(network.state_dict())
    assert (again.widths, again.depths, again.decoder, again.cell) == (
        SMALL, (1, 2, 1, 2, 1), decoder, cell
    )  # fmt: skip


def test_shape_of_other_weights_is_refused():
    with pytest.raises(LookupError):
        HED.shaped_as({"layer.weight": torch.zeros(1)}, preprocessing="caffe")
