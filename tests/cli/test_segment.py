import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from imgtool.imaging.labels import mask_over
from imgtool.nn.hed import HED
from imgtool.nn.unet import UNet
from imgtool.options.segment import SEGMENT_KINDS
from imgtool.runtime.checkpoints import save_tensors

QUICK = ("--threads", "1", "--precision", "bf16")


def save_model(path, *, channels=1, classes=("0", "255"), seed=0, **about):
    """Random weights whose classes all occur."""
    torch.manual_seed(seed)
    network = UNet(channels, len(classes), width=4, depth=1, norm=False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():  # logits of mean 0 and deviation 3, so that there is no class without pixels
        logits = network(torch.randn(1, channels, 96, 96))
        gain = 3 / logits.std((0, 2, 3))
        network.head.weight.mul_(gain.view(-1, 1, 1, 1))
        network.head.bias.sub_(logits.mean((0, 2, 3))).mul_(gain)
    about = {"classes": list(classes), "threshold": 0.5, "objects": False, "probes": False, **about}
    metadata = {"network": "unet", "preprocessing": "none", "segment": json.dumps(about)}
    save_tensors(path, network.state_dict(), metadata)
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """cells (grey, two classes), colors (three channels), kinds (three classes), objects, five (channels)."""
    folder = tmp_path_factory.mktemp("weights")
    save_model(folder / "cells.safetensors")
    save_model(folder / "colors.safetensors", channels=3)
    save_model(folder / "kinds.safetensors", classes=("none", "cat", "dog"), seed=3)
    save_model(folder / "objects.safetensors", classes=("background", "core", "rim"), objects=True, seed=5)
    save_model(folder / "five.safetensors", channels=5)
    save_model(folder / "picky.safetensors", threshold=0.9)
    save_tensors(
        folder / "hed.safetensors",
        HED((2, 2, 2, 2, 2)).state_dict(),
        {"network": "hed", "preprocessing": "caffe"},
    )
    return folder


@pytest.fixture
def segment(imgtool, models):
    """Runs `imgtool segment` with one of the models."""

    def run(*arguments, model="cells", **more):
        return imgtool("segment", *QUICK, "--weights", models / f"{model}.safetensors", *arguments, **more)

    return run


@pytest.fixture
def rerun(imgtool, models):
    """Makes an output again, and expects the same bytes."""

    def rerun(made, *, read=None):
        again = Path(f"again{Path(made).suffix}")
        result = imgtool("rerun", read or made, "-o", again, "--find", models, "--force")
        assert result.code == 0, result.stderr
        assert again.read_bytes() == Path(made).read_bytes()

    return rerun


@pytest.fixture
def photo(folder):
    """photo.png: bright spots on a dark ground, grey."""
    coarse = np.random.default_rng(4).integers(0, 256, (7, 9), np.uint8)
    Image.fromarray(coarse).resize((60, 44)).save("photo.png")
    return folder


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def looks(path):
    with Image.open(path) as image:
        return image.mode, image.size


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_trained_run_segments(imgtool, folder):
    """From pictures and masks to a mask that is right."""
    y, x = np.mgrid[:48, :56]
    for number in range(5):
        disc = np.hypot(y - 20 - 2 * number, x - 28) < 12
        noise = np.random.default_rng(number).normal(0, 10, disc.shape)
        for kind, each in (("images", np.where(disc, 180, 60) + noise), ("masks", disc * 255)):
            Path(kind).mkdir(exist_ok=True)
            Image.fromarray(each.astype(np.uint8)).save(f"{kind}/{number}.png")
    words = (
        "--width",
        "4",
        "--depth",
        "1",
        "--crop",
        "32",
        "--batch",
        "1",
        "--elastic",
        "2",
        "--gray",
        "0.1",
    )
    more = ("--steps", "60", "--learning-rate", "0.01", "--score-every", "30", "--threads", "1")
    trained = imgtool("train-segment", "images", "masks", "-o", "run", *words, *more, "--precision", "bf16")
    assert trained.code == 0, trained.stderr
    result = imgtool("segment", "images/4.png", "--weights", "run", *QUICK, "--json", "--kind", "mask")
    assert result.code == 0, result.stderr
    found, truth = read("4-segment.png") > 0, read("masks/4.png") > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    about = json.loads(imgtool("inspect", "4-segment.png", "--json").stdout)
    from imgtool.runtime.checkpoints import load_metadata

    told = json.loads(load_metadata(Path("run/model.safetensors"))["segment"])
    assert about["options"]["threshold"] == told["threshold"]  # the model's own, as resolved


def test_mask_is_white_where_something_is(segment, photo):
    result = segment("photo.png")
    assert result.code == 0, result.stderr
    assert looks("photo-segment.png") == ("L", (60, 44))
    mask = read("photo-segment.png")
    assert set(np.unique(mask)) == {0, 255}
    assert f"{(mask > 0).mean():.1%} found" in result.stderr


def test_every_kind_at_once(segment, photo, imgtool):
    assert segment("photo.png", "--kind", "all", "-o", "out/", "--min-area", "1").code == 0
    names = [f"out/photo-{kind}.png" for kind in SEGMENT_KINDS]
    assert files(photo / "out") == sorted(
        [*(Path(name).name for name in names), "photo-instances-objects.csv"]
    )
    mask, probability = read(names[0]), read(names[1])
    assert ((probability >= 128) == (mask > 0)).mean() > 0.99
    overlay = read(names[2])
    assert overlay.shape == (44, 60, 3)
    assert (overlay[mask == 0] == read("photo.png")[mask == 0][:, None]).all()
    assert (overlay[mask > 0] != read("photo.png")[mask > 0][:, None]).any(axis=1).all()
    labels = read(names[3])
    assert looks(names[3])[0] == "P"
    assert (labels[mask > 0] > 0).all()  # and in holes
    assert looks(names[4])[0] == "RGB"
    rows = list(csv.DictReader(io.StringIO(Path("out/photo-instances-objects.csv").read_text())))
    assert len(rows) == labels.max()
    for row in rows:
        inside = labels == int(row["object"])
        assert int(row["area"]) == inside.sum()
        assert float(row["x"]) == pytest.approx(np.nonzero(inside)[1].mean(), abs=0.01)
        assert int(row["top"]) == np.nonzero(inside)[0].min()


def test_each_kind_alone_is_as_with_others(segment, photo):
    segment("photo.png", "--kind", "all", "-o", "all/")
    for kind in SEGMENT_KINDS:
        assert segment("photo.png", "--kind", kind, "-o", f"{kind}.png").code == 0
        assert (read(f"{kind}.png") == read(f"all/photo-{kind}.png")).all(), kind
    assert Path("instances-objects.csv").is_file()


@pytest.mark.parametrize("kind", SEGMENT_KINDS)
def test_rerun_gives_the_same_bytes(segment, rerun, photo, kind):
    segment("photo.png", "--kind", kind, "--tile", "32", "--threshold", "0.4", "-o", "made.png")
    rerun("made.png")


@pytest.mark.parametrize("kind", SEGMENT_KINDS)
def test_one_of_several_kinds_can_be_made_again(segment, rerun, photo, kind):
    segment("photo.png", "--kind", "all", "-o", "out/", "--tta")
    rerun(f"out/photo-{kind}.png")


@pytest.mark.parametrize("format", ["png", "tif", "npy"])
def test_formats(segment, rerun, photo, format):
    assert segment("photo.png", "-o", "mask.png").code == 0
    assert segment("photo.png", "--kind", "mask,probability", "--format", format, "-o", "out/").code == 0
    load = {"png": read, "tif": tifffile.imread, "npy": np.load}[format]
    mask, probability = (load(f"out/photo-{kind}.{format}") for kind in ("mask", "probability"))
    assert (mask == read("mask.png")).all()
    assert probability.dtype == (np.float32 if format == "npy" else np.uint8)
    rerun(f"out/photo-mask.{format}")
    if format == "npy":
        assert files(photo / "out") == sorted(
            f"photo-{kind}.npy{end}" for kind in ("mask", "probability") for end in ("", ".json")
        )
        assert ((probability >= 0.5) == (mask > 0)).all()
        rerun("out/photo-mask.npy", read="out/photo-mask.npy.json")


def test_sixteen_bits(segment, photo):
    segment("photo.png", "--kind", "probability", "-o", "8.png")
    segment("photo.png", "--kind", "probability", "--bits", "16", "-o", "16.png")
    assert np.abs(read("16.png") / 257 - read("8.png")).max() <= 0.51


def test_the_tile_changes_nothing(segment, photo):
    for tile in ("16", "1000"):
        segment("photo.png", "--kind", "all", "--tile", tile, "-o", f"{tile}/", "--bits", "16")
    for kind in SEGMENT_KINDS:
        assert (read(f"16/photo-{kind}.png") == read(f"1000/photo-{kind}.png")).all(), kind


def test_pieces_of_a_strip_change_nothing(segment, photo, monkeypatch):
    from imgtool.cli import segment_files

    segment("photo.png", "--kind", "all", "-o", "whole/", "--sheet")
    for pixels in (1, 130):  # a row at once, and two
        monkeypatch.setattr(segment_files, "PIECE_PIXELS", pixels)
        assert segment("photo.png", "--kind", "all", "-o", "pieces/", "--sheet", "-f").code == 0
        for name in files("whole"):
            if name.endswith(".png"):
                assert (read(f"pieces/{name}") == read(f"whole/{name}")).all(), name


def test_stdin_and_stdout(segment, photo):
    segment("photo.png", "-o", "mask.png")
    for format in ("png", "tif", "npy"):
        result = segment("-", "-o", "-", "--format", format, stdin=Path("photo.png").read_bytes())
        assert result.code == 0, result.stderr
        load = {"png": read, "tif": tifffile.imread, "npy": np.load}[format]
        assert (load(io.BytesIO(result.stdout)) == read("mask.png")).all()


def test_one_output_alone_goes_to_stdout(segment, photo):
    for words in (("--kind", "instances"), ("--kind", "mask,probability"), ("--json",), ("--sheet",)):
        result = segment("photo.png", "-o", "-", *words)
        assert result.code == 2, words
        assert result.stdout == b""


def test_a_tiff_of_floats_and_an_array(segment, photo):
    pixels = read("photo.png")
    segment("photo.png", "-o", "mask.png")
    tifffile.imwrite("photo.tif", pixels.astype(np.float32) / 7, compression="zlib")
    np.save("array.npy", np.asfortranarray(pixels.astype(np.int16)))
    for name in ("photo.tif", "array.npy"):
        assert segment(name, "-o", "again.png", "--force").code == 0
        assert (read("again.png") == read("mask.png")).mean() > 0.98, name
    assert segment("array.npy", "--kind", "overlay,contours", "-o", "seen/").code == 0


def test_json_tells_each_output_and_a_summary(segment, photo):
    records = segment("photo.png", "--kind", "mask,instances", "-o", "out/", "--json").records
    assert [record.get("kind") for record in records] == ["mask", "instances", None]
    first = records[0]
    assert (first["width"], first["height"], first["precision"]) == (60, 44, "bf16")
    assert first["metrics"]["share"] == pytest.approx((read("out/photo-mask.png") > 0).mean())
    assert first["metrics"]["objects"] == read("out/photo-instances.png").max()
    assert first["weights"][0]["sha256"]
    assert records[-1]["summary"] == {"done": 1, "skipped": 0, "failed": 0}


def test_threshold_is_the_models_own_or_the_one_given(segment, photo, imgtool):
    segment("photo.png", "--kind", "probability", "--format", "npy", "-o", "p/")
    probability = (
        np.load("p/photo.npy") if Path("p/photo.npy").exists() else np.load("p/photo-probability.npy")
    )
    segment("photo.png", "-o", "own.png", model="picky")
    assert ((read("own.png") > 0) == (probability >= 0.9)).all()
    segment("photo.png", "-o", "given.png", "--threshold", "0.3", model="picky")
    assert ((read("given.png") > 0) == (probability >= np.float32(0.3))).all()
    for name, threshold in (("own", 0.9), ("given", 0.3)):
        recipe = json.loads(imgtool("inspect", f"{name}.png").stdout)
        assert recipe["options"]["threshold"] == threshold


def test_several_classes_have_numbers_and_colours(segment, rerun, photo):
    assert segment("photo.png", "--kind", "mask,overlay", "-o", "out/", model="kinds").code == 0
    assert looks("out/photo-mask.png")[0] == "P"
    mask = read("out/photo-mask.png")
    assert set(np.unique(mask)) == {0, 1, 2}
    photo = np.repeat(read("photo.png")[..., None], 3, axis=2)
    assert (read("out/photo-overlay.png") == mask_over(photo, mask)).all()  # however it was cut in strips
    assert segment("photo.png", "--classes", "dog", "-o", "dogs.png", model="kinds").code == 0
    dogs = read("dogs.png")
    assert set(np.unique(dogs)) == {0, 2}
    assert (dogs[mask != 2] == 0).all()
    rerun("dogs.png")
    segment("photo.png", "--classes", "cat, dog", "-o", "both.png", model="kinds")
    assert (read("both.png") == mask).all()
    segment("photo.png", "--classes", "dog,dog", "-o", "twice.png", model="kinds")
    assert (read("twice.png") == dogs).all()


def test_objects_by_cores(segment, photo):
    result = segment(
        "photo.png", "--kind", "mask,instances", "-o", "out/", "--min-area", "0", model="objects"
    )
    assert result.code == 0, result.stderr
    mask, labels = read("out/photo-mask.png"), read("out/photo-instances.png")
    assert set(np.unique(mask)) == {0, 255}
    assert labels.any()
    assert (mask[labels > 0] > 0).mean() > 0.8  # all but holes
    assert sorted(np.unique(labels)) == list(range(labels.max() + 1))


def test_many_objects_take_sixteen_bits(segment, folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (380, 400), np.uint8)).save("noise.png")
    result = segment(
        "noise.png", "--kind", "instances", "--min-area", "0", "--threshold", "0.9", "-o", "many.png"
    )
    labels = read("many.png")
    assert labels.max() > 255, "too few to prove anything"
    assert labels.dtype in (np.uint16, np.int32)
    assert "objects as numbers of 16 bits look black" in result.stderr
    assert len(Path("many-objects.csv").read_text().splitlines()) == labels.max() + 1


