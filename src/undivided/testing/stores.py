"""Faulty stores: wrappers around a real one, each with one fault."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..vault.stores.base import Buffer, Store, StoreError, TransientError

T = TypeVar("T")


class Wrapper:
    """Forwards every call to the store `beneath`."""

    def __init__(self, beneath: Store) -> None:
        self.beneath = beneath
        self.url = beneath.url

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self.beneath.create(name, parts)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self.beneath.read(name, start, length)

    def size(self, name: str) -> int:
        return self.beneath.size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return self.beneath.list(prefix)

    def delete(self, name: str) -> None:
        self.beneath.delete(name)


class Recording(Wrapper):
    """Records every create, including the failed ones."""

    def __init__(self, beneath: Store) -> None:
        super().__init__(beneath)
        self.tried: list[tuple[str, bytes]] = []

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self.tried.append((name, b"".join(parts)))
        super().create(name, parts)


class Truncating(Wrapper):
    """Reports success, but keeps only the beginning of objects with this prefix."""

    def __init__(self, beneath: Store, prefix: str, keep: float) -> None:
        super().__init__(beneath)
        self.prefix, self.keep = prefix, keep

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        data = b"".join(parts)
        kept = int(len(data) * self.keep) if name.startswith(self.prefix) else len(data)
        super().create(name, [data[:kept]])


class LostAnswer(Wrapper):
    """Stores objects with this prefix, then fails as if the answer had been lost."""

    def __init__(self, beneath: Store, prefix: str) -> None:
        super().__init__(beneath)
        self.prefix = prefix

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        super().create(name, parts)
        if name.startswith(self.prefix):
            raise StoreError("the connection was lost", doing=f"create {name}")


class Flaky(Wrapper):
    """Each answer is lost with the probability `share`: half of these before the effect, half after it."""

    def __init__(self, beneath: Store, chance: random.Random, share: float) -> None:
        super().__init__(beneath)
        self._chance, self._share = chance, share
        self._lock = threading.Lock()

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self._attempt(lambda: self.beneath.create(name, parts), f"create {name}")

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._attempt(lambda: self.beneath.read(name, start, length), f"read {name}")

    def size(self, name: str) -> int:
        return self._attempt(lambda: self.beneath.size(name), f"look at {name}")

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """May fail in the middle."""
        found = list(self.beneath.list(prefix))
        yield from found[: len(found) // 2]
        self._attempt(lambda: None, f"list {prefix}")
        yield from found[len(found) // 2 :]

    def delete(self, name: str) -> None:
        self._attempt(lambda: self.beneath.delete(name), f"delete {name}")

    def _attempt(self, call: Callable[[], T], doing: str) -> T:
        with self._lock:
            drawn = self._chance.random()
        if drawn < self._share / 2:
            raise TransientError("the connection was refused", doing=doing)
        done = call()
        if drawn < self._share:
            raise TransientError("the connection was lost", doing=doing)
        return done


class Slow(Wrapper):
    """Answers `delay` seconds late, like a distant server. most: the largest number of requests at the same
    time."""

    def __init__(self, beneath: Store, delay: float, parallel: int = 6) -> None:
        super().__init__(beneath)
        self.parallel, self.most = parallel, 0
        self._delay, self._waiting = delay, 0
        self._lock = threading.Lock()

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self._wait()
        super().create(name, parts)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._wait()
        return super().read(name, start, length)

    def size(self, name: str) -> int:
        self._wait()
        return super().size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        for count, found in enumerate(super().list(prefix)):
            if count % 1000 == 0:
                self._wait()
            yield found

    def delete(self, name: str) -> None:
        self._wait()
        super().delete(name)

    def _wait(self) -> None:
        with self._lock:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
        time.sleep(self._delay)
        with self._lock:
            self._waiting -= 1


class Rival(Wrapper):
    """Calls `first` once, right before an object with this prefix is created: another writer was faster."""

    def __init__(self, beneath: Store, prefix: str, first: Callable[[], object]) -> None:
        super().__init__(beneath)
        self.prefix, self._first = prefix, first
        self._lock = threading.Lock()
        self._done = False

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        with self._lock:
            now = name.startswith(self.prefix) and not self._done
            self._done = self._done or now
        if now:
            self._first()
        super().create(name, parts)


class Full(Wrapper):
    """Fails once more than `room` bytes were stored, like a full disk."""

    def __init__(self, beneath: Store, room: int) -> None:
        super().__init__(beneath)
        self.room = room

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self.room -= sum(len(p) for p in parts)
        if self.room < 0:
            raise StoreError("no space left on device", doing=f"create {name}", hint="Free some space.")
        super().create(name, parts)
