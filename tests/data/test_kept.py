import pytest

from imgtool.data.kept import Kept


@pytest.mark.parametrize(("room", "keys"), [(30, "bcd"), (29, "cd"), (0, "d")])
def test_the_newest_that_fit_stay(room, keys):
    kept = Kept(room, len)
    for key in "abcd":
        assert kept.get(key, lambda key=key: key * 10) == key * 10
    assert "".join(kept) == keys
    assert kept.get("d", lambda: "made again") == "d" * 10


def test_what_is_used_stays():
    kept = Kept(20, len)
    for key in "abac":
        kept.get(key, lambda: "x" * 10)
    assert list(kept) == ["a", "c"]


def test_what_could_not_be_made_leaves_nothing():
    kept = Kept(20, len)

    def fails():
        raise OSError

    with pytest.raises(OSError):
        kept.get("a", fails)
    assert list(kept) == []


def test_forgets():
    kept = Kept(10, len)
    for _ in range(3):
        kept.get("a", lambda: "x" * 10)
        assert list(kept) == ["a"]
        kept.clear()
        assert list(kept) == []
