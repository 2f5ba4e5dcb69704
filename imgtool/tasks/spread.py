"""How the same work on many items is shared out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


class Spread(Protocol):
    """`map`, or one that spreads the work over processes; results come in order."""

    def __call__(self, function: Callable[[Item], Found], items: Iterable[Item], /) -> Iterator[Found]:
        """What the function returns for each item."""
