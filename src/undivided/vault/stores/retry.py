"""A store that repeats a request after an error that may pass. It is a wrapper: no store retries by itself.

Only a TransientError is retried. The waits double from a quarter of a second up to half a minute, in all
about two minutes. Each wait is shortened at random to between half and whole, so that many clients do not
return at the same moment.

A `create` whose answer was lost may have taken effect. So before it is repeated, and when the repetition
finds the name taken, the object is read back: equal bytes are ours. (Another client may have created the same
bytes at the same time. The commit log has to know the difference, so it never creates bytes that another
client could make.)
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .base import Buffer, ExistsError, MissingError, Store, StoreError, TransientError, parallel

T = TypeVar("T")
_FIRST, _LONGEST = 0.25, 30.0
_log = logging.getLogger(__name__)


class Retrying:
    """The store `beneath`, each request tried up to `attempts` times. sleep (seconds), chance (0 to 1): for
    tests."""

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

        self._retried(attempt)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._retried(lambda: self._beneath.read(name, start, length))

    def size(self, name: str) -> int:
        return self._retried(lambda: self._beneath.size(name))

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        yield from self._retried(lambda: list(self._beneath.list(prefix)))

    def delete(self, name: str) -> None:
        self._retried(lambda: self._beneath.delete(name))

    def _ours(self, name: str, parts: Sequence[Buffer]) -> bool:
        """Whether the object exists with these bytes. Raises StoreError when it cannot be read."""
        try:
            if self._beneath.size(name) != sum(len(part) for part in parts):
                return False
            return self._beneath.read(name) == b"".join(parts)
        except MissingError:
            return False

    def _retried(self, attempt: Callable[[], T]) -> T:
        longest = _FIRST
        for number in range(1, self._attempts):
            try:
                return attempt()
            except TransientError as error:
                wait = longest * (0.5 + self._chance() / 2)
                _log.info("%s; attempt %d of %d in %.1f s", error.summary, number + 1, self._attempts, wait)
                self._sleep(wait)
                longest = min(2 * longest, _LONGEST)
        try:
            return attempt()
        except TransientError as error:
            cause = f"{error.cause} ({self._attempts} attempts)"
            raise StoreError(cause, doing=error.doing, hint=error.hint) from None
