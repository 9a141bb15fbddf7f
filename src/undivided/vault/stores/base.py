"""The contract of a store: a place for immutable named objects.

A store does not know what the objects mean. Names are relative, '/'-separated, of [A-Za-z0-9._-]; no part
begins with a dot. An object appears whole or not at all. Once `create` has returned, the object survives
power loss. It never changes. There is no overwrite, no rename and no lock: create-only is the one primitive
that the commit log needs.

Retry, caching, bandwidth limits and fault injection are wrappers around this interface, never part of one.
Every implementation passes tests/contract/test_stores.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ...model.errors import UndividedError

Buffer = bytes | bytearray | memoryview


class StoreError(UndividedError):
    """The request failed. A failed `create` may still have taken effect: only reading the object back shows
    it."""


class MissingError(StoreError):
    """There is no object of that name."""


class ExistsError(StoreError):
    """An object of that name exists already. It is unchanged."""


class FullError(StoreError):
    """The store has no room left."""


class TransientError(StoreError):
    """The cause may pass by itself: the network, a timeout, an overloaded server. The same request may work
    later."""


class Store(Protocol):
    """Thread-safe. Any call may raise StoreError."""

    url: str
    """Its name in messages and in the configuration."""

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        """Stores the joined parts durably. Of several creators of one name exactly one returns; the others
        raise ExistsError, even when the bytes are equal."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `start`, or all to the end. Raises MissingError; StoreError when the object has
        only a part of the range."""
        ...

    def size(self, name: str) -> int:
        """Raises MissingError."""
        ...

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(name, size) of the objects whose name starts with prefix, in order of name. The listing is
        complete: when it fails half-way it raises; it never ends early."""
        ...

    def delete(self, name: str) -> None:
        """Deletes the object. A missing object is no error."""
        ...


# Optional properties of a store, each with a default that is right for every store without them.


def parallel(store: Store) -> int:
    """How many large requests at a time keep the store busy (`parallel`): two for a disk, more for a network
    with latency."""
    return int(getattr(store, "parallel", 2))


def requests(store: Store) -> int:
    """How many small requests at a time hide the network's latency: one for a local store."""
    at_once = parallel(store)
    return 4 * at_once if at_once > 2 else 1


def read_into(store: Store, name: str, start: int, into: memoryview) -> None:
    """Store.read into a buffer of the wanted length (`read_into`). A caller that reads much reuses one
    buffer: fresh megabytes from the allocator cost as much as the reading. Raises as Store.read does."""
    own: Callable[[str, int, memoryview], None] | None = getattr(store, "read_into", None)
    if own:
        own(name, start, into)
    else:
        into[:] = store.read(name, start, len(into))


def uncached(store: Store) -> Store:
    """The store without its cache (`uncached`): a check of stored objects must not read local copies."""
    beneath: Store = getattr(store, "uncached", store)
    return beneath
