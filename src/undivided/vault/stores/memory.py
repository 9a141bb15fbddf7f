"""A store in memory: for tests, and the shortest implementation of the contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from .base import Buffer, ExistsError, MissingError, StoreError
from .names import checked, checked_prefix


class MemoryStore:
    """Objects in a dictionary. Tests may damage `objects`."""

    def __init__(self) -> None:
        self.url = "memory:"
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        data = b"".join(parts)
        with self._lock:
            if checked(name) in self.objects:
                raise ExistsError("the object exists already", doing=f"create {name}")
            self.objects[name] = data

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        data = self._get(name)
        end = len(data) if length is None else start + length
        if start > len(data) or end > len(data):
            raise StoreError(
                f"the object has {len(data)} bytes, requested were {start} to {end}", doing=f"read {name}"
            )
        return data[start:end]

    def size(self, name: str) -> int:
        return len(self._get(name))

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        checked_prefix(prefix)
        with self._lock:
            found = sorted((n, len(d)) for n, d in self.objects.items() if n.startswith(prefix))
        return iter(found)

    def delete(self, name: str) -> None:
        with self._lock:
            self.objects.pop(checked(name), None)

    def _get(self, name: str) -> bytes:
        with self._lock:
            try:
                return self.objects[checked(name)]
            except KeyError:
                raise MissingError("the object does not exist", doing=f"read {name}") from None
