"""What the page asks for before a command runs, and how the answers become the words of its command line."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from imgtool.errors import ImgtoolError
from imgtool.files import printable

MAX_LETTERS = 500  # of one answer
MAX_PICTURES = 16  # of one option


class FormError(ImgtoolError):
    """Answers that no form asked for."""


@dataclass(frozen=True)
class Field:
    """One option.

    Attributes:
        name: of the option, without its dashes.
        kind: "flag", "choice", "several" of the choices, "number", "text" or "picture".
        help: about it.
        default: as the help shows it; "" for none.
        choices: words to choose from.
        example: what an answer looks like.
        step: of a number: "1" or "any".
        many: whether it may be given several times.
        weighted: whether a picture may have a weight, as in "upload:0.5".
    """

    name: str
    kind: str
    help: str
    default: str = ""
    choices: tuple[str, ...] = ()
    example: str = ""
    step: str = "any"
    many: bool = False
    weighted: bool = False


@dataclass(frozen=True)
class Form:
    """One command.

    Attributes:
        command: its name.
        title: what it does, in a line.
        fields: its options, but for those that are nobody's business on a page.
        always: words that it gets whatever the answers are.
        writes: whether it writes pictures rather than telling something.
        on_the_way: pattern of the names of pictures that it writes before the result.
    """

    command: str
    title: str
    fields: tuple[Field, ...]
    always: tuple[str, ...] = ()
    writes: bool = True
    on_the_way: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        fields = [asdict(field) for field in self.fields]
        return {"command": self.command, "title": self.title, "fields": fields}

    def words(self, answers: Mapping[str, Any], file_of: Callable[[str], str]) -> list[str]:
        """The answers as options of a command line, without what it gets always.

        Args:
            answers: by field name; True for a flag, a list where several may be given.
            file_of: the name of an uploaded picture by what the page calls it.
        Raises:
            FormError: something that the form does not ask for. Values are the command's to judge.
        """
        known = {field.name: field for field in self.fields}
        words: list[str] = []
        for name, answer in answers.items():
            if name not in known:
                raise FormError(f"{self.command} has no option {printable(name)!r} on this page")
            words += _typed(known[name], answer, file_of)
        return words


def _typed(field: Field, answer: Any, file_of: Callable[[str], str]) -> list[str]:
    """One answer, each value in one word with its option, so that it cannot become an option itself."""
    if field.kind == "flag":
        if not isinstance(answer, bool):
            raise FormError(f"--{field.name} takes no value")
        return [f"--{field.name}"] * answer
    values = answer if isinstance(answer, list) else [answer]
    for value in values:
        if not isinstance(value, str) or len(value) > MAX_LETTERS or not value.isprintable():
            raise FormError(f"--{field.name} takes one line of at most {MAX_LETTERS} letters")
    if field.kind in ("choice", "several") and not set(values) <= set(field.choices):
        raise FormError(f"--{field.name} takes {', '.join(field.choices)}")
    if field.kind == "several":
        return [f"--{field.name}={','.join(values)}"] if values else []
    if len(values) > (MAX_PICTURES if field.many else 1):
        raise FormError(f"--{field.name} is given too often")
    if field.kind == "picture":
        values = [_file(field, value, file_of) for value in values]
    return [f"--{field.name}={value}" for value in values]


def _file(field: Field, answer: str, file_of: Callable[[str], str]) -> str:
    """The name of an upload, with its weight if it has one."""
    upload, colon, weight = answer.partition(":")
    if colon and not (field.weighted and re.fullmatch(r"\d+\.?\d*|\.\d+", weight)):
        raise FormError(f"--{field.name}: {weight!r} is no weight")
    return f"{file_of(upload)}{colon}{weight}"
