"""Files appear whole or not at all, whatever happens to the process or the disk."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from imgtool import files
from imgtool.errors import OutputError
from imgtool.files import atomic_write, check_writable, printable, remove_leftovers, sha256_file

AsUser = Callable[[Path], AbstractContextManager[None]]
ROOT = Path(files.__file__).parents[1]


def write(path: Path, contents: bytes, *, overwrite: bool = True) -> None:
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(contents)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture(params=["unnamed", "sibling"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of writing: without a name until complete (Linux), and in a hidden sibling (elsewhere)."""
    if request.param == "sibling":
        monkeypatch.setattr(files, "_O_TMPFILE", 0)
    return str(request.param)


@pytest.fixture(autouse=True)
def always_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_last_sweep", {})


class TestAtomicWrite:
    def test_new_file_and_replaced_file(self, tmp_path: Path, way: str) -> None:
        path = tmp_path / "a.bin"
        write(path, b"old")
        write(path, b"new contents")
        assert path.read_bytes() == b"new contents"
        assert names(tmp_path) == ["a.bin"]

    def test_is_not_there_until_complete(self, tmp_path: Path, way: str) -> None:
        path = tmp_path / "a.bin"
        with atomic_write(path) as file:
            file.write(b"x" * 100_000)
            file.flush()
            assert not path.exists()
            assert names(tmp_path) == [] or way == "sibling"
        assert path.stat().st_size == 100_000

    def test_is_on_the_disk_before_it_gets_its_name(
        self, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced = []
        write(tmp_path / "old", b"old")

        def sync(fd: int) -> None:
            synced.append(
                (os.fstat(fd).st_size, (tmp_path / "new").exists(), (tmp_path / "old").read_bytes())
            )

        monkeypatch.setattr(os, "fsync", sync)
        write(tmp_path / "new", b"12345")
        (tmp_path / "new").unlink()
        write(tmp_path / "old", b"123456")
        assert synced == [(5, False, b"old"), (6, False, b"old")]

    def test_is_seekable_and_readable(self, tmp_path: Path, way: str) -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"0123456789")
            file.seek(2)
            file.write(b"AB")
            file.seek(0)
            assert file.read() == b"01AB456789"
            file.seek(0, os.SEEK_END)
        assert (tmp_path / "a").read_bytes() == b"01AB456789"

    def test_a_block_may_close_the_file(self, tmp_path: Path, way: str) -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"whole")
            file.close()
        assert (tmp_path / "a").read_bytes() == b"whole"

    @pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(2, "no", "input.png")])
    def test_an_error_inside_leaves_the_old_file(
        self, tmp_path: Path, way: str, error: BaseException
    ) -> None:
        write(tmp_path / "a", b"old")
        before = open_descriptors()
        for target in (tmp_path / "a", tmp_path / "b", tmp_path / "c" / "d" / "e"):
            with pytest.raises(type(error)) as caught, atomic_write(target) as file:
                file.write(b"half")
                raise error
            assert caught.value is error
        assert (tmp_path / "a").read_bytes() == b"old"
        assert names(tmp_path) == ["a"]
        assert open_descriptors() == before

    def test_makes_folders(self, tmp_path: Path, way: str) -> None:
        write(tmp_path / "x" / "y" / "a", b"1")
        assert (tmp_path / "x" / "y" / "a").read_bytes() == b"1"

    def test_permission_bits(self, tmp_path: Path, way: str) -> None:
        old = os.umask(0o027)
        try:
            write(tmp_path / "new", b"")
            (tmp_path / "old").touch()
            (tmp_path / "old").chmod(0o604)
            write(tmp_path / "old", b"1")
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604

    def test_writes_through_symbolic_links(self, tmp_path: Path, way: str) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to("folder/real")
        write(tmp_path / "link", b"1")  # dangling
        write(tmp_path / "link", b"22")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "real").read_bytes() == b"22"
        assert names(tmp_path / "folder") == ["real"]

    @pytest.mark.parametrize(
        "name", ["a b.png", "-rf", "two\nlines", "ü漢字", os.fsdecode(b"\xff\xfe"), "x" * 255, ".hidden"]
    )
    def test_any_name(self, tmp_path: Path, way: str, name: str) -> None:
        write(tmp_path / name, b"old")
        write(tmp_path / name, b"new")
        assert names(tmp_path) == [name]
        assert (tmp_path / name).read_bytes() == b"new"

    def test_relative_path_survives_a_change_of_folder(
        self, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "b").mkdir()
        monkeypatch.chdir(tmp_path)
        with atomic_write(Path("a")) as file:
            file.write(b"1")
            os.chdir(tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == b"1"


class TestExclusive:
    def test_refuses_an_existing_file(self, tmp_path: Path, way: str) -> None:
        write(tmp_path / "a", b"old")
        with pytest.raises(OutputError, match="exists already") as caught:
            write(tmp_path / "a", b"new", overwrite=False)
        assert caught.value.hint == "--force replaces it"
        assert (tmp_path / "a").read_bytes() == b"old"

    def test_refuses_before_the_block_runs(self, tmp_path: Path, way: str) -> None:
        write(tmp_path / "a", b"old")
        ran = []
        with pytest.raises(OutputError), atomic_write(tmp_path / "a", overwrite=False):
            ran.append(1)
        assert ran == []

    @pytest.mark.parametrize("hard_links", [True, False])
    def test_never_replaces_what_appeared_meanwhile(
        self, tmp_path: Path, way: str, hard_links: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not hard_links:
            monkeypatch.setattr(files, "_O_TMPFILE", 0)
            monkeypatch.setattr(Path, "hardlink_to", lambda *_: refuse(errno.EPERM))
        with (
            pytest.raises(OutputError, match="exists already"),
            atomic_write(tmp_path / "a", overwrite=False) as f,
        ):
            f.write(b"new")
            (tmp_path / "a").write_bytes(b"theirs")
        assert (tmp_path / "a").read_bytes() == b"theirs"
        assert names(tmp_path) == ["a"]
        write(tmp_path / "b", b"new", overwrite=False)
        assert (tmp_path / "b").read_bytes() == b"new"
        assert names(tmp_path) == ["a", "b"]

    def test_one_of_many_writers_wins(self, tmp_path: Path, way: str) -> None:
        won = []

        def compete(number: int) -> None:
            try:
                write(tmp_path / "a", b"%d" % number * 1000, overwrite=False)
                won.append(number)
            except OutputError:
                pass

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert (tmp_path / "a").read_bytes() == b"%d" % won[0] * 1000
        assert names(tmp_path) == ["a"]


class TestRefusals:
    def test_folder(self, tmp_path: Path) -> None:
        for refuses in (check_writable, lambda path: write(path, b"")):
            with pytest.raises(OutputError, match="it is a folder"):
                refuses(tmp_path)

    def test_file_as_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for refuses in (check_writable, lambda path: write(path, b"")):
            with pytest.raises(OutputError, match=r"file is not a folder$"):
                refuses(tmp_path / "file" / "deep" / "a")

    def test_long_name_null_byte_and_loop(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        for name, reason in (("x" * 256, "too long"), ("a\0b", "null"), ("loop", "loop")):
            for refuses in (check_writable, lambda path: write(path, b"")):
                with pytest.raises(OutputError, match=reason) as caught:
                    refuses(tmp_path / name)
                assert caught.value.hint
        assert names(tmp_path) == ["loop"]

    def test_read_only_folder(self, tmp_path: Path, way: str, ordinary_user: AsUser) -> None:
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(0o555)
        with ordinary_user(folder):
            for refuses in (check_writable, lambda path: write(path, b"")):
                for name in ("a", "new/a"):
                    with pytest.raises(OutputError, match="permission denied") as caught:
                        refuses(folder / name)
                    assert caught.value.hint
        assert names(folder) == []

    def test_read_only_file_is_not_replaced(self, tmp_path: Path, ordinary_user: AsUser) -> None:
        folder = tmp_path / "open"
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "a").write_bytes(b"precious")
        (folder / "a").chmod(0o444)
        with ordinary_user(folder):
            for refuses in (check_writable, lambda path: write(path, b"")):
                with pytest.raises(OutputError, match="permission denied"):
                    refuses(folder / "a")
        assert (folder / "a").read_bytes() == b"precious"

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc, which only Linux has")
    def test_where_permissions_say_yes_and_nothing_can_be_made(self, way: str) -> None:
        for refuses in (check_writable, lambda path: write(path, b"")):
            with pytest.raises(OutputError, match="cannot write /proc/a"):
                refuses(Path("/proc/a"))

    def test_check_creates_nothing(self, tmp_path: Path) -> None:
        check_writable(tmp_path / "a")
        check_writable(tmp_path / "b" / "c" / "a")
        check_writable(Path("/dev/null"))
        assert names(tmp_path) == []


class TestFullDisk:
    """A real small file system where one may be mounted; a limit on the size of files everywhere."""

    def test_file_size_limit(self, tmp_path: Path, way: str) -> None:
        resource = pytest.importorskip("resource", reason="needs limits on file sizes: not on Windows")
        write(tmp_path / "a", b"old")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            for name in ("a", "b", "c/d"):
                for size in (60_000, 3_000_000):  # met at the end of the block; within it
                    with pytest.raises(OutputError, match="larger than a file may be"):
                        write(tmp_path / name, bytes(size))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert (tmp_path / "a").read_bytes() == b"old"
        assert names(tmp_path) == ["a"]

    def test_tmpfs(self, tmp_path: Path, way: str) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            with pytest.raises(OutputError, match="no space left"):
                write(Path("/dev/full"), b"x")
            return
        try:
            write(disk / "a", b"o" * 400_000)
            for name in ("a", "b"):
                with pytest.raises(
                    OutputError, match=r"no space left on the disk \(0\.\d MB free\)"
                ) as caught:
                    write(disk / name, b"n" * 900_000)
                assert "free some space" in str(caught.value.hint)
            assert (disk / "a").read_bytes() == b"o" * 400_000
            assert names(disk) == ["a"]
            write(disk / "a", b"n" * 500_000)  # nothing was left that takes space
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            for refuses in (check_writable, lambda path: write(path, b"")):
                for name in ("a", "b"):
                    with pytest.raises(OutputError, match="read-only file system"):
                        refuses(disk / name)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_full_device(self) -> None:
        with pytest.raises(OutputError, match="no space left"):
            write(Path("/dev/full"), b"x")


class TestDevices:
    def test_null(self) -> None:
        write(Path("/dev/null"), b"x" * 100_000)
        write(Path("/dev/null"), b"x", overwrite=False)
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_pipe(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
        reader.start()
        with atomic_write(pipe) as file:
            file.write(b"x" * 200_000)
            file.seek(0)
            file.write(b"y")
        reader.join()
        assert got == [b"y" + b"x" * 199_999]
        assert names(tmp_path) == ["pipe"]

    def test_standard_output_into_a_file(self, tmp_path: Path) -> None:
        code = "import sys; from pathlib import Path; from imgtool.files import atomic_write\n"
        code += "print('before', flush=True)\n"
        code += "with atomic_write(Path('/dev/stdout')) as f: f.write(b'data')\n"
        with (tmp_path / "out").open("wb") as out:
            subprocess.run([sys.executable, "-c", code], stdout=out, cwd=ROOT, check=True)
        assert (tmp_path / "out").read_bytes() == b"before\ndata"


KILLED = """
import sys, itertools
from pathlib import Path
from imgtool import files
if sys.argv[2] == "sibling":
    files._O_TMPFILE = 0
folder = Path(sys.argv[1])
print("ready", flush=True)
for i in itertools.count():
    with files.atomic_write(folder / "replaced") as file:
        for _ in range(8):
            file.write(bytes([65 + i % 2]) * 40_000)
            file.flush()
    with files.atomic_write(folder / f"new{i}") as file:
        file.write(b"n" * 100_000)
        file.flush()
        file.write(b"n" * 100_000)
"""


class TestKill:
    def test_files_are_whole_and_leftovers_go_with_the_next_write(self, tmp_path: Path, way: str) -> None:
        wholes = {b"A" * 320_000, b"B" * 320_000}
        write(tmp_path / "replaced", b"A" * 320_000)
        chance = random.Random(7)
        litter = 0
        for _ in range(12):
            command = [sys.executable, "-c", KILLED, str(tmp_path), way]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                child.stdout.readline()
                time.sleep(chance.uniform(0.0, 0.06))
                child.kill()
            assert (tmp_path / "replaced").read_bytes() in wholes
            for new in tmp_path.glob("new*"):
                assert new.read_bytes() == b"n" * 200_000
                new.unlink()
            litter += len(names(tmp_path)) - 1
            files._last_sweep.clear()
            write(tmp_path / "next", b"")
            assert names(tmp_path) == ["next", "replaced"]
            (tmp_path / "next").unlink()
        if way == "unnamed":  # only a kill between naming and renaming leaves one
            assert litter <= 3

    def test_the_draft_of_a_living_writer_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_O_TMPFILE", 0)
        with atomic_write(tmp_path / "a") as file:
            file.write(b"1")
            (draft,) = names(tmp_path)
            files._last_sweep.clear()
            remove_leftovers(tmp_path)
            assert names(tmp_path) == [draft]
        assert names(tmp_path) == ["a"]

    def test_only_leftovers_are_removed(self, tmp_path: Path) -> None:
        for name in (".imgtool-x.png", "imgtool-1.part", "a.part"):
            (tmp_path / name).touch()
        (tmp_path / ".imgtool-folder.part").mkdir()
        (tmp_path / ".imgtool-link.part").symlink_to("a.part")
        (tmp_path / ".imgtool-1-00.part").touch()
        before = set(names(tmp_path))
        remove_leftovers(tmp_path)
        assert before - set(names(tmp_path)) == {".imgtool-1-00.part"}

    def test_a_draft_taken_for_a_leftover_is_made_anew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_O_TMPFILE", 0)
        real, calls = files._lock, []

        def swept_first(fd: int) -> bool:
            if not calls:
                calls.append(fd)
                for name in names(tmp_path):
                    (tmp_path / name).unlink()
            return real(fd)

        monkeypatch.setattr(files, "_lock", swept_first)
        write(tmp_path / "a", b"1")
        assert calls
        assert (tmp_path / "a").read_bytes() == b"1"


class TestPrintable:
    @pytest.mark.parametrize(
        ("path", "shown"),
        [
            ("plain ü 漢.png", "plain ü 漢.png"),
            ("a\nb\tc\x1b[31m", "a\\nb\\tc\\x1b[31m"),
            (b"\xff.png", "\\xff.png"),
            ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
            ("\ud800", "\\ud800"),
        ],
    )
    def test_examples(self, path: str | bytes, shown: str) -> None:
        assert printable(path) == shown
        assert shown.encode().isascii() or shown.isprintable()


def test_sha256_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def refuse(code: int) -> None:
    raise OSError(code, os.strerror(code))


def open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
