import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import imgtool
from imgtool import stylize
from imgtool.api import segment as segment_api
from imgtool.cli import main
from imgtool.errors import BadImage, Diverged, OptionError, OutputError, WeightsError
from imgtool.imaging.tensors import to_image
from imgtool.nn.captcha_reader import CaptchaReader
from imgtool.nn.hed import HED
from imgtool.nn.style_net import StyleNet
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime.checkpoints import save_tensors
from imgtool.tasks import edges as tasks
from imgtool.tasks.stylize import StylizeResult

SMALL = {
    "size": 32,
    "steps": 2,
    "scales": 1,
    "content_layers": {"conv2_1": 1.0},
    "style_layers": {"conv1_1": 1.0, "conv2_1": 0.5},
}
TYPED = (
    *("--size", "32", "--steps", "2", "--scales", "1", "--precision", "fp32"),
    *("--content-layers", "conv2_1", "--style-layers", "conv1_1,conv2_1:0.5"),
)


def smooth(seed, bands=3):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, bands), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((40, 24)))


@pytest.fixture
def folder(tmp_path, monkeypatch, no_settings):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("photo", "painting", "mask")):
        Image.fromarray(smooth(number)).save(f"{name}.png")
    Image.fromarray(smooth(3, 4)).save("clear.png")
    return tmp_path


@pytest.fixture
def small(random_vgg19):
    def small(content, style, **options):
        return stylize(content, style, precision="fp32", weights=random_vgg19, **{**SMALL, **options})

    return small


@pytest.fixture
def command(folder, random_vgg19):
    """The pixels that the command writes."""

    def command(*arguments):
        words = ["stylize", "--weights", str(random_vgg19), *TYPED, *arguments, "-o", "out.png", "--force"]
        with CliRunner().isolation() as (_, stderr, _):
            assert main.run(words) == 0, stderr.getvalue()
        return pixels(Image.open(io.BytesIO(Path("out.png").read_bytes())))

    return command


def pixels(image):
    return image.mode, np.asarray(image).tolist()


def test_same_pixels_as_the_command(small, command):
    result = small("photo.png", "painting.png")
    assert pixels(result.to_pil()) == command("photo.png", "painting.png")
    assert result.image.shape == (1, 3, 19, 32)
    assert result.steps == (2,)
    assert [step.number for step in result.history] == [1, 2]


def test_same_pixels_with_alpha(small, command):
    result = small("clear.png", "painting.png")
    assert result.to_pil().mode == "RGBA"
    assert pixels(result.to_pil()) == command("clear.png", "painting.png")
    result.save("saved.png")
    with Image.open("saved.png") as saved:
        assert saved.mode == "RGBA"
        assert pixels(saved) == pixels(result.to_pil())
    with pytest.raises(OutputError, match=r"unknown suffix \.xyz"):
        result.save("saved.xyz")


def test_same_pixels_with_everything(small, command):
    result = small(
        "photo.png",
        [("painting.png", 0.25), "photo.png"],
        content_masks=["mask.png", "painting.png"],
        style_masks=["painting.png", "mask.png"],
        init="mask.png",
        preserve_color=True,
    )
    assert pixels(result.to_pil()) == command(
        *("photo.png", "--style", "painting.png:0.25", "--style", "photo.png", "--preserve-color"),
        *("--content-mask", "mask.png", "--content-mask", "painting.png"),
        *("--style-mask", "painting.png", "--style-mask", "mask.png", "--init", "mask.png"),
    )


PHOTO = smooth(0)


