"""Writing files so that they appear whole or not at all; names of files and what went wrong, on one line."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from imgtool.errors import OutputError

if sys.platform != "win32":
    import fcntl

TEMPORARY_PREFIX = ".imgtool-"
TEMPORARY_SUFFIX = ".part"
FEW = 8  # files that are brought to the disk one by one
SWEEP_SECONDS = 10.0  # one process searches a folder for leftovers at most this often

_OPEN_FILES = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
_O_TMPFILE: int = getattr(os, "O_TMPFILE", 0)
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_last_sweep: dict[Path, float] = {}


def printable(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    r"""A path on one line of valid text: what cannot be printed is escaped.

    Example:
        >>> print(printable("two\nlines.png"), printable(b"\xff.png"))
        two\nlines.png \xff.png
    """

    def shown(character: str) -> str:
        if character.isprintable():
            return character
        if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8 (PEP 383)
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character.encode("unicode_escape").decode("ascii")

    return "".join(map(shown, os.fsdecode(path)))


def first_line(error: BaseException) -> str:
    """What an exception says, or else what it is, on one line of valid text."""
    return printable((str(error).strip() or type(error).__name__).splitlines()[0])


def system_reason(error: OSError) -> str:
    """What the system says: "no such file or directory"."""
    return (error.strerror or str(error)).lower()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's contents, 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(path: Path) -> None:
    """Refuse an output that could not be written, before the work that would fill it.

    Nothing is left. A disk can still fill up, or a permission change, before the result is there.

    Raises:
        OutputError: The target is a folder or read-only, or its folder cannot be written or created.
    """
    with output_errors(path):
        status = _status(path)
        if status is not None:
            _check_target(path, status)
            if _is_device(path, status):
                return
        ancestor = _resolved(path).parent
        while not os.path.lexists(ancestor):
            ancestor = ancestor.parent
        if not ancestor.is_dir():
            raise _os_error(errno.ENOTDIR, ancestor)
        _check_access(ancestor, os.W_OK | os.X_OK)
        _check_opens(ancestor)


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A seekable binary file whose contents appear at `path` whole, or not at all.

    If the block raises, a write fails or the process is killed, what was at `path` before is still there,
    whole. On Linux the new contents have no name until they are complete, so a kill leaves nothing behind,
    except in the instant between naming and renaming when an existing file is replaced; elsewhere (and on
    file systems without unnamed files) a kill leaves a hidden `.imgtool-*.part`. The next process that
    writes in that folder removes such leftovers of dead processes. Contents are on the disk (fsync) before
    they get their name.

    Missing parent folders are made. A symbolic link is written through. Permission bits of a replaced file
    are kept; its other hard links keep the old contents. Devices and pipes get the contents at the end.

    Args:
        path: Where the contents shall appear.
        overwrite: If false, a file that is at `path`, or appears there meanwhile, is never replaced.

    Raises:
        OutputError: The contents cannot be written; also for a full disk met inside the block.
    """
    draft: _FileDraft | _DeviceDraft
    with output_errors(path):
        status = _status(path)
        if status is not None:
            _check_target(path, status)
        if status is not None and _is_device(path, status):
            draft = _DeviceDraft(path)
        elif status is not None and not overwrite:
            raise _os_error(errno.EEXIST, path)
        else:
            draft = _FileDraft(_resolved(path), status)
    try:
        try:
            yield draft.file
        except OSError as error:
            if error.errno in _DISK_ERRORS and error.filename is None:
                raise _output_error(path, error) from error
            raise
        with output_errors(path):
            draft.publish(overwrite=overwrite)
    finally:
        draft.discard()


def settle(paths: Collection[Path]) -> None:
    """Have what is in files, and the names in folders, on the disk, so that a loss of power takes nothing of it.

    Raises:
        OSError: the disk failed.
    """
    if len(paths) > FEW and sys.platform == "linux":
        os.sync()  # for all at once, and it waits: a hundredth of the time for a thousand files
        return
    for path in paths:
        if sys.platform == "win32" and path.is_dir():  # which has no such call
            continue
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class _DeviceDraft:
    """Contents kept in memory until they are written to a device or a pipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = io.BytesIO()
        self.file: BinaryIO = self.contents

    def publish(self, *, overwrite: bool) -> None:
        contents = memoryview(self.contents.getvalue())
        device = os.open(self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            while contents:
                contents = contents[os.write(device, contents) :]
        finally:
            os.close(device)

    def discard(self) -> None:
        self.file.close()


class _FileDraft:
    """Contents on their way to `target`: without a name where the system can, else in a hidden sibling."""

    def __init__(self, target: Path, replaced: os.stat_result | None) -> None:
        self.target = target
        self.made = _make_folders(target.parent)
        self.fd = -1
        self.sibling: Path | None = None
        try:
            remove_leftovers(target.parent)
            self.fd, self.sibling = _open_draft(target.parent)
            if replaced is not None and sys.platform != "win32":
                os.fchmod(self.fd, stat.S_IMODE(replaced.st_mode) & 0o777)
            self.file: BinaryIO = os.fdopen(os.dup(self.fd), "w+b")
        except BaseException:
            self.discard()
            raise

    def publish(self, *, overwrite: bool) -> None:
        """Give the contents their name."""
        if not self.file.closed:
            self.file.flush()
            self.file.close()
        os.fsync(self.fd)
        if self.sibling is None:
            try:
                _link(self.fd, self.target)
                self.made.clear()
                return
            except FileExistsError:
                if not overwrite:
                    raise
            self.sibling = _temporary_name(self.target.parent)
            _link(self.fd, self.sibling)
        if sys.platform == "win32":  # an open file cannot be renamed there
            os.close(self.fd)
            self.fd = -1
        if overwrite:
            self.sibling.replace(self.target)
            self.sibling = None
        else:
            self._publish_exclusively(self.sibling)
        self.made.clear()

    def _publish_exclusively(self, sibling: Path) -> None:
        try:
            self.target.hardlink_to(sibling)
        except FileExistsError:
            raise
        except OSError:  # no hard links here (FAT): claim the name, then fill it
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            sibling.replace(self.target)
            self.sibling = None

    def discard(self) -> None:
        """Leave nothing behind; after `publish` only the lock and a second name are left to drop."""
        if hasattr(self, "file"):
            with suppress(OSError):  # unwritten bytes on a full disk
                self.file.close()
        if self.sibling is not None:
            with suppress(OSError):
                self.sibling.unlink()
        if self.fd >= 0:
            os.close(self.fd)
        for folder in reversed(self.made):
            with suppress(OSError):
                folder.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove hidden siblings of processes that died while writing in `folder`.

    A living writer holds a lock on its sibling, so only what nobody holds is removed. Within one process
    the search is repeated at most every 10 seconds.
    """
    now = time.monotonic()
    if now - _last_sweep.get(folder, -SWEEP_SECONDS) < SWEEP_SECONDS:
        return
    _last_sweep[folder] = now
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(TEMPORARY_PREFIX) and entry.name.endswith(TEMPORARY_SUFFIX):
                with suppress(OSError):
                    _remove_leftover(entry.path)


