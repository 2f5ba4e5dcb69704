"""The house rules of the code, read from its syntax trees; each is shown to find a line that breaks it."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "imgtool"
LAYERS = [
    {"cli"},
    {"api", "web"},
    {"tasks"},
    {"training", "data"},
    {"nn", "losses", "metrics", "optim", "imaging", "runtime"},
    {"options", "files", "child"},
    {"errors"},
]
ROW = {room: row for row, rooms in enumerate(LAYERS) for room in rooms}
ROOT = {"__init__", "__main__"}  # files, not rooms
FROM_ROOT = {"__version__", "STARTED"}  # what cli may take from there
TALK = {"print", "exit", "quit", "sys.exit", "os._exit", "sys.stdout", "sys.stderr", "SystemExit"}
UNPICKLES = {"torch.load", "torch.save", "joblib.load", "joblib.dump"}
CHOICES = Path("cli/value_types.py")  # names accelerators as words that a user may choose
ACCELERATOR = re.compile(r"(cuda|mps|xpu|hip)(:.*)?")

# A place relative to the package, its syntax tree -> nodes that break the rule.
Rule = Callable[[Path, ast.Module], Iterator[ast.AST]]


def room_of(place: Path) -> str:
    return place.parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Each imported module, in full; `from imgtool import x` counts as imgtool, unless x is a room."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                rooms = node.module == "imgtool" and alias.name in ROW
                yield node, f"imgtool.{alias.name}" if rooms else "." * node.level + (node.module or "")


def arrows_point_down(place: Path, tree: ast.Module) -> Iterator[ast.AST]:
    room = room_of(place)
    for node, module in imports(tree):
        if module == "imgtool":
            allowed = isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} <= FROM_ROOT
            if not (allowed and room == "cli"):
                yield node
        elif module.startswith("."):
            yield node
        elif module.startswith("imgtool.") and room not in ROOT:
            target = module.split(".")[1]
            if target != room and not (room in ROW and target in ROW and ROW[target] > ROW[room]):
                yield node


def every_room_has_a_row(place: Path, tree: ast.Module) -> Iterator[ast.AST]:
    if room_of(place) not in {*ROW, *ROOT}:
        yield tree


def accelerators_in_one_file(place: Path, tree: ast.Module) -> Iterator[ast.AST]:
    if place == Path("runtime/device.py"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            named = node.attr.removeprefix("is_") in {"cuda", "mps", "xpu"}
        else:
            text = node.value if isinstance(node, ast.Constant) else None
            named = isinstance(text, str) and bool(ACCELERATOR.fullmatch(text)) and place != CHOICES
        if named:
            yield node


def checkpoints_in_one_file(place: Path, tree: ast.Module) -> Iterator[ast.AST]:
    yield from (node for node, module in imports(tree) if module in {"pickle", "cPickle", "dill"})
    if place == Path("runtime/checkpoints.py"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in UNPICKLES:
            yield node
        if isinstance(node, ast.ImportFrom) and node.module in {"torch", "torch.serialization", "joblib"}:
            yield from (node for alias in node.names if alias.name in {"load", "save", "dump"})


def only_cli_talks(place: Path, tree: ast.Module) -> Iterator[ast.AST]:
    if room_of(place) in {"cli", *ROOT}:
        return
    yield from (node for node, module in imports(tree) if module.split(".")[0] in {"rich", "click"})
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in TALK:
            yield node


def heavy_imports_inside_functions(place: Path, tree: ast.Module) -> Iterator[ast.AST]:
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node, module in imports(tree):
        if module.split(".")[0] in {"torchvision", "skimage"} and id(node) not in inside:
            yield node


RULES: tuple[Rule, ...] = (
    arrows_point_down,
    every_room_has_a_row,
    accelerators_in_one_file,
    checkpoints_in_one_file,
    only_cli_talks,
    heavy_imports_inside_functions,
)


def broken(rule: Rule, package: Path) -> list[str]:
    """Where a rule is broken: "nn/vgg.py:12"."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{place.as_posix()}:{getattr(node, 'lineno', 1)}" for node in rule(place, tree)]
    return found


@pytest.mark.parametrize("rule", RULES)
def test_holds(rule: Rule) -> None:
    assert broken(rule, PACKAGE) == []


@pytest.mark.parametrize(
    ("rule", "place", "line"),
    [
        (arrows_point_down, "losses/gram.py", "from imgtool.imaging.color import luma"),
        (arrows_point_down, "nn/vgg.py", "def late():\n    import imgtool.tasks.stylize"),
        (arrows_point_down, "tasks/load.py", "from imgtool.cli import console"),
        (arrows_point_down, "files.py", "from imgtool.options.stylize import INITS"),
        (arrows_point_down, "errors.py", "from imgtool import files"),
        (arrows_point_down, "runtime/device.py", "from imgtool import __version__"),
        (arrows_point_down, "cli/batch.py", "from imgtool import stylize"),
        (arrows_point_down, "tasks/stylize.py", "import imgtool"),
        (arrows_point_down, "nn/vgg.py", "from .blocks import Block"),
        (arrows_point_down, "web/jobs.py", "from imgtool.cli.main import cli"),
        (every_room_has_a_row, "helpers/strings.py", "x = 1"),
        (every_room_has_a_row, "helpers.py", "x = 1"),
        (accelerators_in_one_file, "tasks/stylize.py", 'device = "cuda:0"'),
        (accelerators_in_one_file, "nn/vgg.py", "x = torch.backends.mps"),
        (accelerators_in_one_file, "cli/value_types.py", "x = tensor.is_cuda"),
        (checkpoints_in_one_file, "runtime/convert.py", "torch.save(x, y)"),
        (checkpoints_in_one_file, "tasks/load.py", "from torch import load"),
        (checkpoints_in_one_file, "runtime/checkpoints.py", "import pickle"),
        (checkpoints_in_one_file, "cli/main.py", "x = joblib.load('a')"),
        (only_cli_talks, "tasks/stylize.py", 'print("done")'),
        (only_cli_talks, "runtime/fetch.py", "sys.exit(3)"),
        (only_cli_talks, "imaging/io.py", "def late():\n    from rich import print as say"),
        (only_cli_talks, "files.py", "raise SystemExit"),
        (heavy_imports_inside_functions, "metrics/images.py", "import skimage.metrics"),
        (heavy_imports_inside_functions, "nn/vgg.py", "from torchvision.models import vgg19"),
    ],
)
def test_finds_a_planted_line(rule: Rule, place: str, line: str, tmp_path: Path) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "imgtool", ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / place
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    assert [where.split(":")[0] for where in set(broken(rule, copy)) - set(broken(rule, PACKAGE))] == [place]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["stylize", "--help"], 0),
        (["weights", "--help"], 0),
        (["segment", "--help"], 0),
        (["serve", "--help"], 0),
        (["train-segment", "--help"], 0),
        (["segment", "a.jpg", "--threshold", "high"], 2),
        (["train-segment", "a", "b", "-o", "run", "--depth", "0"], 2),
        (["stylize", "a.jpg", "b.jpg", "--steps", "many"], 2),
        (["stylize", "a.jpg", "b.jpg", "--style-weight", "-1"], 2),
        (["stylise"], 2),
    ],
)
def test_answers_without_torch(arguments: list[str], code: int) -> None:
    script = (
        "import sys; from imgtool.cli.main import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'numpy', 'rich', 'PIL'} & set(sys.modules); "
        "print(*heavy, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stderr.splitlines()[-1], done.returncode) == ("", code), done.stderr