@pytest.mark.parametrize(
    "content",
    [
        Path("photo.png"),
        Image.fromarray(PHOTO),
        PHOTO,
        PHOTO.astype(np.uint16) * 257,
        PHOTO / 255,
        (PHOTO / 255).astype(np.float32),
        to_image(PHOTO),
        to_image(PHOTO)[0],
        torch.from_numpy(PHOTO.copy()).permute(2, 0, 1),
    ],
    ids=lambda content: f"{type(content).__name__}-{getattr(content, 'dtype', '')}",
)
def test_kinds_of_pictures(small, folder, content):
    expected = small("photo.png", "painting.png").image
    assert torch.equal(small(content, "painting.png").image, expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("gone.png", "gone.png: no such file"),
        (PHOTO[..., 0], r"content: an array of \(24, 40\), expected \(H, W, 3\)"),
        (PHOTO[:0], "content: an array of"),
        (PHOTO.astype(np.int64), "int64 values, expected uint8, uint16 or floats"),
        (PHOTO.astype(np.float32), r"floats outside of \[0, 1\], or NaN"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (torch.zeros(2, 3, 4, 4), r"a tensor of \(2, 3, 4, 4\), expected \(1, 3, H, W\)"),
        (torch.zeros(4, 4, 3), "a tensor of"),
        (None, "got NoneType, expected a path, a PIL image, an array or a tensor"),
    ],
)
def test_what_is_no_picture(small, folder, content, reason):
    with pytest.raises(BadImage, match=reason):
        small(content, "painting.png")


def test_a_style_file_stands_for_its_picture(small, folder, random_vgg19):
    words = ("--weights", str(random_vgg19), "--precision", "fp32", "--size", "64", "--threads", "1")
    saved = main.run(["save-style", "painting.png", "-o", "painting.imgstyle", *words, "-q"])
    assert saved == 0
    one, other = (small("photo.png", f"painting.{suffix}").image for suffix in ("png", "imgstyle"))
    assert (one - other).abs().max() < 0.01
    mixed = small("photo.png", [("painting.imgstyle", 0.5), "photo.png"])
    assert mixed.image.shape == one.shape
    with pytest.raises(OptionError, match="has no conv1_2"):
        small("photo.png", "painting.imgstyle", style_layers={"conv1_2": 1.0})


def test_options_are_checked(small, folder):
    with pytest.raises(OptionError, match="--size: must be at least 1"):
        small("photo.png", "painting.png", size=0)
    with pytest.raises(TypeError, match=r"stylize\(\) got an unexpected keyword argument 'stpes'"):
        small("photo.png", "painting.png", stpes=3)
    with pytest.raises(OptionError, match="no style"):
        small("photo.png", [])
    with pytest.raises(OptionError, match="a weight must be above 0"):
        small("photo.png", ("painting.png", 0))
    with pytest.raises(OptionError, match="1 for 2 styles"):
        small("photo.png", ["painting.png"] * 2, content_masks=["mask.png"])
    with pytest.raises(OptionError, match="1 for 0 content masks"):
        small("photo.png", "painting.png", style_masks=["mask.png"])
    with pytest.raises(OptionError, match="all black"):
        small("photo.png", "painting.png", content_masks=[np.zeros((4, 4, 3), np.uint8)])
    for name in ("content_masks", "style_masks"):  # a word other than "auto" is no regions to be found
        with pytest.raises(OptionError, match=r"one picture, 'mask\.png', expected a list"):
            small("photo.png", "painting.png", **{name: "mask.png"})


def test_weights(folder):
    with pytest.raises(WeightsError, match="vgg19 cannot be had"):
        stylize("photo.png", "painting.png")
    with pytest.raises(WeightsError, match="vgg16 cannot be had"):
        stylize("photo.png", "painting.png", weights="vgg16")


def test_time(small, folder):
    result = small("photo.png", "painting.png", steps=(10**6,), time=0.3)
    assert 0 < sum(result.steps) < 10**6


def test_on_step(small, folder):
    seen = []
    small("photo.png", "painting.png", on_step=lambda step, image: seen.append((step.number, image.shape)))
    assert seen == [(1, (1, 3, 19, 32)), (2, (1, 3, 19, 32))]


def test_an_interrupt_is_the_callers(small, folder):
    def stop(step, image):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small("photo.png", "painting.png", on_step=stop)


def test_divergence(small, folder, monkeypatch):
    def diverged(content, *_, **__):
        return StylizeResult(content, (1,), (), 0.0, diverged=True)

    monkeypatch.setattr("imgtool.api.stylize.task.stylize", diverged)
    with pytest.raises(Diverged):
        small("photo.png", "painting.png")


def test_nothing_of_the_callers_is_changed(small, folder):
    before = torch.random.get_rng_state(), torch.get_num_threads()
    content, style = to_image(PHOTO), to_image(smooth(1))
    copies = content.clone(), style.clone()
    small(content, style, seed=5, init="noise")
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == torch.get_num_threads()
    assert torch.equal(content, copies[0])
    assert torch.equal(style, copies[1])


