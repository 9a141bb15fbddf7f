"""The contract of a store: a place for immutable named objects.

A store knows nothing of what the objects mean. Names are relative, '/'-separated, of [A-Za-z0-9._-], no part
beginning with a dot. An object appears whole or not at all; once `create` has returned it survives power
loss; it never changes. There is no overwrite, no rename and no lock: create-only is the one primitive the
commit log needs.

Retry, caching, bandwidth limits and fault injection are wrappers around this interface, never part of one.
Every implementation passes tests/contract/test_stores.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ...model.errors import UndividedError

Buffer = bytes | bytearray | memoryview


class StoreError(UndividedError):
    """The store could not do it. Whether a failed `create` took effect is unknown: read back to learn."""


class MissingError(StoreError):
    """No object of that name."""


class ExistsError(StoreError):
    """An object of that name is there already. It is left as it was."""


class FullError(StoreError):
    """There is no room for it."""


class TransientError(StoreError):
    """It may pass by itself: the network, a timeout, an overloaded server. Asking again is worth it."""


class Store(Protocol):
    """Thread-safe. Any call may raise StoreError."""

    url: str
    """How messages and configuration name it."""

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        """Stores the parts, joined, durably. Of several creators of one name exactly one returns; the others
        raise ExistsError, also when the bytes are equal."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes from `start`, `length` of them or to the end. Raises MissingError; StoreError when the range
        is not wholly there."""
        ...

    def size(self, name: str) -> int:
        """Raises MissingError."""
        ...

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(name, size) of the objects whose name starts with prefix, in order of name. Complete: a listing
        that fails half-way raises, it never just ends."""
        ...

    def delete(self, name: str) -> None:
        """Removes it. A missing object is no error."""
        ...


# What a store may say of itself beyond the contract, each with an answer that is right for all that do not.


def parallel(store: Store) -> int:
    """How many large requests at once keep it busy (`parallel`): two for a disk, more where each of them
    waits for a network."""
    return int(getattr(store, "parallel", 2))


def requests(store: Store) -> int:
    """How many small requests at once hide the way to it: one where there is none."""
    at_once = parallel(store)
    return 4 * at_once if at_once > 2 else 1


def uncached(store: Store) -> Store:
    """The store that answers from the place itself (`uncached`): who checks what is stored must ask it, not a
    copy kept here."""
    beneath: Store = getattr(store, "uncached", store)
    return beneath
