"""What the documents say holds: commands, options, examples, links, version, and the README's two lines."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

import imgtool
from imgtool.cli import settings
from imgtool.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[1]
MAKE_CLI = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))
EVERY_COMMAND: dict[str, click.Command] = dict(
    MAKE_CLI["walk"](cli, "imgtool")
)  # by full name, parts included
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    *ROOT.glob("*/README.md"),
]


def marked(name: str) -> str:
    """The one line between `<!-- name -->` and `<!-- end -->` in the README, as .ci/run finds it."""
    block = README.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
    (line,) = (line for line in block.strip().splitlines() if not line.startswith("```"))
    return line


def examples() -> Iterator[tuple[str, str]]:
    """Each line that types `imgtool ...`: in the documents' code blocks, in scripts, and in the help."""
    texts = [
        (path.name, block)
        for path in PAGES
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    ]
    texts += [(path.name, path.read_text(encoding="utf-8")) for path in (ROOT / "examples").glob("*.sh")]
    texts += [(name, f"{command.help}\n{command.epilog}") for name, command in EVERY_COMMAND.items()]
    for place, text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            if found := re.search(r"(?:^\s*|/|Try: )(imgtool [^#|>]*)", line):
                yield place, found[1].strip()


TYPED = sorted(set(examples()))


def test_finds_examples() -> None:
    assert len(TYPED) > 20


@pytest.mark.parametrize(("place", "line"), TYPED)
def test_example_names_what_exists(place: str, line: str) -> None:
    words = shlex.split(line)
    name = "imgtool"
    while len(words) > len(name.split()) and f"{name} {words[len(name.split())]}" in EVERY_COMMAND:
        name = f"{name} {words[len(name.split())]}"
    assert name != "imgtool" or words[1].startswith("-"), f"no such command: {line}"
    options = {text for param in EVERY_COMMAND[name].params for text in (*param.opts, *param.secondary_opts)}
    options |= {"-h", "--help"}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= options


@pytest.mark.parametrize("name", list(COMMANDS))
def test_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"^\| `imgtool {name}` \| \w", README, re.MULTILINE)


def test_readme_promises_no_other_command() -> None:
    assert set(re.findall(r"^\| `imgtool ([\w-]+)`", README, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in EVERY_COMMAND if name != "imgtool"])
def test_command_explains_itself(name: str) -> None:
    command = EVERY_COMMAND[name]
    assert command.help and command.get_short_help_str()
    assert f"{name}" in f"{command.help} {command.epilog}", "its help shows no example"
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{param.opts[0]} has no help"


def test_options_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == MAKE_CLI["render"](), "docs/cli.md: run `make docs`"


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_tables_of_options_are_up_to_date(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert page == MAKE_CLI["filled"](page), f"docs/{path.name}: run `make docs`"


def test_each_command_on_pictures_has_a_page_with_its_options() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    told = {name for page in pages for name in re.findall(r"<!-- options of imgtool ([a-z -]+) -->", page)}
    groups = {name for name, command in EVERY_COMMAND.items() if isinstance(command, click.Group)}
    assert not set(EVERY_COMMAND) - groups - {f"imgtool {name}" for name in told}


def test_manual_has_a_page_a_command_with_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    pages = dict(runpy.run_path(str(ROOT / "docs" / "make_man.py"))["pages"]())
    assert set(pages) == {name.replace(" ", "-") for name in EVERY_COMMAND}
    for name, command in EVERY_COMMAND.items():
        page = pages[name.replace(" ", "-")]
        shown = page.replace("\\-", "-")
        assert shown.startswith(f'.TH {name.upper().replace(" ", "-")} 1 "" "imgtool ')
        options = [param.opts[-1] for param in command.params if isinstance(param, click.Option)]
        assert all(rf"\fB{option}\fR" in shown for option in options)
        others = re.search(r"\.SH SEE ALSO\n(.*)", shown)
        assert others and {each.removesuffix("(1)") for each in others[1].split(", ")} <= set(pages)
        lost = re.search(r"^(?!\.(TH|SH|TP|PP|nf|fi)\b)[.']", page, re.MULTILINE)
        assert lost is None and "\n\n" not in page


@pytest.mark.parametrize("name", ["stylize command", "test command"])
def test_set_up_is_one_line_that_a_shell_reads(name: str) -> None:
    line = marked(name)
    assert line.startswith("python3.11 -m venv .venv && .venv/bin/pip install ")
    subprocess.run(["bash", "-n", "-c", line], check=True)
    for file in re.findall(r"examples/\S+", line):
        assert (ROOT / file).is_file()


def test_checks_take_their_command_from_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "<!-- test command -->" in script.read_text(encoding="utf-8")
    assert "pytest" not in script.read_text(encoding="utf-8")


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.weights
def test_set_up_ends_in_a_picture(tmp_path: Path) -> None:
    typed = shlex.split(marked("stylize command").rpartition("&& ")[2])
    assert typed[0] == ".venv/bin/imgtool"
    (output,) = (word for word in typed if word.endswith(".png"))
    typed[typed.index(output)] = str(tmp_path / output)
    command = [sys.executable, "-m", "imgtool", *typed[1:], "--size", "96", "--steps", "4"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    with Image.open(tmp_path / output) as picture:
        assert max(picture.size) == 96
        assert len(picture.getcolors(96 * 96) or range(96 * 96)) > 1000


@pytest.mark.weights
def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(ROOT / "examples" / "chelsea.jpg", tmp_path / "photo.jpg")
    shutil.copy(ROOT / "examples" / "waves.jpg", tmp_path / "painting.jpg")
    smaller = block.replace("size=512, steps=100", "size=96, steps=4")
    assert smaller != block
    subprocess.run([sys.executable, "-c", smaller], cwd=tmp_path, check=True, timeout=300)
    with Image.open(tmp_path / "out.png") as picture:
        assert max(picture.size) == 96


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\[[^\]]*\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == imgtool.__version__
    assert f"## [{imgtool.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_settings_of_the_readme_are_options(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "imgtool.toml").write_text(block, encoding="utf-8")
    assert {"stylize", "score edges"} <= settings.read(tmp_path / "imgtool.toml", cli.commands).keys()


def test_design_page_has_every_room() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    listed = {room.removesuffix(".py") for room in re.findall(r"^\| \d \| `([\w.]+)`", page, re.MULTILINE)}
    rooms = {
        path.name.removesuffix(".py") for path in (ROOT / "imgtool").glob("[a-z]*") if path.name != "py.typed"
    }
    assert rooms <= listed
