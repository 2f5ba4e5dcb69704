"""What a wheel holds."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "imgtool", "weights")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that the tree stays clean."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*build, "-w", str(target), str(source)], check=True, capture_output=True, timeout=120)
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def members(wheel: Path) -> set[str]:
    """Names of the files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_holds_every_module(members: set[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "imgtool").rglob("*.py")}
    assert modules <= members


def test_holds_the_data_that_modules_read(members: set[str]) -> None:
    runtime = ROOT / "imgtool" / "runtime"
    data = {
        path.relative_to(ROOT).as_posix()
        for path in (
            *runtime.glob("*.toml"),
            *runtime.glob("layouts/*.json"),
            *runtime.with_name("web").glob("page/*"),
        )
    }
    assert len(data) >= 8
    assert data | {"imgtool/py.typed", "imgtool/trained/__init__.py", "imgtool/trained/README.md"} <= members


def test_holds_every_trained_file(members: set[str]) -> None:
    trained = {f"imgtool/trained/{path.name}" for path in (ROOT / "weights").glob("*.safetensors")}
    assert trained <= members


def test_holds_nothing_else(members: set[str]) -> None:
    tops = {name.split("/")[0] for name in members}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"imgtool"}
    assert not [name for name in members if "test" in name or "__pycache__" in name]


def test_carries_licence_and_command(wheel: Path, members: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in members)
    with zipfile.ZipFile(wheel) as archive:
        (points,) = (name for name in members if name.endswith("entry_points.txt"))
        assert "imgtool = imgtool.cli.main:main" in archive.read(points).decode()
