import click
import pytest

from imgtool.cli import params


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), (" 2 S", 2), (30, 30)]
)
def test_seconds(text, seconds):
    assert params.Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (params.Seconds(), "soon"),
        (params.Seconds(), "m"),
        (params.Seconds(), ""),
        (params.Numbers(), "1,"),
        (params.Numbers(), "1.5"),
        (params.Weighted(), "conv1_1:much"),
        (params.Device(), "cuda:"),
        (params.Device(), "cpu:1"),
        (params.Device(), "cuda:²"),
        (params.Device(), "gpu"),
    ],
)
def test_nonsense(kind, text):
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


def test_numbers_and_weights():
    assert params.Numbers().convert("1,20", None, None) == (1, 20)
    assert params.Weighted().convert("a, b:0.5", None, None) == {"a": 1, "b": 0.5}
    assert params.Device().convert("cuda:01", None, None) == "cuda:1"


def test_values_can_be_typed_again():
    option = click.Option(["-x", "--x-y"])
    assert params.typed(option, None) == params.typed(option, False) == []
    assert params.typed(option, True) == ["--x-y"]
    assert params.typed(option, (1, 2)) == ["--x-y=1,2"]
    assert params.typed(option, {"a": 0.5}) == ["--x-y=a:0.5"]
    with pytest.raises(TypeError):
        params.typed(option, [[1]])
