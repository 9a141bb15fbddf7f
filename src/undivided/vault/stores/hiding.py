"""A store in which some objects are not seen: what lies behind junk is reached as if the junk were not there.

Verification and repair open a vault whose log ends in an entry that nobody can read. Everybody else is right
to refuse such a log; they look at it without that entry, and everything they use works as it always does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .base import Buffer, MissingError, Store


class Hiding:
    """What the store beneath does, but `hidden` names are missing. Creating one of them is left to the store
    beneath, which refuses: nothing is overwritten behind anybody's back."""

    def __init__(self, beneath: Store, hidden: frozenset[str]) -> None:
        self.url = beneath.url
        self._beneath, self._hidden = beneath, hidden

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self._beneath.create(name, parts)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._look(name)
        return self._beneath.read(name, start, length)

    def size(self, name: str) -> int:
        self._look(name)
        return self._beneath.size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return (found for found in self._beneath.list(prefix) if found[0] not in self._hidden)

    def delete(self, name: str) -> None:
        self._beneath.delete(name)

    def _look(self, name: str) -> None:
        if name in self._hidden:
            raise MissingError("it is set aside as junk", doing=f"read {name}")
