import io
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from imgtool.errors import WeightsError
from imgtool.runtime.archive import read_member
from imgtool.runtime.convert import metadata_of, tensors_of, write_safetensors
from imgtool.runtime.entries import Member, StoredTensor
from imgtool.runtime.registry import find_weights, registry

# The cards


def test_everything_is_pinned():
    for name, entry in registry().items():
        assert entry.archive is None or (len(entry.archive.sha256) == 64 and entry.archive.bytes > 0), name
        assert entry.member is None or (len(entry.member.sha256) == 64 and entry.layout), name
        assert entry.converted.sha256 or entry.url, name  # A file of the web is noted when it arrives
        assert entry.licence and entry.data and entry.provenance and entry.citation and entry.about, name


@pytest.mark.parametrize(("name", "layers"), [("vgg19-activations", 16), ("vgg16-activations", 13)])
def test_measurements_of_this_project_are_at_hand(isolated, name, layers):
    """Whole, by their pinned SHA-256, and something that can be divided by."""
    means = load_file(find_weights(name).path)
    assert len(means) == layers
    assert all(np.isfinite(mean).all() and mean.min() > 0 for mean in means.values())


def test_layouts_fit_their_members():
    for entry in registry().values():
        for name, stored in entry.layout.items():
            count = int(np.prod(stored.shape))
            assert stored.at + (count if stored.table else 4 * count) <= entry.member.bytes, (
                entry.name,
                name,
            )


@pytest.mark.parametrize(("name", "tensors"), [("vgg19", 32), ("vgg16", 31), ("hed", 38)])
def test_layouts_are_complete(name, tensors):
    assert len(registry()[name].layout) == tensors


def test_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        registry()["mine"] = None


# Where a name is found


def test_unknown_name(isolated):
    with pytest.raises(WeightsError) as caught:
        find_weights("vg19")
    assert "known are vgg19, vgg16, hed" in caught.value.message
    assert "did you mean vgg19?" in caught.value.message


def test_file_that_is_not_there(isolated):
    with pytest.raises(WeightsError, match="no such file"):
        find_weights("runs/a.safetensors")


