"""A store that leaves room for others: so many bytes a second up and down, so many requests a second.

A bucket of tokens for each: it fills at the rate, holds a second's worth, and whoever takes more than is in
it owes the rest and waits until the debt is paid. So a pack of 32 MiB passes at once and the next one waits
its turn; on average no limit is exceeded, and no request is cut into pieces.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from .base import Buffer, Store, parallel

_PAGE = 1000
"""Names that a server gives per request when it lists."""


class TokenBucket:
    """Thread-safe. rate: per second. now: seconds, from any origin."""

    def __init__(
        self,
        rate: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._now, self._sleep = rate, now, sleep
        self._lock = threading.Lock()
        self._left, self._at = rate, now()

    def take(self, amount: float) -> None:
        """Returns when the amount is paid for."""
        with self._lock:
            now = self._now()
            self._left = min(self._rate, self._left + (now - self._at) * self._rate) - amount
            self._at = now
            debt = -self._left / self._rate
        if debt > 0:
            self._sleep(debt)


class Limited:
    """What the store beneath does, at the pace of its tokens; None for no limit. upload, download: bytes."""

    def __init__(
        self,
        beneath: Store,
        *,
        requests: TokenBucket | None = None,
        upload: TokenBucket | None = None,
        download: TokenBucket | None = None,
    ) -> None:
        self.url = beneath.url
        self.parallel = parallel(beneath)
        self._beneath = beneath
        self._requests, self._upload, self._download = requests, upload, download

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        _pay(self._requests, 1)
        _pay(self._upload, sum(len(part) for part in parts))
        self._beneath.create(name, parts)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        _pay(self._requests, 1)
        if length is not None:
            _pay(self._download, length)
        data = self._beneath.read(name, start, length)
        if length is None:
            _pay(self._download, len(data))
        return data

    def size(self, name: str) -> int:
        _pay(self._requests, 1)
        return self._beneath.size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        for count, found in enumerate(self._beneath.list(prefix)):
            if count % _PAGE == 0:
                _pay(self._requests, 1)
            yield found

    def delete(self, name: str) -> None:
        _pay(self._requests, 1)
        self._beneath.delete(name)


def _pay(tokens: TokenBucket | None, amount: float) -> None:
    if tokens is not None:
        tokens.take(amount)