def _remove_leftover(path: str) -> None:
    if sys.platform == "win32":  # an open file cannot be removed there
        os.unlink(path)  # noqa: PTH108
        return
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)  # noqa: PTH108
    finally:
        os.close(fd)


def _open_draft(folder: Path) -> tuple[int, Path | None]:
    """A new file that is open and locked, so that other processes see its owner is alive; its name if it has one."""
    if _O_TMPFILE and Path("/proc/self/fd").is_dir():
        with suppress(OSError):  # not on every file system
            fd = os.open(folder, _O_TMPFILE | os.O_RDWR, 0o666)
            _lock(fd)
            return fd, None
    return _open_sibling(folder)


def _open_sibling(folder: Path) -> tuple[int, Path]:
    """A new hidden file that is open and locked."""
    while True:
        path = _temporary_name(folder)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
        # Between the two calls another process may have taken the file for a leftover.
        if _lock(fd) and os.fstat(fd).st_nlink > 0:
            return fd, path
        os.close(fd)


def _lock(fd: int) -> bool:
    """Whether nobody else holds a lock on the file; where locks are unknown nothing is removed either."""
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _link(fd: int, path: Path) -> None:
    """Give an unnamed file its name; never replaces."""
    os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)


def _temporary_name(folder: Path) -> Path:
    return folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and its parents; the ones that were missing, outermost first."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    missing.reverse()
    for each in missing:
        each.mkdir(exist_ok=True)
    return missing


def _status(path: Path) -> os.stat_result | None:
    """What is at the end of `path` and its links; None for nothing yet."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_device(path: Path, status: os.stat_result) -> bool:
    """Whether `path` is no file to be replaced: a device, a pipe, or a name of an open file (/dev/stdout)."""
    return not stat.S_ISREG(status.st_mode) or str(path).startswith(_OPEN_FILES)


def _resolved(path: Path) -> Path:
    """Where writing to `path` ends up: a symbolic link is followed, also to a file that is not there yet."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path.absolute()


def _check_target(path: Path, status: os.stat_result) -> None:
    """Raise OSError for a target that is a folder or may not be written."""
    if stat.S_ISDIR(status.st_mode):
        raise _os_error(errno.EISDIR, path)
    _check_access(path, os.W_OK)


def _check_access(path: Path, mode: int) -> None:
    if os.access(path, mode, effective_ids=os.access in os.supports_effective_ids):
        return
    read_only = sys.platform != "win32" and os.statvfs(path).f_flag & os.ST_RDONLY
    raise _os_error(errno.EROFS if read_only else errno.EACCES, path)


def _check_opens(folder: Path) -> None:
    """What permissions do not tell: on network disks, on Windows, below /proc."""
    fd, sibling = _open_draft(folder)
    os.close(fd)
    if sibling is not None:
        sibling.unlink()


def _os_error(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), os.fspath(path))


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors, met while writing, into one OutputError about `path`."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _output_error(path, error) from error


def _output_error(path: Path, error: OSError | ValueError) -> OutputError:
    """What went wrong in one line, with a cure."""
    reason, hint = str(error), "choose another place with -o"
    if isinstance(error, OSError):
        reason = os.strerror(error.errno or errno.EIO).lower()
        match error.errno:
            case errno.ENOSPC:
                reason, hint = f"no space left on the disk{_free_space(path)}", f"free some space, or {hint}"
            case errno.EDQUOT:
                hint = f"free some space, or {hint}"
            case errno.EFBIG:
                reason, hint = "it is larger than a file may be here", f"see `ulimit -f`, or {hint}"
            case errno.ENAMETOOLONG:
                reason, hint = "the name is too long", "choose a shorter name with -o or --name"
            case errno.EISDIR:
                reason, hint = "it is a folder", "add a file name to it"
            case errno.ENOTDIR:
                file = next((each for each in path.parents if each.is_file()), path.parent)
                reason = f"{printable(file)} is not a folder"
            case errno.EEXIST:
                reason, hint = "it exists already", "--force replaces it"
            case errno.ELOOP:
                reason = "its symbolic links form a loop"
    return OutputError(f"cannot write {printable(path)}: {reason}", hint=hint)


def _free_space(path: Path) -> str:
    with suppress(OSError):
        return f" ({shutil.disk_usage(_resolved(path).parent).free / 1e6:.1f} MB free)"
    return ""
