"""Recipes: what an output carries about its making, and whether what `rerun` makes again is made of the same."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from imgtool import __version__
from imgtool.errors import RecipeError

PACKAGES = ("torch", "numpy", "pillow")
FORMAT = 1


@dataclass(frozen=True)
class Ingredient:
    """A file that went into an output.

    Attributes:
        param: the parameter of the command that named it.
        path: where it is.
        sha256: of its bytes.
        weight: as in `--style FILE:weight`; None where files have no weight.
    """

    param: str
    path: Path
    sha256: str
    weight: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As a recipe holds it."""
        fields = {"param": self.param, "path": shown_path(self.path), "sha256": self.sha256}
        return fields if self.weight is None else {**fields, "weight": self.weight}


def make_recipe(
    command: str,
    ingredients: Sequence[Ingredient],
    options: Mapping[str, Any],
    weights: Mapping[str, str],
    *,
    unfinished: bool = False,
) -> dict[str, Any]:
    """All that is needed to make the output again to the byte, and nothing that changes between two runs.

    Args:
        command: the command's name.
        ingredients: the input files.
        options: by parameter name, as resolved: no "auto", no default left open.
        weights: name -> SHA-256.
        unfinished: whether a signal cut the work short, so that `--skip-existing` does not take it for done.
    Raises:
        RecipeError: it is not what the recipe that is being run again says.
    """
    inputs = [item.as_dict() for item in ingredients]
    if repeated := running_again():
        if [_bytes_of(item) for item in inputs] != [_bytes_of(item) for item in repeated["inputs"]]:
            raise RecipeError("the inputs are not those that the recipe names")
        inputs = repeated["inputs"]  # with the paths they had then
        unfinished = unfinished or repeated.get("unfinished") is True
    return {
        "imgtool": __version__,
        "format": FORMAT,
        "command": command,
        **({"unfinished": True} if unfinished else {}),
        "inputs": inputs,
        "options": dict(options),
        "weights": [{"name": name, "sha256": sha256} for name, sha256 in weights.items()],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What the bytes of a result depend on besides this program."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def running_again() -> dict[str, Any] | None:
    """The recipe that `rerun` repeats, if that is what is going on."""
    context = click.get_current_context(silent=True)
    return context.obj if context and isinstance(context.obj, dict) else None


def require_same_input(name: str, param: str, sha256: str) -> None:
    """Refuse an input that the recipe being run again does not name.

    Raises:
        RecipeError: it has another SHA-256.
    """
    recipe = running_again()
    if recipe and (param, sha256) not in [(item["param"], item["sha256"]) for item in recipe["inputs"]]:
        raise RecipeError(f"{name} is not the picture that the recipe names, its SHA-256 is {sha256[:12]}…")


def require_same_weights(name: str, sha256: str) -> None:
    """Refuse weights that the recipe being run again does not name.

    Raises:
        RecipeError: they have another SHA-256.
    """
    recipe = running_again()
    known = {item["name"]: item["sha256"] for item in recipe["weights"]} if recipe else {}
    if recipe and sha256 not in known.values():
        expected = known.get(name) or ", ".join(known.values()) or "none"
        raise RecipeError(
            f"weights {name} have SHA-256 {sha256[:12]}…, the picture was made with {expected[:12]}…",
            hint="the version of imgtool that made it",
        )


def shown_path(path: Path) -> str:
    """A path as a recipe tells it: from the current folder; one that lies elsewhere keeps only its name.

    Pictures are passed on, and the folders of a home are nobody's business.
    """
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    inside = path.resolve().is_relative_to(Path.cwd())
    return path.resolve().relative_to(Path.cwd()).as_posix() if inside else path.name


def _bytes_of(item: Mapping[str, Any]) -> tuple[object, ...]:
    return item["param"], item["sha256"], item.get("weight")
