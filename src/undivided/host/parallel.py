"""Parallel work with results in order: reading ahead from a distant store, decoding on every core."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

THREADS = max(2, min(8, os.cpu_count() or 2))


def in_order(work: Callable[[T], R], items: Iterable[T], *, threads: int = THREADS) -> Iterator[R]:
    """work(item) of each item, on up to `threads` threads; with one thread, on the caller's thread. At most
    one result per thread waits, so memory is bounded for any number of items. When the iterator is closed,
    running calls are finished and no others are started. An error of `work` is raised here."""
    rest = iter(items)
    begun = list(itertools.islice(rest, 2)) if threads > 1 else []
    if len(begun) < 2:  # not worth a thread
        yield from map(work, itertools.chain(begun, rest))
        return
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="undivided-ahead") as pool:
        try:
            for item in itertools.chain(begun, rest):
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
