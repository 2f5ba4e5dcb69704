import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from imgtool.errors import DeviceError
from imgtool.imaging.tensors import to_image
from imgtool.imaging.thin import thin_edges
from imgtool.nn.hed import HED
from imgtool.options.edges import EDGE_KINDS, EDGE_TILE, EdgesOptions
from imgtool.runtime import device
from imgtool.runtime.device import Device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.edges import edges, edges_that_fit, memory_needed, with_tile
from imgtool.tasks.load import load_hed

WIDTHS = (3, 4, 5, 6, 7)
WHOLE = 4096


def network_of(decoder=0, cell=1, preprocessing="hed", seed=0):
    torch.manual_seed(seed)
    network = HED(WIDTHS, decoder=decoder, preprocessing=preprocessing, cell=cell)
    for (
        name,
        module,
    ) in network.named_children():  # so that maps are neither grey all over nor black and white
        torch.nn.init.kaiming_normal_(module.get_parameter("weight"))
        if name.startswith(("side", "fuse")):
            module.get_parameter("weight").data.mul_(0.2)
    return network.eval().requires_grad_(False)


NETWORK = network_of()


def noise(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (1 + height // 9, 1 + width // 9, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("decoder", "cell"), [(0, 1), (3, 1), (3, 2)])
def test_tiles_give_the_map_of_the_whole_picture(decoder, cell):
    network = network_of(decoder, cell, seed=cell - 1)  # whose features are small: sums round less
    pixels = noise(531, 423)
    whole = edges(pixels, EdgesOptions(kind="all", tile=WHOLE), network=network).maps
    tiled = edges(pixels, EdgesOptions(kind="all", tile=128), network=network).maps
    for kind in EDGE_KINDS:
        assert np.ptp(whole[kind]) > 0.01, kind  # a map with something in it
        assert np.abs(tiled[kind] - whole[kind]).max() <= 1e-5, kind


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.integers(16, 48),
    network=st.sampled_from((NETWORK, network_of(2, 2))),
)
@settings(deadline=None, max_examples=25)
def test_any_size_comes_out_at_its_size(height, width, tile, network):
    found = edges(noise(height, width), EdgesOptions(tile=tile), network=network).maps["average"]
    assert found.shape == (height, width)
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1


COLORS = [(128, 128, 128), (255, 255, 255), (0, 0, 0), (0, 0, 255), (40, 200, 90), (123, 117, 104)]


@pytest.mark.parametrize("size", [(1, 1), (70, 90), (33, 200)])
@pytest.mark.parametrize("decoder", [0, 3])
def test_a_plain_picture_has_no_edge_whatever_the_network_says(decoder, size):
    pixels = np.full((*size, 3), (123, 117, 104), np.uint8)
    options = EdgesOptions(kind="all", tile=64, scales=(0.5, 1.0, 1.5))
    for kind, found in edges(pixels, options, network=network_of(decoder)).maps.items():
        assert found.max() < 1e-6, kind


def test_answers_fade_only_where_a_picture_is_plain():
    """A step of two levels is drawn weaker than the network says; one of eight, and what lies around it, is not."""
    pixels = np.full((96, 96, 3), 100, np.uint8)
    found = {}
    for levels in (2, 8, 16):
        pixels[:, 48:] = 100 + levels
        with torch.inference_mode():
            says = torch.sigmoid(NETWORK(to_image(pixels)))[0, 5].numpy()
        found[levels] = edges(pixels, EdgesOptions(kind="fuse"), network=NETWORK).maps["fuse"] / says
    assert found[2][:, 40:56] == pytest.approx(0.25, abs=1e-5)
    assert found[8][:, 40:56] == pytest.approx(1, abs=1e-5)
    assert found[16][:, 40:56] == pytest.approx(1, abs=1e-5)
    assert found[16][:, :8] == pytest.approx(0, abs=1e-6)


def test_average_is_of_the_fusion_and_the_sides():
    maps = edges(noise(40, 50), EdgesOptions(kind="all"), network=NETWORK).maps
    six = [maps[kind] for kind in EDGE_KINDS if kind != "average"]
    assert maps["average"] == pytest.approx(np.mean(six, axis=0), abs=1e-6)


def test_scales_are_averaged_at_the_pictures_size():
    pixels = noise(45, 61)
    single = edges(pixels, EdgesOptions(), network=NETWORK).maps["average"]
    larger = edges(pixels, EdgesOptions(scales=(2.0,)), network=NETWORK).maps["average"]
    both = edges(pixels, EdgesOptions(scales=(1.0, 2.0)), network=NETWORK).maps["average"]
    assert larger.shape == single.shape
    assert np.abs(larger - single).max() > 0
    assert both == pytest.approx((single + larger) / 2, abs=1e-6)


def test_sixteen_bits_are_the_same_picture():
    pixels = noise(30, 30)
    deep = pixels.astype(np.uint16) * 257
    options = EdgesOptions()
    ours, theirs = (edges(each, options, network=NETWORK).maps["average"] for each in (deep, pixels))
    assert (ours == theirs).all()


def test_progress_counts_all_tiles_of_all_scales():
    told = []
    options = EdgesOptions(tile=32, scales=(1.0, 0.5))
    edges(noise(64, 64), options, network=NETWORK, on_tile=lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize("decoder", [0, 3])
def test_all_tensors_are_on_the_networks_device(decoder):
    """Fake tensors refuse an operation on two devices."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            network = HED(WIDTHS, decoder=decoder, preprocessing="hed")
        assert network(torch.rand(1, 3, 32, 32, device="cuda")).device.type == "cuda"


class TestMemory:
    """`edges_that_fit`."""

    SIZE = (400, 300)

    def free(self, monkeypatch, options, more=0):
        """So much memory as these options take."""
        needed = memory_needed(self.SIZE, options, NETWORK)
        monkeypatch.setattr(device, "memory_available", lambda _: needed + more)

    def test_takes_the_smaller_tile_where_the_larger_is_known_not_to_fit(self, monkeypatch):
        self.free(monkeypatch, EdgesOptions(tile=32))
        told = []
        result, options = edges_that_fit(
            noise(*self.SIZE), EdgesOptions(tile=64), network=NETWORK, on_smaller=told.append
        )
        assert (told, options.tile) == ([32], 32)
        assert result.maps["average"].shape == self.SIZE

    def test_takes_it_once_memory_has_run_out(self, monkeypatch):
        tried = []

        def full(pixels, options, **more):
            tried.append(options.tile)
            if len(tried) == 1:
                raise MemoryError
            return edges(pixels, options, **more)

        monkeypatch.setattr("imgtool.tasks.edges.edges", full)
        _, options = edges_that_fit(noise(*self.SIZE), EdgesOptions(tile=64), network=NETWORK)
        assert (tried, options.tile) == ([64, 32], 32)

    @pytest.mark.parametrize(
        ("options", "size", "hint"),
        [
            (EdgesOptions(tile=128), SIZE, "--tile 32"),
            (EdgesOptions(tile=16), (5000, 5000), "a smaller picture"),
            (EdgesOptions(tile=16, kind="all"), (5000, 5000), "a single --kind"),
            (EdgesOptions(tile=16, kind="all", scales=(1, 1.5)), (5000, 5000), "--scales 1"),
        ],
    )
    def test_says_which_option_helps(self, monkeypatch, options, size, hint):
        monkeypatch.setattr(device, "memory_available", lambda _: 1000)
        with pytest.raises(DeviceError, match="needs about") as caught:
            edges_that_fit(np.broadcast_to(np.uint8(0), (*size, 3)), options, network=NETWORK)
        assert caught.value.hint == hint


@pytest.mark.weights
@pytest.mark.parametrize("color", COLORS)
def test_a_plain_picture_has_no_edge_by_the_published_weights(color):
    network = load_hed(find_weights("hed"), Device(torch.device("cpu"), torch.float32, "test"))
    pixels = np.full((53, 70, 3), color, np.uint8)
    for kind, found in edges(pixels, EdgesOptions(kind="all"), network=network).maps.items():
        assert found.max() < 0.05, kind


@pytest.mark.parametrize("name", ["hed-small", "hed-lite"], scope="class")
class TestShippedDetectors:
    """As every user has them."""

    @pytest.fixture(scope="class")
    @classmethod
    def lite(cls, name):
        return load_hed(find_weights(name), Device(torch.device("cpu"), torch.float32, "test"))

    @pytest.mark.parametrize("color", COLORS)
    def test_a_plain_picture_has_no_edge_and_no_frame(self, lite, color):
        pixels = np.full((97, 130, 3), color, np.uint8)
        for kind, found in edges(pixels, EdgesOptions(kind="all"), network=lite).maps.items():
            assert found.max() < 0.05, kind

    def test_edges_are_where_they_are(self, lite):
        """Also close to the right and lower border, where enlarging by the wrong factor would displace them."""
        y, x = np.mgrid[:200, :300]
        disc = np.hypot(y - 130, x - 215) < 55
        pixels = np.where(disc[..., None], (230, 190, 60), (40, 70, 110)).astype(np.uint8)
        found = edges(pixels, EdgesOptions(), network=lite).maps["average"]
        crests = np.argwhere(thin_edges(found) > 0.6)
        distance = np.abs(np.hypot(crests[:, 0] - 129.5, crests[:, 1] - 214.5) - 55)
        assert len(crests) > 0.8 * 2 * np.pi * 55
        assert np.percentile(distance, 95) < 2

    def test_tiles_give_the_map_of_the_whole_picture(self, lite):
        pixels = noise(300, 410)
        whole, tiled = (
            edges(pixels, EdgesOptions(tile=tile), network=lite).maps["average"] for tile in (WHOLE, 96)
        )
        assert np.abs(tiled - whole).max() <= 1e-5


def test_a_small_picture_is_one_tile_and_a_large_one_is_cut():
    assert with_tile(EdgesOptions(), (90, 70), NETWORK).tile == 96
    assert with_tile(EdgesOptions(scales=(1.0, 1.5)), (90, 70), NETWORK).tile == 144
    assert with_tile(EdgesOptions(), (60_000, 60_000), NETWORK).tile == EDGE_TILE
    assert with_tile(EdgesOptions(tile=32), (90, 70), NETWORK).tile == 32
