"""Files of folders that belong together by their names: pictures, and what is known about them."""

from collections.abc import Collection, Mapping
from pathlib import Path

from imgtool.errors import DataError
from imgtool.files import printable, system_reason


def listed(folder: Path, suffixes: Collection[str], what: str) -> list[Path]:
    """The files of a folder in the order of their names, but for hidden ones.

    Args:
        folder: where they lie.
        suffixes: in lower case, without a dot.
        what: they are, in the plural.
    Raises:
        DataError: the folder cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        reason = system_reason(error)
        raise DataError(f"{printable(folder)}: {reason}, expected a folder of {what}") from error
    return [path for path in paths if path.suffix[1:].lower() in suffixes and not path.name.startswith(".")]


def files_by_name(folder: Path, suffixes: Collection[str], what: str) -> tuple[dict[str, Path], list[str]]:
    """The files of a folder by stem, and the faults of those that share one. Arguments are those of `listed`.

    Raises:
        DataError: the folder cannot be read.
    """
    found: dict[str, Path] = {}
    faults = []
    for path in listed(folder, suffixes, what):
        if path.stem in found:
            faults.append(f"{printable(path)} and {printable(found[path.stem])} are {what} of one name")
        found[path.stem] = path
    return found, faults


def only_by_name(folder: Path, suffixes: Collection[str], what: str) -> dict[str, Path]:
    """The files of a folder by stem, one each. Arguments are those of `listed`.

    Raises:
        DataError: the folder cannot be read or holds none, or two share a name.
    """
    found, faults = files_by_name(folder, suffixes, what)
    if faults:
        raise DataError(faults[0])
    if not found:
        raise DataError(f"{printable(folder)} holds no {what}")
    return found


def require_partners(files: Mapping[str, Path], names: Collection[str], what: str) -> None:
    """Refuse files whose name is not among the others'.

    Args:
        files: by name.
        names: of the others.
        what: one of these is.
    Raises:
        DataError: names the first file, and tells how many more there are.
    """
    alone = sorted(files.keys() - set(names))
    if alone:
        more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        raise DataError(f"{printable(files[alone[0]])} has no {what} of the same name{more}")


def require_same_size(
    path: Path,
    size: tuple[int, ...],
    partner: Path,
    partner_size: tuple[int, ...],
    *,
    what: str = "ground truth",
) -> None:
    """Refuse files that cannot be compared pixel by pixel; sizes are (H, W), and `what` tells what the partner is.

    Raises:
        DataError: the sizes differ.
    """
    if size != partner_size:
        sizes = [f"{width}x{height}" for height, width in (size, partner_size)]
        raise DataError(f"{printable(path)} is {sizes[0]}, its {what} {printable(partner)} is {sizes[1]}")