def test_what_is_written_besides(segment, photo):
    assert segment("photo.png", "--sheet", "--sidecar").code == 0
    assert looks("photo-segment-sheet.png")[1][0] > 3 * 60
    assert json.loads(Path("photo-segment.png.json").read_text())["command"] == "segment"


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_verify_tiles(imgtool, models, photo, precision):
    words = ("--weights", models / "cells.safetensors", "--threads", "1", "--precision", precision)
    result = imgtool("segment", "photo.png", *words, "--verify-tiles", "--json")
    assert result.code == 0, result.stderr
    assert "maximum difference 0" in result.stderr
    assert [record["metrics"]["difference"] for record in result.records[:-1]] == [0.0] * 3
    assert files(photo) == ["photo.png"]  # nothing is written


def test_verify_tiles_compares_with_one_window(segment, folder, monkeypatch):
    """The whole is one window, also where the side is no multiple of the stride."""
    from imgtool.cli import segment_verify

    monkeypatch.setattr(segment_verify, "SIDE", 75)
    plain, windows = segment_verify.probabilities, []

    def counted(raster, segmenter, **options):
        windows.append(0)

        def on_tile(done, total):
            windows[-1] = total

        return plain(raster, segmenter, on_tile=on_tile, **options)

    monkeypatch.setattr(segment_verify, "probabilities", counted)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120), np.uint8)).save("noise.png")
    assert segment("noise.png", "--verify-tiles", "--tile", "30").code == 0
    assert windows[0] == 1
    assert windows[-1] > 1


