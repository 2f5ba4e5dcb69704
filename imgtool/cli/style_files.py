"""Style files among a command's inputs."""

from pathlib import Path

from imgtool.cli.recipes import Ingredient, require_same_input
from imgtool.cli.session import Session
from imgtool.files import sha256_file
from imgtool.tasks.style_file import StyleFile, load_style


def read_style_file(session: Session, path: str, weight: float) -> StyleFile:
    """A style file that goes into every output, recorded as an input.

    Raises:
        BadImage: it is damaged.
        RecipeError: it is not an input of the recipe that is being run again.
    """
    found = load_style(Path(path))
    sha256 = sha256_file(Path(path))
    require_same_input(found.name, "style", sha256)
    session.shared.append(Ingredient("style", Path(path), sha256, weight))
    return found
