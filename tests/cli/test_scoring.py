from dataclasses import dataclass

import pytest

from imgtool.cli.scoring import alone, processes, read_all, refuse
from imgtool.errors import DataError


@dataclass(frozen=True)
class Item:
    name: str


def test_who_is_alone_is_told_in_order(folder):
    here = {name: folder / f"{name}.png" for name in "cab"}
    faults = alone(here, {"a"}, "mask", folder)
    assert faults == [f"{here[name]} has no mask in {folder}" for name in "bc"]


def test_all_are_read_before_any_is_refused(capsys):
    seen = []

    def read(item):
        seen.append(item.name)
        if item.name != "b":
            raise DataError(f"{item.name} is damaged")

    with pytest.raises(DataError, match="c is damaged"):
        read_all([Item(name) for name in "abc"], read)
    assert seen == ["a", "b", "c"]
    assert capsys.readouterr().err == "error: a is damaged\n"


def test_nothing_wrong_is_not_refused(capsys):
    refuse([])
    assert read_all([Item("a")], lambda item: item.name) == ["a"]
    assert capsys.readouterr().err == ""


def test_a_refusal_has_a_hint():
    with pytest.raises(DataError) as caught:
        refuse(["a is odd"], hint="--objects")
    assert (caught.value.message, caught.value.hint) == ("a is odd", "--objects")


@pytest.mark.parametrize("count", [1, 2])
def test_processes_give_results_in_order(count):
    with processes(count) as spread:
        assert list(spread(abs, range(0, -5, -1))) == [0, 1, 2, 3, 4]