def test_verify_tiles_searches_folders_for_arrays(segment, folder):
    Path("in").mkdir()
    np.save("in/a.npy", np.random.default_rng(0).random((20, 20)))
    assert segment("in", "--verify-tiles").code == 0


def test_a_bad_file_in_a_batch_is_named_and_skipped(segment, photo):
    Path("in").mkdir()
    for name in ("a", "c"):
        Path(f"in/{name}.png").write_bytes(Path("photo.png").read_bytes())
    Path("in/b.png").write_bytes(b"no picture")
    result = segment("in", "-o", "out", "--json", "--kind", "mask,instances")
    assert result.code == 1
    assert "b.png" in result.stderr
    assert result.stderr.splitlines()[-1] == "2 done, 0 skipped, 1 failed"
    assert result.records[-1]["summary"] == {"done": 2, "skipped": 0, "failed": 1}
    made = ["a-instances-objects.csv", "a-instances.png", "a-mask.png"]
    assert files(photo / "out") == [*made, *(name.replace("a-", "c-", 1) for name in made)]


def test_folders_are_searched_for_arrays(segment, photo):
    Path("in/deep").mkdir(parents=True)
    np.save("in/deep/a.npy", read("photo.png"))
    assert segment("in", "-r", "-o", "out").code == 0
    assert files(photo / "out") == ["deep/a.png"]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_pictures(segment, folder, size):
    Image.new("L", size, 9).save("tiny.png")
    result = segment("tiny.png", "--kind", "all", "-o", "out/", "--sheet", "--min-area", "0")
    assert result.code == 0, result.stderr
    for kind in SEGMENT_KINDS:
        assert looks(f"out/tiny-{kind}.png")[1] == size