def test_given_file(isolated, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file({"conv1_1.bias": np.zeros(2, "f4")}, path, {"network": "unet", "preprocessing": "none"})
    found = find_weights(str(path))
    assert (found.path, found.network, found.preprocessing) == (path, "unet", "none")


@pytest.mark.parametrize(
    ("names", "network", "preprocessing"),
    [
        (["features.28.weight", "features.34.weight"], "vgg19", "torchvision"),
        (["features.0.weight", "features.28.weight"], "vgg16", "torchvision"),
        (["conv5_3.weight", "conv5_4.weight"], "vgg19", "caffe"),
        (["conv5_3.weight", "fuse.weight"], "hed", "hed"),
        (["up1.weight"], "", "caffe"),
    ],
)
def test_given_file_without_a_word_about_itself(isolated, tmp_path, names, network, preprocessing):
    path = tmp_path / "mine.safetensors"
    save_file({name: np.zeros(2, "f4") for name in names}, path)
    found = find_weights(str(path))
    assert (found.network, found.preprocessing) == (network, preprocessing)


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-this-name/a.pth", "a\0b", "two\nlines.pth", ""])
def test_strange_names(isolated, name):
    with pytest.raises(WeightsError) as caught:
        find_weights(name)
    assert "\n" not in caught.value.message


def test_given_run(isolated, tmp_path):
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        find_weights(str(tmp_path))
    save_file({"a": np.zeros(2, "f4")}, tmp_path / "model.safetensors")
    assert find_weights(str(tmp_path)).path == tmp_path / "model.safetensors"


def test_weights_dir_with_converted_file(tiny, isolated, tmp_path, monkeypatch):
    monkeypatch.setenv("IMGTOOL_WEIGHTS_DIR", str(tmp_path))
    with (tmp_path / "tiny.safetensors").open("wb") as file:
        file.write(b"not it")
    with pytest.raises(WeightsError, match=f"expected {tiny.entry.converted.sha256}"):
        find_weights("tiny", entries={"tiny": tiny.entry})


def test_weights_dir_with_archive(tiny, isolated, tmp_path, monkeypatch):
    monkeypatch.setenv("IMGTOOL_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    (tmp_path / tiny.entry.archive_name).write_bytes(tiny.archive)
    found = find_weights("tiny", entries={"tiny": tiny.entry})
    assert found.path.parent == isolated
    assert found.sha256 == tiny.entry.converted.sha256


@pytest.mark.parametrize("file", ["wheel", "sdist"])
def test_installed_distribution(tiny, tiny_sdist, isolated, tmp_path, monkeypatch, file):
    made = tiny if file == "wheel" else tiny_sdist
    (tmp_path / "tinynet").mkdir()
    (tmp_path / "tinynet/weights.bin").write_bytes(made.member)
    info = tmp_path / "tinynet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinynet\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    found = find_weights("tiny", entries={"tiny": made.entry})
    assert found.sha256 == made.entry.converted.sha256


def test_every_place_is_named(tiny, isolated, tmp_path, monkeypatch):
    monkeypatch.setenv("IMGTOOL_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        find_weights("tiny", entries={"tiny": tiny.entry})
    for place in (
        "IMGTOOL_WEIGHTS_DIR: no",
        "cache: no",
        "installed distributions: no tinynet",
        "IMGTOOL_OFFLINE",
    ):
        assert place in caught.value.message
    assert "\n" not in caught.value.message


def test_cache_that_cannot_be_written(tiny, isolated, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMGTOOL_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="cannot be written") as caught:
        find_weights("tiny", entries={"tiny": tiny.entry})
    assert "IMGTOOL_CACHE" in caught.value.hint


# Conversion and hostile archives


def test_same_tensors_same_bytes():
    def written(tensors):
        buffer = io.BytesIO()
        return write_safetensors(buffer, tensors, {"b": "1", "a": "2"}), buffer.getvalue()

    tensors = {"b": np.ones((2, 3), "f4"), "a": np.arange(3, dtype="f4")}
    assert written(tensors) == written(dict(reversed(tensors.items())))


def test_prose_changes_no_pin(tiny):
    told = replace(tiny.entry, licence="MIT, as could be read at last")
    assert metadata_of(told) == metadata_of(tiny.entry)


def test_layout_outside_its_member():
    with pytest.raises(WeightsError, match="layout does not fit"):
        tensors_of(bytes(100), {"a": StoredTensor(at=90, shape=(100,))})


def zipped(path, *infos):
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in infos:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"weights")
    return path


def tarred(path, *infos):
    with tarfile.open(path, "w:gz") as archive:
        for name, kind in infos:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", 7 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"weights"))
    return path


def wanted(name="a/w.bin", size=7):
    return Member(name, size, "")


@pytest.mark.parametrize("name", ["../w.bin", "/etc/w.bin", "a/../../w.bin", "a\\..\\w.bin"])
def test_traversal(tmp_path, name):
    with pytest.raises(WeightsError, match="leaves the archive"):
        read_member(zipped(tmp_path / "a.whl", (name, 0o100644)), wanted(name))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates(tmp_path):
    twice = zipped(tmp_path / "a.whl", ("a/w.bin", 0o100644), ("a/w.bin", 0o100644))
    with pytest.raises(WeightsError, match="2 times, expected once"):
        read_member(twice, wanted())
    regular = ("a/w.bin", tarfile.REGTYPE)
    with pytest.raises(WeightsError, match="2 times, expected once"):
        read_member(tarred(tmp_path / "a.tar.gz", regular, regular), wanted())


def test_links(tmp_path):
    with pytest.raises(WeightsError, match="expected a plain file"):
        read_member(zipped(tmp_path / "a.whl", ("a/w.bin", 0o120777)), wanted())
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        with pytest.raises(WeightsError, match="expected a plain file"):
            read_member(tarred(tmp_path / "a.tar.gz", ("a/w.bin", kind)), wanted())


def test_missing_member(tmp_path):
    with pytest.raises(WeightsError, match="0 times, expected once"):
        read_member(zipped(tmp_path / "a.whl", ("a/other.bin", 0o100644)), wanted())
    with pytest.raises(WeightsError, match="0 times, expected once"):
        read_member(tarred(tmp_path / "a.tar.gz", ("a/other.bin", tarfile.REGTYPE)), wanted())


def test_huge_claims(tmp_path):
    path = zipped(tmp_path / "a.whl", ("a/w.bin", 0o100644))
    size = (10 * 10**9 % 2**32).to_bytes(4, "little")
    contents = path.read_bytes()
    entry = contents.index(b"PK\x01\x02")
    path.write_bytes(contents[: entry + 24] + size + contents[entry + 28 :])
    with pytest.raises(WeightsError, match="claims"):
        read_member(path, wanted())

    info = tarfile.TarInfo("a/w.bin")
    info.size = 10 * 10**9
    (tmp_path / "a.tar").write_bytes(info.tobuf() + b"weights".ljust(512, b"\0"))
    with pytest.raises(WeightsError, match="claims 10,000,000,000 bytes, expected 7"):
        read_member(tmp_path / "a.tar", wanted())


@pytest.mark.parametrize(
    "contents", [b"", b"PK\x03\x04 and nothing more", b"\x1f\x8b\x08", bytes(4096), b"<html>"]
)
def test_no_archive_at_all(tmp_path, contents):
    (tmp_path / "a.whl").write_bytes(contents)
    with pytest.raises(WeightsError):
        read_member(tmp_path / "a.whl", wanted())


@pytest.mark.parametrize("suffix", [".whl", ".tar", ".tar.gz"])
def test_damaged_archives_end_in_one_line(tmp_path, suffix):
    whole, seed = tmp_path / f"whole{suffix}", np.random.default_rng(0)
    zipped(whole, ("a/w.bin", 0o100644)) if suffix == ".whl" else tarred(whole, ("a/w.bin", tarfile.REGTYPE))
    contents = np.frombuffer(whole.read_bytes(), "u1")
    refused = 0
    for _ in range(200):
        damaged, places = contents.copy(), seed.integers(0, len(contents), 3)
        damaged[places] = seed.integers(0, 256, 3)
        (tmp_path / f"a{suffix}").write_bytes(damaged.tobytes())
        try:
            read_member(tmp_path / f"a{suffix}", wanted())
        except WeightsError as error:
            refused += 1
            assert "\n" not in error.message
    assert refused > 20


@pytest.mark.weights
def test_real_vgg19():
    found = find_weights("vgg19")
    assert found.sha256 == registry()["vgg19"].converted.sha256
    tensors = load_file(found.path)
    assert len(tensors) == 32
    assert tensors["conv5_4.weight"].shape == (512, 512, 3, 3)
    np.testing.assert_allclose(tensors["conv1_1.bias"][:4], [0.7302, 0.0649, 0.0343, 0.8260], atol=5e-5)
    np.testing.assert_allclose(tensors["conv1_1.weight"][0, 0, 0], [0.3406, 0.3406, -0.0457], atol=5e-5)
