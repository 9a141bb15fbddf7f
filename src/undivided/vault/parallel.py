"""Work on many things at once, a few at a time, results in order: reading ahead, decoding on every core."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = max(2, min(8, os.cpu_count() or 2))


def in_order(work: Callable[[T], R], items: Iterable[T], *, ahead: int = 1) -> Iterator[R]:
    """work(item) of each, on a thread per core. At most `ahead` results wait per thread, so memory is bounded
    however many items there are; those begun when the iterator is closed are finished, no more are begun.
    What `work` raises is raised here."""
    rest = iter(items)
    begun = list(itertools.islice(rest, 2))
    if len(begun) < 2:  # not worth a thread
        yield from map(work, begun)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="undivided-verify") as pool:
        try:
            for item in itertools.chain(begun, rest):
                waiting.append(pool.submit(work, item))
                if len(waiting) > THREADS * ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
