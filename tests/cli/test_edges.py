import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from imgtool.nn.hed import HED
from imgtool.runtime.checkpoints import save_tensors


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    """A narrow network with random weights, as a file for --weights."""
    torch.manual_seed(0)
    network = HED((3, 4, 5, 6, 7))
    for name, module in network.named_children():
        torch.nn.init.kaiming_normal_(module.get_parameter("weight"))
        if name.startswith(("side", "fuse")):
            module.get_parameter("weight").data.mul_(0.5)
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    save_tensors(path, network.state_dict(), {"network": "hed", "preprocessing": "caffe"})
    return path


@pytest.fixture
def edges(imgtool, detector):
    """Runs `imgtool edges` with random weights."""
    quick = ("--weights", str(detector), "--precision", "fp32", "--threads", "1")
    return lambda *arguments, **more: imgtool("edges", *quick, *arguments, **more)


@pytest.fixture
def rerun(imgtool, detector):
    """Makes an output again."""
    return lambda made, again: imgtool("rerun", made, "-o", again, "--find", detector.parent)


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def looks(path):
    with Image.open(path) as image:
        return image.mode, image.size


def test_map_has_the_photos_size_and_one_channel(edges, pictures):
    assert edges("photo.png").code == 0
    assert looks("photo-edges.png") == ("L", (40, 24))
    assert np.ptp(read("photo-edges.png")) > 20


def test_sixteen_bits(edges, pictures):
    edges("photo.png", "-o", "8.png")
    edges("photo.png", "-o", "16.png", "--bits", "16")
    deep = read("16.png")
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - read("8.png")).max() <= 0.51


def test_invert_and_threshold(edges, pictures):
    edges("photo.png", "-o", "map.png")
    edges("photo.png", "-o", "inverted.png", "--invert")
    assert (read("inverted.png") == 255 - read("map.png")).all()
    level = float(np.median(read("map.png"))) / 255
    edges("photo.png", "-o", "binary.png", "--threshold", str(level))
    binary = read("binary.png")
    assert set(np.unique(binary)) == {0, 255}
    assert (binary[read("map.png") > level * 255 + 1] == 255).all()


def test_thin_keeps_crests_alone(edges, pictures):
    edges("photo.png", "-o", "map.png")
    edges("photo.png", "-o", "thin.png", "--thin")
    assert 0 < (read("thin.png") > 0).mean() < 0.5 * (read("map.png") > 0).mean()


def test_all_kinds_in_a_file_each(edges, pictures):
    assert edges("photo.png", "--kind", "all", "-o", "maps/").code == 0
    names = sorted(path.name for path in (pictures / "maps").iterdir())
    assert names == [f"photo-{kind}.png" for kind in ("average", "fuse", *(f"side{n}" for n in range(1, 6)))]
    assert edges("photo.png", "--kind", "side3", "-o", "side3.png").code == 0
    assert (read("side3.png") == read("maps/photo-side3.png")).all()


def test_each_of_all_kinds_can_be_made_again(edges, rerun, pictures):
    edges("photo.png", "--kind", "all", "-o", "maps/")
    assert rerun("maps/photo-side2.png", "again.png").code == 0
    assert (pictures / "again.png").read_bytes() == (pictures / "maps/photo-side2.png").read_bytes()


def test_what_is_written_besides(edges, pictures):
    assert edges("photo.png", "--overlay", "--svg", "--sheet").code == 0
    assert looks("photo-edges-overlay.png") == ("RGB", (40, 24))
    assert looks("photo-edges-sheet.png")[1][0] > 3 * 40
    assert (pictures / "photo-edges-lines.svg").read_text().startswith("<svg")


def test_drawing_by_its_name_or_to_stdout(edges, rerun, pictures):
    assert edges("photo.png", "-o", "lines.svg", "--threshold", "0.3").code == 0
    drawing = (pictures / "lines.svg").read_text()
    assert re.search(r'viewBox="0 0 40 24"', drawing)
    assert "<path" in drawing
    streamed = edges("photo.png", "-o", "-", "--format", "svg", "--threshold", "0.3")
    assert "<path" in streamed.stdout.decode()
    assert rerun("lines.svg", "again.svg").code == 0
    assert (pictures / "again.svg").read_text() == drawing


def test_a_drawing_has_a_sidecar_too(edges, rerun, pictures):
    assert edges("photo.png", "-o", "lines.svg", "--sidecar", "--thin").code == 0
    assert "thin" not in json.loads((pictures / "lines.svg.json").read_text())["options"]
    assert rerun("lines.svg.json", "again.svg").code == 0
    assert (pictures / "again.svg").read_text() == (pictures / "lines.svg").read_text()
    (pictures / "lines.svg").unlink()
    assert "lines.svg.json exists" in edges("photo.png", "-o", "lines.svg", "--sidecar").error


def test_lines_beside_a_deep_map_can_be_made_again(edges, rerun, pictures):
    assert edges("photo.png", "--bits", "16", "--svg", "-o", "map.png").code == 0
    assert rerun("map-lines.svg", "again.svg").code == 0


def test_lines_that_take_too_much_memory_are_refused(edges, pictures, monkeypatch):
    monkeypatch.setattr("imgtool.cli.edges_work.LINE_BYTES", 10**12)
    result = edges("photo.png", "-o", "lines.svg", "--threshold", "0.3")
    assert result.code == 4
    assert "GB are free. Try: fewer lines by a higher --threshold" in result.error