def test_the_root_package():
    assert imgtool.stylize is stylize
    assert set(imgtool.__all__) == set(dir(imgtool))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = imgtool.nonsense
    assert StylizeOptions().network in stylize.__doc__ or "the network" in stylize.__doc__


@pytest.mark.parametrize("name", ["edges", "read_captcha", "captchas"])
def test_an_unknown_keyword_is_the_functions(name):
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'stpes'"):
        getattr(imgtool, name)(1, stpes=3)


class TestEdges:
    """`imgtool.edges`."""

    @pytest.fixture
    def detector(self, tmp_path):
        torch.manual_seed(0)
        path = tmp_path / "detector.safetensors"
        network = HED((3, 4, 5, 6, 7))
        for module in network.children():
            torch.nn.init.kaiming_normal_(module.get_parameter("weight"))
        save_tensors(path, network.state_dict(), {"network": "hed", "preprocessing": "caffe"})
        return path

    def test_the_map_that_the_command_writes(self, detector, tmp_path):
        photo = Image.effect_noise((40, 30), 90).convert("RGB")
        photo.save(tmp_path / "photo.png")
        out = tmp_path / "map.png"
        words = ["edges", str(tmp_path / "photo.png"), "-o", str(out), "--weights", str(detector)]
        assert main.run([*words, "--precision", "fp32", "-q"]) == 0
        with Image.open(out) as written:
            for given in (photo, tmp_path / "photo.png", np.array(photo)):
                found = imgtool.edges(given, weights=detector, precision="fp32")
                assert (np.array(found.to_pil()) == np.array(written)).all()

    def test_all_kinds(self, detector):
        found = imgtool.edges(np.zeros((9, 7, 3), np.uint8), weights=detector, kind="all")
        assert len(found.maps) == 7
        assert found.probabilities.shape == found.thinned().shape == (9, 7)
        assert found.alpha is None

    def test_memory_that_runs_out_halves_the_tile(self, detector, monkeypatch):
        tried = []

        def full(pixels, options, **more):
            tried.append(options.tile)
            if len(tried) == 1:
                raise MemoryError
            return tasks.EdgesResult({"average": np.zeros(pixels.shape[:2], np.float32)})

        monkeypatch.setattr(tasks, "edges", full)
        found = imgtool.edges(np.zeros((9, 7, 3), np.uint8), weights=detector, tile=512)
        assert found.probabilities.shape == (9, 7)
        assert tried == [512, 256]

    def test_unknown_kind(self, detector):
        with pytest.raises(OptionError, match="kind"):
            imgtool.edges(np.zeros((9, 7, 3), np.uint8), weights=detector, kind="side9")


class TestSegment:
    """`imgtool.segment`, with the model that is shipped."""

    @pytest.fixture
    def spots(self, tmp_path):
        """Bright spots on a dark ground, as a picture and as a file."""
        y, x = np.mgrid[:96, :128]
        light = sum(
            np.exp(-((y - row) ** 2 + (x - column) ** 2) / 90) for row, column in ((30, 40), (66, 90))
        )
        photo = Image.fromarray(np.rint(20 + 200 * light).clip(0, 255).astype(np.uint8))
        photo.save(tmp_path / "photo.png")
        return photo

    def test_the_mask_and_objects_that_the_command_writes(self, spots, tmp_path):
        words = ["segment", str(tmp_path / "photo.png"), "-o", str(tmp_path), "--kind", "mask,instances"]
        assert main.run([*words, "--precision", "fp32", "--format", "npy", "-q"]) == 0
        mask, labels = (np.load(tmp_path / f"photo-{kind}.npy") for kind in ("mask", "instances"))
        assert labels.max() == 2
        for given in (spots, tmp_path / "photo.png", np.array(spots)):
            found = imgtool.segment(given, precision="fp32")
            assert (np.array(found.to_pil()) == mask).all()
            assert (found.instances() == labels).all()

    def test_memory_that_runs_out_halves_the_tile(self, spots, monkeypatch):
        plain, tried = segment_api.probabilities, []

        def full(*arguments, tile, **more):
            tried.append(tile)
            if len(tried) == 1:
                raise MemoryError
            return plain(*arguments, tile=tile, **more)

        monkeypatch.setattr(segment_api, "probabilities", full)
        assert imgtool.segment(spots, tile=512).mask().any()
        assert tried == [512, 256]

    def test_what_is_no_picture_for_a_model(self):
        with pytest.raises(BadImage, match="5 channels, expected 3"):
            imgtool.segment(np.zeros((9, 7, 5), np.uint8))
        with pytest.raises(TypeError, match=r"segment\(\) got an unexpected keyword argument 'size'"):
            imgtool.segment(np.zeros((9, 7), np.uint8), size=3)


