"""The manifest of a set of captchas: how it is made, whether a folder holds the beginning of it, who works there."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import filelock

from imgtool import __version__
from imgtool.cli.captcha_style import style_of
from imgtool.cli.console import console
from imgtool.cli.recipes import versions
from imgtool.data.captcha_shards import MANIFEST, SHARDS, SetShape, parsed_json, remove_set
from imgtool.errors import OptionError, OutputError
from imgtool.files import atomic_write, check_writable, printable, sha256_file
from imgtool.imaging.fonts import Font
from imgtool.imaging.quick import DEFLATE
from imgtool.options.captcha import CaptchaOptions
from imgtool.tasks.captcha import Captchas

COMMAND = "captcha-gen"
LOCK = ".imgtool-lock"
GROWS = ("count",)  # what may differ of a set that goes on
CALLED = {"shard": "shard-size", "splits": "split"}


@dataclass(frozen=True)
class Manifest:
    """How a set is made.

    Attributes:
        fields: as JSON holds them.
        shape: how it is stored.
    """

    fields: Mapping[str, Any]
    shape: SetShape

    @classmethod
    def of(
        cls,
        options: CaptchaOptions,
        style: Captchas,
        fonts: Sequence[Font],
        scenes: Sequence[Path],
        text_file: str | None,
        shape: SetShape,
    ) -> "Manifest":
        """Of a set that is to be made; of its files it tells what they are, and does not hold them."""
        fields = {
            "command": COMMAND,
            "versions": {"imgtool": __version__, **versions(), "opencv": cv2.__version__, "deflate": DEFLATE},
            "seed": options.seed,
            "secure": style.secure,
            "style": style_of(options) | {"text": options.text, "text_file": text_file},
            "alphabet": style.alphabet,
            "look_alikes": style.look_alikes,
            "fonts": [{"name": font.name, "sha256": font.sha256} for font in fonts],
            "scenes": [_told(path) for path in scenes],
            "texts": []
            if text_file is None
            else [_told(Path(text_file)) | {"count": len(style.options.words)}],
            "set": asdict(shape),
        }
        return cls(json.loads(json.dumps(fields)), shape)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Of a set that is there.

        Raises:
            ValueError: it is none of ours.
            OSError: it cannot be read.
        """
        fields = parsed_json(path.read_text(encoding="utf-8"))
        if not isinstance(fields, dict) or fields.get("command") != COMMAND:
            raise ValueError("it is no manifest of captchas")
        return cls(fields, SetShape.of(fields.get("set")))

    @staticmethod
    def require_same(
        like: Mapping[str, Any], fonts: Sequence[Font], scenes: Sequence[Path], texts: Path | None
    ) -> None:
        """Refuse fonts, backgrounds and texts that are not those of a manifest, which a stranger may have written.

        Raises:
            OptionError: they differ.
        """
        found = {"fonts": [font.sha256 for font in fonts], "scenes": [sha256_file(path) for path in scenes]}
        if texts is not None:
            found["texts"] = [sha256_file(texts)]
        for kind, ours in found.items():
            items = like.get(kind)
            known = items if isinstance(items, list) else []
            if [each.get("sha256") for each in known if isinstance(each, dict)] != ours:
                raise OptionError("config", f"the {kind} here are not those of the set, by their SHA-256")

    def differs_from(self, old: "Manifest") -> list[str]:
        """What of another one is not as here, but for what may change while a set grows."""
        keys = [key for key in self.fields if key not in ("versions", "set")]
        differs = [key for key in keys if old.fields.get(key) != self.fields[key]]
        ours, theirs = asdict(self.shape), asdict(old.shape)
        # Secure texts cannot be had again, so that a last shard cannot be filled up.
        grows = GROWS if old.shape.count <= self.shape.count and not self.fields["secure"] else ()
        differs += [CALLED.get(key, key) for key in ours if key not in grows and ours[key] != theirs[key]]
        return list(dict.fromkeys(differs))

    def write(self, folder: Path) -> None:
        """Into its folder."""
        with atomic_write(folder / MANIFEST) as file:
            file.write(json.dumps(self.fields, indent=2).encode() + b"\n")


def made_with(picture: Path) -> dict[str, Any] | None:
    """How a picture of a set can be made again, for it carries no recipe itself; None for any other picture."""
    for folder in (picture.parent, picture.parent.parent):
        try:
            manifest = Manifest.read(folder / MANIFEST)
        except (OSError, ValueError):
            continue
        index, part = manifest.shape.index_of(picture.name), picture.relative_to(folder).parent.as_posix()
        if index is None or part not in (manifest.shape.splits or (".",)):
            continue
        place = printable(folder / MANIFEST)
        again = ["imgtool", COMMAND, "--config", place, "--start", str(index)]
        again += ["--text", "TEXT"] if manifest.fields.get("secure") else []
        again += ["-o", f"again.{manifest.shape.format}"]
        return {"command": COMMAND, "manifest": place, "start": index, "again": shlex.join(again)}
    return None


def _told(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"name": printable(path.name), "sha256": sha256_file(path)}


@contextmanager
def locked(folder: Path, part: str | None) -> Iterator[None]:
    """Keep out other processes that draw the same shards.

    Args:
        folder: of the set.
        part: which shards; None for all of them.
    Raises:
        OutputError: one is there already.
    """
    check_writable(folder / MANIFEST)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / (LOCK if part is None else f"{LOCK}-{part}"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise OutputError(f"another process is drawing in {printable(folder)}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def take_folder(folder: Path, manifest: Manifest, *, force: bool) -> None:
    """Make sure that a folder is new, or holds the beginning of the same set, and write its manifest.

    Raises:
        OutputError: it holds something else, or cannot be written.
    """
    path = folder / MANIFEST
    if not path.exists():
        others = [each for each in folder.iterdir() if not each.name.startswith(LOCK) and each.name != SHARDS]
        if others and not force:
            raise OutputError(
                f"{printable(folder)} is not empty, and holds no set", hint="another -o, or --force"
            )
        if force:  # what is called as its pictures would pass for them
            remove_set(folder, manifest.shape)
        manifest.write(folder)
        return
    try:
        old = Manifest.read(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"{printable(path)} cannot be gone on with: {error}", hint="another -o") from error
    differs = manifest.differs_from(old)
    if differs and not force:
        raise OutputError(
            f"{printable(folder)} holds another set, it differs in {', '.join(differs)}",
            hint="--force replaces it, or another -o",
        )
    if force:
        remove_set(folder, old.shape)
        manifest.write(folder)
        return
    if old.fields.get("versions") != manifest.fields["versions"]:
        console.warn("the set was begun with other versions: further pictures may differ in a level or two")
    Manifest({**old.fields, "set": manifest.fields["set"]}, manifest.shape).write(folder)
