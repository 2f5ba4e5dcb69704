"""What `imgtool stylize` refuses before any work, in one line each; without torch: tests/test_startup.py."""

from pathlib import Path

import pytest

from imgtool.cli.main import cli
from imgtool.cli.stylize import stylize_command
from imgtool.cli.value_types import WeightedFile


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("photo.png", "no style; give CONTENT and STYLE"),
        ("photo.png painting.png third.png", "3 pictures and no --style"),
        ("", "Missing argument"),
        ("photo.png folder", "style folder is a folder, expected one picture"),
        ("photo.png gone.png", "style gone.png does not exist"),
        ("gone.png painting.png", "gone.png does not exist"),
        ("photo.png --style painting.png:0", "weight of style painting.png must be above 0, got 0"),
        ("photo.png --style painting.png:nan", "must be above 0, got nan"),
        ("photo.png painting.png --stpes 3", "'--steps'"),
        ("photo.png painting.png --steps many", "'many' is no whole number"),
        ("photo.png painting.png --steps -1", "--steps: must be at least 0, got -1"),
        ("photo.png painting.png --steps 1,2 --scales 3", "2 numbers for 3 scales"),
        ("photo.png painting.png --size 0", "--size: must be at least 1, got 0"),
        ("photo.png painting.png --size -5", "--size: must be at least 1, got -5"),
        ("photo.png painting.png --size big", "'big' is no number of pixels; write 512 or full"),
        ("photo.png painting.png --style-weight nan", "--style-weight: must be at least 0, got nan"),
        ("photo.png painting.png --style-weight inf", "got inf"),
        ("photo.png painting.png --style-scale 0", "--style-scale: must be above 0, got 0"),
        ("photo.png painting.png --style-weight 0 --content-weight 0 --tv-weight 0", "nothing to optimise"),
        ("photo.png painting.png --time soon", "'soon' is no time; write 60s, 5m or 1h"),
        ("photo.png painting.png --time 0", "--time: must be above 0"),
        ("photo.png painting.png --time nan", "'nan' is no time"),
        ("photo.png painting.png --seed -1", "--seed: must be from 0 to"),
        ("photo.png painting.png --seed 99999999999999999999", "--seed: must be from 0 to"),
        ("photo.png painting.png --scales 99", "--scales: must be from 1 to 16"),
        ("photo.png painting.png --threads 0", "'--threads': 0 is not in the range"),
        ("photo.png painting.png --max-pixels 0", "'--max-pixels': 0 is not in the range"),
        ("photo.png painting.png --device gpu", "choose auto, cpu, cuda, cuda:N or mps"),
        ("photo.png painting.png --precision int8", "'int8' is not one of 'auto'"),
        ("photo.png painting.png --style-layers conv9_9", "no layer 'conv9_9'; choose from conv1_1"),
        ("photo.png painting.png --init gone.png", "--init: no file 'gone.png', and none of content"),
        ("photo.png painting.png --weights vgg16 --network vgg19", "vgg16 is a network of its own"),
        ("photo.png painting.png --style-mask photo.png", "1 --style-mask for 0 --content-mask"),
        ("photo.png painting.png --content-mask gone.png", "mask gone.png does not exist"),
        (
            "photo.png --style painting.png --style photo.png --content-mask photo.png",
            "1 --content-mask for 2",
        ),
        ("photo.png painting.png -o out.xyz", "out.xyz has unknown suffix .xyz; use one of .png"),
        ("photo.png painting.png --name {stam}.png", "use {stem} {name} {command} {kind} {index}"),
        ("photo.png painting.png -o photo.png --force", "photo.png would replace an input"),
        ("photo.png painting.png -o painting.png --force", "painting.png would replace an input"),
        ("photo.png painting.png -o third.png -f --init third.png", "third.png would replace an input"),
        (
            "photo.png painting.png -o third.png -f --content-mask third.png",
            "third.png would replace an input",
        ),
        ("photo.png painting.png -o third.png", "third.png exists. Use --force"),
        ("photo.png painting.png --force --skip-existing", "contradict each other"),
        ("photo.png painting.png -o - --json", "leaves no room for --json"),
        ("photo.png painting.png -o - --sidecar", "leaves no room"),
        ("-.png painting.png", "No such option"),
    ],
)
def test_refusals(imgtool, pictures, save, arguments, error):
    save("third.png")
    Path("folder").mkdir()
    before = sorted(pictures.iterdir())
    result = imgtool("stylize", *arguments.split())
    assert result.code == 2, result
    assert error in result.error
    assert result.stdout == b""
    assert sorted(pictures.iterdir()) == before


@pytest.mark.parametrize("arguments", [("photo.png",), ("photo.png", "painting.png")])
def test_weights_that_are_not_known_are_guessed(imgtool, pictures, arguments):
    result = imgtool("stylize", *arguments, "--weights", "palete")
    assert result.code == 3 and "did you mean palette?" in result.error
    missing = imgtool("stylize", *arguments, "--weights", "runs/mine.safetensors")
    assert missing.code == 3 and "no such file" in missing.error


def test_refused_options_win_over_their_neighbours(imgtool, pictures):
    assert "--size" in imgtool("stylize", "photo.png", "painting.png", "--size", "0", "-o", "x.xyz").error


def test_weight_of_a_file(pictures):
    convert = WeightedFile().convert
    assert convert("a.png:0.5", None, None) == ("a.png", 0.5)
    assert convert("a.png", None, None) == ("a.png", 1)
    assert convert("a:b.png", None, None) == ("a:b.png", 1)
    Path("a:2").touch()
    assert convert("a:2", None, None) == ("a:2", 1)


def test_examples_are_in_the_help(imgtool):
    help = imgtool("stylize", "--help").stdout.decode()
    assert "imgtool stylize photo.jpg painting.jpg -o out.png" in help
    assert "[default: 512" in help


def test_files_are_completed():
    context = stylize_command.make_context("stylize", [], resilient_parsing=True)
    kinds = {
        param.name: [item.type for item in param.shell_complete(context, "ph")]
        for param in stylize_command.params
    }
    for name in ("pictures", "style", "output", "init", "content_mask", "style_mask", "weights"):
        assert kinds[name] == ["file"], name


def test_parameters_are_called_as_their_options():
    for name, command in cli.commands.items():
        for param in command.params:
            longest = max(param.opts, key=len).removeprefix("--").replace("-", "_")
            assert param.name == longest or param.name in ("pictures", "names"), (name, param)
