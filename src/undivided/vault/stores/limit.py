"""A store with limits: bytes per second up and down, and requests per second.

Each limit is a token bucket. It fills at the rate and holds one second's worth. A request that takes more
than the bucket holds waits until the debt is paid. So a pack of 32 MiB passes at once and the next one waits;
on average no limit is exceeded, and no request is split.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from .base import Buffer, Store, parallel

_PAGE = 1000
"""Names per request when a server lists."""
_log = logging.getLogger(__name__)


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
        """Returns when the amount is paid."""
        with self._lock:
            now = self._now()
            self._left = min(self._rate, self._left + (now - self._at) * self._rate) - amount
            self._at = now
            debt = -self._left / self._rate
        if debt > 0:
            _log.debug("waiting %.2f s for the limit of %.0f per second", debt, self._rate)
            self._sleep(debt)


class Limited:
    """The store `beneath` at the rate of its buckets; None for no limit. upload, download: bytes."""

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
