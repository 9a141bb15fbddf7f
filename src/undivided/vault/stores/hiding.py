"""A store that hides some objects, so that a vault with an unreadable log entry can be opened without it.

Other commands rightly refuse such a log. Verification and repair hide the entry, and all other code works as
always.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .base import Buffer, MissingError, Store


class Hiding:
    """The store `beneath` without the objects of the `hidden` names. Creating one of them still fails,
    because the store beneath has it: no object is overwritten."""

    def __init__(self, beneath: Store, hidden: frozenset[str]) -> None:
        self.url = beneath.url
        self._beneath, self._hidden = beneath, hidden

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self._beneath.create(name, parts)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._check(name)
        return self._beneath.read(name, start, length)

    def size(self, name: str) -> int:
        self._check(name)
        return self._beneath.size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return (found for found in self._beneath.list(prefix) if found[0] not in self._hidden)

    def delete(self, name: str) -> None:
        self._beneath.delete(name)

    def _check(self, name: str) -> None:
        if name in self._hidden:
            raise MissingError("the object is hidden: it cannot be read", doing=f"read {name}")
