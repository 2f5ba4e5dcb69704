import click
import pytest

from imgtool.cli import params, value_types
from imgtool.cli.batch import FORMATS
from imgtool.options.segment import TrainSegmentOptions


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), (" 2 S", 2), (30, 30)]
)
def test_seconds(text, seconds):
    assert value_types.Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (value_types.Seconds(), "soon"),
        (value_types.Seconds(), "m"),
        (value_types.Seconds(), ""),
        *((value_types.Seconds(), text) for text in ("nan", "inf", "-1", "-1m", "nans")),
        *((value_types.Share(), text) for text in ("nan", "1.1", "-0.1", "half")),
        (value_types.Numbers(), "1,"),
        (value_types.Numbers(), "1.5"),
        (value_types.Weighted(), "conv1_1:much"),
        (value_types.Device(), "cuda:"),
        (value_types.Device(), "cpu:1"),
        (value_types.Device(), "cuda:²"),
        (value_types.Device(), "gpu"),
    ],
)
def test_nonsense(kind, text):
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


def test_numbers_and_weights():
    assert value_types.Numbers().convert("1,20", None, None) == (1, 20)
    assert value_types.Weighted().convert("a, b:0.5", None, None) == {"a": 1, "b": 0.5}
    assert value_types.Device().convert("cuda:01", None, None) == "cuda:1"


def test_a_recipe_sets_only_how_a_picture_is_made():
    command = params.Repeatable("x", files={"init": ("noise",), "weights": ()}, extras=("sheet",))

    def is_knob(name, value):
        return command.is_knob(click.Option([f"--{name}"]), value)

    assert is_knob("steps", 3)
    assert is_knob("init", "noise")
    assert is_knob("weights", None)
    for name, value in (
        ("init", "a.png"),
        ("weights", "noise"),
        ("sheet", True),
        ("output", "b"),
        ("json", 1),
    ):
        assert not is_knob(name, value), name


@pytest.mark.parametrize(("formats", "has_svg"), [((), False), (((*FORMATS, "svg"),), True)])
def test_formats_are_the_command_s(formats, has_svg):
    (option,) = [
        param
        for param in click.command()(params.output(*formats)(lambda **_: None)).params
        if param.name == "format"
    ]
    assert ("svg" in option.type.choices) == has_svg


def test_values_can_be_typed_again():
    option = click.Option(["-x", "--x-y"])
    assert params.typed(option, None) == params.typed(option, False) == []
    assert params.typed(option, True) == ["--x-y"]
    both = click.Option(["--keep/--no-keep"])
    assert [params.typed(both, value) for value in (True, False)] == [["--keep"], ["--no-keep"]]
    assert params.typed(option, (1, 2)) == ["--x-y=1,2"]
    assert params.typed(option, {"a": 0.5}) == ["--x-y=a:0.5"]
    with pytest.raises(TypeError):
        params.typed(option, [[1]])


def test_a_default_of_nothing_is_told_in_words():
    assert params.default(TrainSegmentOptions(), "patience") == "none"
    assert params.default(TrainSegmentOptions(), "fold") == "0"
    from imgtool.cli.train_segment import train_segment_command

    told = train_segment_command.get_help(click.Context(train_segment_command))
    assert "None" not in told
    assert "AdamW, or SGD" in told
