import asyncio

import pytest

from imgtool.web.store import ROOM, Store, TooLarge, Unknown, safe_name

KNOWN = {"png", "jpg"}


async def body(*blocks):
    for block in blocks:
        yield block


@pytest.fixture
def store(tmp_path):
    (tmp_path / "uploads").mkdir()
    return Store(tmp_path / "uploads", max_bytes=10, suffixes=KNOWN)


def save(store, data, name="a.png"):
    return asyncio.run(store.save(name, body(data)))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Ünïcode 1.JPG", "Ünïcode_1.JPG"),
        ("../../etc/passwd", "passwd.png"),
        (r"C:\x\y.png", "y.png"),
        ("-o.png", "o.png"),
        (".png", "picture.png"),
        ("", "picture.png"),
        ("a:0.5.png", "a_0.5.png"),
        ("imgtool.py", "imgtool.py.png"),
        ("a[*?].png", "a_.png"),
        ("x" * 300 + ".png", "x" * 80 + ".png"),
    ],
)
def test_names_are_safe(name, safe):
    assert safe_name(name, KNOWN) == safe


def test_too_large_leaves_nothing(store):
    with pytest.raises(TooLarge):
        asyncio.run(store.save("a.png", body(b"12345", b"67890", b"1")))
    assert not list(store.folder.iterdir())


def test_broken_off_leaves_nothing(store):
    async def broken():
        yield b"1"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(store.save("a.png", broken()))
    assert not list(store.folder.iterdir())


def test_the_oldest_go(store, tmp_path):
    first = save(store, b"1234567890")
    second = save(store, b"1234567890")
    store.link(first.id, tmp_path)  # used since
    for _ in range(ROOM - 1):
        save(store, b"1234567890")
    assert first.id in store.uploads
    with pytest.raises(Unknown):
        store.link(second.id, tmp_path)
    assert len(list(store.folder.iterdir())) == ROOM


def test_jobs_keep_their_pictures(store, tmp_path):
    one, other = save(store, b"1"), save(store, b"2")
    assert store.link(one.id, tmp_path) == store.link(one.id, tmp_path) == "a.png"
    assert store.link(other.id, tmp_path) == "2-a.png"
    one.path.unlink()
    assert (tmp_path / "a.png").read_bytes() == b"1"