def test_captchas_as_the_command_draws_them(tmp_path, monkeypatch):
    from imgtool.cli.main import run

    monkeypatch.chdir(tmp_path)
    assert (
        run(["captcha-gen", "--level", "hard", "--font", "roboto", "--seed", "3", "--start", "65", "-q"]) == 0
    )
    first, second = imgtool.captchas(2, "hard", fonts=("roboto",), seed=3, start=65, masks=True)
    with Image.open("captcha.png") as image:
        assert (np.array(image) == first.pixels).all()
    assert second.index == 66 and second.text == "".join(glyph.character for glyph in second.glyphs)
    assert second.mask is not None and second.mask.max() == len(second.text)


def test_captchas_on_pictures():
    scene = np.full((30, 40, 3), (90, 140, 30), np.uint8)
    (captcha,) = imgtool.captchas(1, fonts=("roboto",), backgrounds=[scene], noise=0)
    assert all(glyph.contrast >= 4.5 for glyph in captcha.glyphs)
    with pytest.raises(OptionError, match="no 'harder'"):
        imgtool.captchas(1, "harder")


class TestReadCaptcha:
    @pytest.fixture
    def reader(self, tmp_path):
        """A reader with random weights."""
        torch.manual_seed(0)
        network = CaptchaReader(4, height=24, widths=(2, 3, 3, 4), hidden=4)
        torch.nn.init.normal_(network.head.weight, std=3)
        tensors = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
        about = {"network": "captcha-reader", "captcha": json.dumps({"alphabet": "XYZ", "height": 24})}
        save_tensors(tmp_path / "reader.safetensors", tensors, about)
        return tmp_path / "reader.safetensors"

    def test_reads_as_the_command_does(self, tmp_path, reader, capsys):
        from imgtool.cli.main import run

        pixels = np.random.default_rng(0).integers(0, 256, (30, 90, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert run(["captcha-read", str(tmp_path / "a.png"), "--weights", str(reader), "-q"]) == 0
        text, confidence, _ = capsys.readouterr().out.split("\t")
        for given in (tmp_path / "a.png", pixels, Image.fromarray(pixels)):
            found = imgtool.read_captcha(given, weights=reader)
            assert found.text == text
            assert found.confidence == pytest.approx(float(confidence), abs=1e-3)

    def test_leaves_the_random_numbers_alone(self, reader):
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        imgtool.read_captcha(np.zeros((24, 48, 3), np.uint8), weights=reader)
        assert torch.rand(1) == expected

    def test_refusals(self, reader):
        with pytest.raises(BadImage, match="no line of text"):
            imgtool.read_captcha(np.zeros((1, 70, 3), np.uint8), weights=reader)
        with pytest.raises(OptionError, match="beam"):
            imgtool.read_captcha(np.zeros((24, 48, 3), np.uint8), weights=reader, beam=0)


@pytest.fixture
def one_pass(folder):
    torch.manual_seed(0)
    about = {"network": "style-net", "preprocessing": "none", "style": '{"styles": ["a", "b"]}'}
    save_tensors(folder / "net.safetensors", StyleNet(2, width=3, blocks=1).state_dict(), about)
    return "net.safetensors"


def test_one_pass_is_what_the_command_writes(one_pass):
    painted = stylize("clear.png", weights=one_pass, blend={"b": 1.0}, strength=0.5)
    arguments = [
        "stylize",
        "clear.png",
        "--weights",
        one_pass,
        "--blend",
        "b",
        "--strength",
        "0.5",
        "-o",
        "o.png",
    ]
    assert main.run(arguments) == 0
    with Image.open("o.png") as written:
        assert np.array_equal(np.asarray(written), np.asarray(painted.to_pil()))
    assert painted.steps == () and painted.seconds > 0


PREVIOUS = ("--previous-frame", "painting.png", "--previous-result", "mask.png", "-o", "o.png")


def written():
    with Image.open("o.png") as picture:
        return np.asarray(picture)


def test_a_frame_of_a_film_is_what_the_command_writes(small, folder, random_vgg19):
    painted = small("photo.png", "painting.png", previous=("painting.png", "mask.png"), temporal_weight=2)
    command = ["stylize", "photo.png", "painting.png", *TYPED, *PREVIOUS, "--temporal-weight", "2"]
    assert main.run([*command, "--weights", str(random_vgg19)]) == 0
    assert np.array_equal(written(), np.asarray(painted.to_pil()))


def test_a_frame_that_goes_on_is_what_the_command_writes(small, folder, random_vgg19):
    """With the steps of later frames, not those of a picture by itself."""
    painted = small("photo.png", "painting.png", previous=("photo.png", "mask.png"), frame_steps=2)
    assert painted.steps == (2,)
    before = ("--previous-frame", "photo.png", "--previous-result", "mask.png", "-o", "o.png")
    command = ["stylize", "photo.png", "painting.png", *TYPED, *before, "--frame-steps", "2"]
    assert main.run([*command, "--weights", str(random_vgg19)]) == 0
    assert np.array_equal(written(), np.asarray(painted.to_pil()))


def test_edges_are_kept_by_command_and_function(small, folder, random_vgg19):
    """The term is minimised, and the picture is not the one without it."""
    free = small("photo.png", "painting.png", steps=6)
    kept = small("photo.png", "painting.png", steps=6, keep_edges=20)
    assert not free.history[-1].others
    assert kept.history[-1].others["edges"] < kept.history[1].others["edges"]
    assert not torch.equal(kept.image, free.image)
    command = ["stylize", "photo.png", "painting.png", *TYPED, "--steps", "6", "--keep-edges", "20"]
    assert main.run([*command, "--weights", str(random_vgg19), "-o", "o.png"]) == 0
    assert np.array_equal(written(), np.asarray(kept.to_pil()))


def test_what_stands_still_begins_with_the_result_before(small, folder):
    first = small("photo.png", "painting.png")
    again = small("photo.png", "painting.png")
    assert torch.equal(first.image, again.image)
    later = small("photo.png", "painting.png", previous=("photo.png", first.image), frame_steps=1)
    assert later.steps == (1,)
    assert (later.image - first.image).abs().mean() < 0.01


def test_a_frame_in_one_pass_is_what_the_command_writes(one_pass):
    painted = stylize("photo.png", weights=one_pass, previous=("photo.png", "mask.png"), temporal_weight=2)
    assert (
        main.run(
            [
                "stylize",
                "photo.png",
                "--weights",
                one_pass,
                "--temporal-weight",
                "2",
                *PREVIOUS[:1],
                "photo.png",
                *PREVIOUS[2:],
            ]
        )
        == 0
    )
    assert np.array_equal(written(), np.asarray(painted.to_pil()))
    assert not np.array_equal(written(), np.asarray(stylize("photo.png", weights=one_pass).to_pil()))


def test_frames_of_two_sizes(small, folder):
    with pytest.raises(OptionError, match="previous: it is 20x24, and the content 40x24"):
        small("photo.png", "painting.png", previous=(smooth(0)[:, :20], "mask.png"))


def test_one_pass_leaves_random_numbers_alone(one_pass):
    before = torch.random.get_rng_state()
    stylize("photo.png", weights=one_pass)
    assert torch.equal(before, torch.random.get_rng_state())


def test_one_pass_refuses(one_pass):
    with pytest.raises(TypeError, match=r"stylize\(\) got an unexpected keyword argument 'steps'"):
        stylize("photo.png", weights=one_pass, steps=3)
    with pytest.raises(OptionError, match="no style 'c'"):
        stylize("photo.png", weights=one_pass, blend={"c": 1.0})
    with pytest.raises(OptionError, match="no style, expected a picture"):
        stylize("photo.png")
