"""What was read or made last, for as long as there is room in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Values by key, those used last; the newest stays even where it has no room.

    Args:
        room: bytes in all.
        size: how many a value takes.
    """

    def __init__(self, room: float, size: Callable[[Value], int]) -> None:
        self.room, self.size = room, size
        self._values: OrderedDict[Key, Value] = OrderedDict()  # the newest last
        self._taken = 0

    def __iter__(self) -> Iterator[Key]:
        """The keys, that of the newest last."""
        return iter(self._values)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make()
        self._taken += self.size(value)
        while len(self._values) > 1 and self._taken > self.room:
            self._taken -= self.size(self._values.popitem(last=False)[1])
        return value

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
        self._taken = 0