def test_memory_that_runs_out_while_writing_is_one_line(edges, pictures, monkeypatch):
    def full(*_, **more):
        raise MemoryError

    monkeypatch.setattr("imgtool.cli.edges_work.levels", full)
    result = edges("photo.png")
    assert (result.code, "out of memory while it was written" in result.error) == (4, True)


def test_rerun_gives_the_same_bytes(edges, rerun, pictures):
    edges("photo.png", "--thin", "--scales", "0.5,1", "--tile", "32", "--invert")
    assert rerun("photo-edges.png", "again.png").code == 0
    assert (pictures / "again.png").read_bytes() == (pictures / "photo-edges.png").read_bytes()


def test_transparency_is_carried(edges, folder, save):
    save("clear.png", alpha=True)
    edges("clear.png")
    assert (read("clear-edges.png")[..., -1] == read("clear.png")[..., -1]).all()


def test_transparency_is_carried_in_sixteen_bits(edges, folder, save):
    save("clear.png", alpha=True)
    assert edges("clear.png", "--bits", "16").code == 0
    from imgtool.imaging.io import read_picture

    written = read_picture(folder / "clear-edges.png")
    assert written.alpha.dtype == np.uint16
    assert (written.alpha == read("clear.png")[..., -1].astype(np.uint16) * 257).all()


def test_what_stands_beside_the_maps_is_of_the_first(edges, pictures):
    """However many maps are there already."""
    words = ("photo.png", "--kind", "all", "-o", "maps/", "--svg", "--sheet")
    edges(*words)
    whole = {path.name: path.read_bytes() for path in (pictures / "maps").iterdir()}
    assert {"photo-average-lines.svg", "photo-average-sheet.png"} <= whole.keys()
    for gone in ("photo-side3.png", "photo-average-lines.svg", "photo-average.png"):
        (pictures / "maps" / gone).unlink()
        assert edges(*words, "--skip-existing").code == 0
        assert {path.name: path.read_bytes() for path in (pictures / "maps").iterdir()} == whole


def test_what_is_thinned_away_reaches_no_threshold(edges, pictures):
    edges("photo.png", "--thin", "--threshold", "0")
    assert (read("photo-edges.png") == 0).any()


def test_a_bad_file_in_a_batch_is_named_and_skipped(edges, pictures):
    (pictures / "broken.png").write_bytes(b"no picture")
    result = edges("photo.png", "broken.png", "painting.png", "-o", "maps/", "--json")
    assert result.code == 1
    assert "broken.png" in result.stderr
    assert result.stderr.splitlines()[-1] == "2 done, 0 skipped, 1 failed"
    assert [record.get("error") is None for record in result.records[:-1]] == [True, False, True]
    assert sorted(path.name for path in (pictures / "maps").iterdir()) == ["painting.png", "photo.png"]


def test_json_tells_size_and_machine(edges, pictures):
    record = edges("photo.png", "--json").records[0]
    assert (record["width"], record["height"], record["precision"]) == (40, 24, "fp32")
    assert record["weights"][0]["sha256"]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 2)])
def test_tiny_pictures(edges, folder, save, size):
    save("tiny.png", size=size)
    assert edges("tiny.png").code == 0
    assert looks("tiny-edges.png")[1] == size


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scales", "0"), "--scales: must be from 0.05 to 8"),
        (("--scales", "1,x"), "no number"),
        (("--tile", "8"), "--tile: must be at least 16"),
        (("--threshold", "2"), "0<=x<=1"),
        (("--kind", "side6"), "side6"),
        (("--threshold", "0.5", "--bits", "16"), "black and white"),
        (("--threshold", "nan"), "'nan' is no number from 0 to 1"),
        (("--bits", "16", "-o", "a.svg"), "--bits: lines in an .svg have no depth"),
        (("--bits", "16", "--format", "svg"), "--bits: lines in an .svg have no depth"),
        (("--weights", "missing.safetensors"), "missing.safetensors"),
    ],
)
def test_refuses_in_one_line(edges, pictures, arguments, words):
    result = edges("photo.png", *arguments)
    assert result.code in (2, 3)
    assert words in result.error
    assert not (pictures / "photo-edges.png").exists()


def test_weights_of_another_network_are_refused(imgtool, pictures, random_vgg19):
    result = imgtool("edges", "photo.png", "--weights", random_vgg19)
    assert result.code == 3
    assert "holds vgg19, expected hed" in result.error


def test_weights_that_do_not_fit_are_refused(imgtool, pictures, tmp_path):
    tensors = HED((3, 4, 5, 6, 7)).state_dict()
    tensors["conv2_2.weight"] = torch.zeros(4, 9, 3, 3)
    save_tensors(tmp_path / "odd.safetensors", tensors, {"network": "hed"})
    result = imgtool("edges", "photo.png", "--weights", tmp_path / "odd.safetensors")
    assert result.code == 3
    assert "conv2_2.weight is float32 (4, 9, 3, 3), expected float32 (4, 4, 3, 3)" in result.error


def test_recipe_tells_the_options_as_resolved(edges, imgtool, pictures):
    edges("photo.png", "--thin")
    recipe = json.loads(imgtool("inspect", "photo-edges.png").stdout)
    assert recipe["command"] == "edges"
    assert (recipe["options"]["kind"], recipe["options"]["thin"]) == ("average", True)