def test_colours_for_a_grey_model_and_grey_for_one_of_colours(segment, photo):
    gray = read("photo.png")
    Image.fromarray(np.stack([gray, gray // 2, 255 - gray], axis=2)).save("color.png")
    assert segment("color.png", "--kind", "mask,overlay", "-o", "out/").code == 0
    outside = read("out/color-mask.png") == 0
    assert (read("out/color-overlay.png")[outside] == read("color.png")[outside]).all()  # in its own colours
    deep = read("color.png").astype(np.uint16) * 257
    tifffile.imwrite("deep.tif", deep, photometric="rgb")
    assert segment("deep.tif", "--kind", "overlay", "-o", "deep.png").code == 0
    assert (np.ptp(read("deep.png").astype(int), axis=2) > 20).mean() > 0.3
    assert segment("photo.png", "-o", "gray.png", model="colors").code == 0
    Image.fromarray(np.stack([gray] * 3, axis=2)).save("same.png")
    segment("same.png", "-o", "same-mask.png", model="colors")
    assert (read("gray.png") == read("same-mask.png")).all()


def test_channels_that_do_not_fit_are_named(segment, photo):
    gray = read("photo.png")
    Image.fromarray(np.stack([gray, gray // 2, 255 - gray], axis=2)).save("color.png")
    result = segment("color.png", model="five")
    assert result.code == 1
    assert "color.png" in result.error
    assert "3 channels, expected 5" in result.error
    np.save("five.npy", np.dstack([gray] * 5))
    assert segment("five.npy", model="five").code == 0
    assert "5 channels, expected 1" in segment("five.npy", "-o", "x.png").error
    for shape in ((3, 100, 100), (3, 20, 30)):  # too many channels for any picture, and for the model
        np.save("first.npy", np.zeros(shape, np.uint8))
        refused = segment("first.npy", "-o", "x.png")
        assert (refused.code, "np.moveaxis(array, 0, -1)" in refused.error) == (1, True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_named(segment, folder, value):
    samples = np.random.default_rng(0).random((30, 40))
    samples[20, 3] = value
    np.save("holes.npy", samples)
    result = segment("holes.npy")
    assert result.code == 1
    assert "holes.npy" in result.error
    assert "NaN or infinity" in result.error
    assert files(folder) == ["holes.npy"]


def test_nothing_found_is_said_aloud(segment, photo):
    result = segment("photo.png", "--kind", "all", "-o", "out/", "--threshold", "1")
    assert result.code == 0, result.stderr
    assert "next to nothing found" in result.stderr
    assert "--threshold" in result.stderr
    assert (read("out/photo-instances.png") == 0).all()
    header = Path("out/photo-instances-objects.csv").read_text()
    assert header.startswith("object,class,area,x,y")
    assert header.count("\n") == 1


def test_a_lower_threshold_is_advised_only_where_it_would_help(segment, folder):
    """A speck above the threshold in a large picture: its probability says nothing about the rest."""
    from imgtool.cli.segment_work import advised

    assert advised(0.3, 0.5) == "Try --threshold 0.15, or another size of picture"
    assert advised(0.004, 0.5) == "Try --threshold 0.01, or another size of picture"
    assert advised(0.97, 0.5) == "Try --threshold 0.25, or another size of picture"


def test_all_found_is_said_aloud(segment, photo):
    result = segment("photo.png", "--threshold", "0")
    assert "100.0% of it was found" in result.stderr


def test_weights_of_another_network_are_refused(segment, photo):
    result = segment("photo.png", model="hed")
    assert result.code == 3
    assert "holds hed, expected unet" in result.error
    assert files(photo) == ["photo.png"]


def test_refuses_in_one_line(segment, photo):
    for words, code, told in (
        (("--threshold", "2"), 2, "--threshold"),
        (("--threshold", "nan"), 2, "--threshold"),
        (("--tile", "0"), 2, "--tile"),
        (("--min-area", "-1"), 2, "--min-area"),
        (("--kind", "masks"), 2, "masks"),
        (("--bits", "12"), 2, "12"),
        (("-o", "out.jpg"), 2, "out.jpg"),
        (("--classes", "bird"), 2, "no 'bird'; the model has classes 255"),
        (("--weights", "missing.safetensors"), 3, "missing.safetensors"),
        (("--weights", "missing"), 3, "missing"),
    ):
        result = segment("photo.png", *words)
        assert result.code == code, (words, result.stderr)
        assert told in result.error, words
        assert files(photo) == ["photo.png"]
    assert "one class only" in segment("photo.png", "--classes", "core", model="objects").error
    assert segment("gone.png").code == 2


def test_existing_outputs_are_kept_skipped_or_replaced(segment, photo):
    segment("photo.png", "--kind", "mask,instances", "-o", "out/")
    before = {name: (photo / "out" / name).stat().st_mtime_ns for name in files(photo / "out")}
    assert segment("photo.png", "--kind", "mask,instances", "-o", "out/").code == 2
    result = segment("photo.png", "--kind", "mask,instances", "-o", "out/", "--skip-existing", "--json")
    assert result.records[-1]["summary"] == {"done": 0, "skipped": 1, "failed": 0}
    assert {name: (photo / "out" / name).stat().st_mtime_ns for name in files(photo / "out")} == before
    (photo / "out/photo-mask.png").unlink()
    result = segment("photo.png", "--kind", "mask,instances", "-o", "out/", "--skip-existing")
    assert result.code == 0, result.stderr
    assert (photo / "out/photo-instances.png").stat().st_mtime_ns == before["photo-instances.png"]
    assert segment("photo.png", "--kind", "mask,instances", "-o", "out/", "--force").code == 0
    assert (photo / "out/photo-instances.png").stat().st_mtime_ns > before["photo-instances.png"]


def test_nothing_is_half_written_when_it_fails(segment, photo, monkeypatch):
    """In the middle of the strips, whatever fails."""
    from imgtool.cli import segment_work
    from imgtool.errors import BadImage

    plain = segment_work.probability_strips

    def failing(*arguments, **options):
        yield next(plain(*arguments, **options))
        raise BadImage("photo.png", "truncated")

    segment("photo.png", "-o", "old.png")
    before = Path("old.png").read_bytes()
    monkeypatch.setattr(segment_work, "probability_strips", failing)
    result = segment("photo.png", "--kind", "all", "--tile", "16", "-o", "out/", "--sheet")
    assert result.code == 1
    assert segment("photo.png", "--tile", "16", "-o", "old.png", "--force").code == 1
    assert Path("old.png").read_bytes() == before
    assert not [name for name in files(photo) if name not in ("old.png", "photo.png")]
    streamed = segment("photo.png", "--tile", "16", "-o", "-")
    assert (streamed.code, streamed.stdout) == (1, b"")


def test_a_mask_is_not_there_when_its_objects_fail(segment, photo, monkeypatch):
    from imgtool.cli import segment_files

    def full(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(segment_files, "instances_of", full)
    result = segment("photo.png", "--kind", "mask,instances", "-o", "out/")
    assert (result.code, "out of memory" in result.stderr) == (4, True)
    assert files(photo) == ["photo.png"]


def test_small_tiles_are_told_once_to_be_slow(imgtool, models, folder):
    """In fp32 windows stay large, however small a tile is."""
    words = (
        "--weights",
        models / "cells.safetensors",
        "--threads",
        "1",
        "--kind",
        "mask",
        "-o",
        "out/",
        "-f",
    )
    for name in "ab":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)).save(f"{name}.png")
    slow = imgtool("segment", "a.png", "b.png", *words, "--precision", "fp32", "--tile", "16")
    assert slow.stderr.count("tiles of 16 are slow") == 1
    assert "with --tile 640 at" in slow.stderr
    for more in (("--precision", "fp32"), ("--precision", "bf16", "--tile", "32")):
        assert "slow" not in imgtool("segment", "a.png", *words, *more).stderr


def test_memory_that_runs_out_halves_the_tile(segment, photo, monkeypatch):
    from imgtool.cli import segment_work

    plain, tried = segment_work.probability_strips, []

    def full(*arguments, tile, **options):
        tried.append(tile)
        if len(tried) == 1:
            raise MemoryError
        return plain(*arguments, tile=tile, **options)

    monkeypatch.setattr(segment_work, "probability_strips", full)
    result = segment("photo.png", "--tile", "64")
    assert (result.code, tried) == (0, [64, 32])
    assert "once more with --tile 32" in result.stderr


def test_what_lacks_its_table_or_sheet_is_not_done(segment, photo):
    """And what is done stays as it is, also what stands beside it."""
    words = ("photo.png", "--kind", "mask,instances", "--sheet", "-o", "out/", "--skip-existing")
    done = segment(*words)
    assert "out/photo-instances-objects.csv: 60x44" in done.stderr
    whole = {path: Path("out", path).read_bytes() for path in files("out")}
    assert "0 done, 1 skipped" in segment(*words).stderr
    for gone in ("photo-instances-objects.csv", "photo-mask-sheet.png", "photo-instances.png"):
        Path("out", gone).unlink()
        untouched = Path("out/photo-instances.png" if "sheet" in gone else "out/photo-mask.png")
        before = untouched.stat().st_mtime_ns
        assert segment(*words).code == 0
        assert {path: Path("out", path).read_bytes() for path in files("out")} == whole
        assert untouched.stat().st_mtime_ns == before


def test_verify_tiles_goes_on_after_a_bad_picture(segment, photo):
    Path("bad.png").write_bytes(b"no picture")
    result = segment("bad.png", "photo.png", "--verify-tiles", "--json")
    assert result.code == 1
    assert result.records[-1] == {"summary": {"equal": 1, "different": 0, "failed": 1}}


def test_a_plain_picture_gets_no_threshold_advised(segment, photo, monkeypatch):
    from imgtool.cli import segment_work

    monkeypatch.setattr(segment_work, "HARDLY", 1.1)
    result = segment("photo.png", "--threshold", "1", "-o", "out.png")
    assert "nothing found" in result.stderr
    assert "--threshold" not in result.stderr


def test_a_damaged_tiff_leaves_nothing(segment, photo):
    tifffile.imwrite("bad.tif", np.zeros((60, 50), np.uint16), compression="zlib", rowsperstrip=10)
    data = bytearray(Path("bad.tif").read_bytes())
    with tifffile.TiffFile("bad.tif") as tiff:
        place = tiff.pages[0].dataoffsets[2]
    data[place : place + 6] = b"\xff" * 6
    Path("bad.tif").write_bytes(data)
    result = segment("bad.tif")
    assert result.code == 1
    assert "bad.tif" in result.error
    assert files(photo) == ["bad.tif", "photo.png"]


def test_more_pixels_than_allowed_are_refused_by_the_header(segment, photo):
    np.save("big.npy", np.zeros((50, 50)))
    for name in ("big.npy", "photo.png"):
        assert "--max-pixels" in segment(name, "--max-pixels", "100").error
