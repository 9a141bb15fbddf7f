"""A store that asks again when an error may pass: a wrapper, for no store repeats anything by itself.

Only a TransientError is worth it. The waits double from a quarter of a second, each cut by chance to
something between half and whole, so that many clients do not come back all at once; in all about two
minutes.

A `create` whose answer was lost may have taken effect. So before it is repeated, and when the repetition
finds the name taken, the object is read back: equal bytes are ours. (They may be another's who created the
same bytes at the same time; whoever needs to know, as the commit log does, never creates bytes that another
could have made.)
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .base import Buffer, ExistsError, MissingError, Store, StoreError, TransientError, parallel

T = TypeVar("T")
_FIRST, _LONGEST = 0.25, 30.0


class Retrying:
    """What the store beneath does, tried up to `attempts` times. sleep: seconds, for tests."""

    def __init__(
        self,
        beneath: Store,
        attempts: int = 10,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.url = beneath.url
        self.parallel = parallel(beneath)
        self._beneath, self._attempts = beneath, attempts
        self._sleep, self._chance = sleep, chance

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        unknown = False

        def attempt() -> None:
            nonlocal unknown
            if unknown and self._ours(name, parts):
                return
            try:
                self._beneath.create(name, parts)
            except ExistsError:
                if not (unknown and self._ours(name, parts)):
                    raise
            except TransientError:
                unknown = True
                raise

        self._persist(attempt)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._persist(lambda: self._beneath.read(name, start, length))

    def size(self, name: str) -> int:
        return self._persist(lambda: self._beneath.size(name))

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        yield from self._persist(lambda: list(self._beneath.list(prefix)))

    def delete(self, name: str) -> None:
        self._persist(lambda: self._beneath.delete(name))

    def _ours(self, name: str, parts: Sequence[Buffer]) -> bool:
        """Whether the object is there with these bytes. Raises StoreError when that cannot be learnt."""
        try:
            if self._beneath.size(name) != sum(len(part) for part in parts):
                return False
            return self._beneath.read(name) == b"".join(parts)
        except MissingError:
            return False

    def _persist(self, attempt: Callable[[], T]) -> T:
        wait = _FIRST
        for _ in range(self._attempts - 1):
            try:
                return attempt()
            except TransientError:
                self._sleep(wait * (0.5 + self._chance() / 2))
                wait = min(2 * wait, _LONGEST)
        try:
            return attempt()
        except TransientError as error:
            cause = f"{error.cause} ({self._attempts} attempts)"
            raise StoreError(cause, doing=error.doing, hint=error.hint) from None
