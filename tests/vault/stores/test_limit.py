"""The limits hold on average, by a clock that only the test moves."""

from __future__ import annotations

from undivided.vault.stores.limit import Limited, TokenBucket
from undivided.vault.stores.memory import MemoryStore


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def tokens(self, rate: float) -> TokenBucket:
        return TokenBucket(rate, self.now, self.sleep)


def test_uploads_keep_to_their_rate() -> None:
    clock = Clock()
    store = Limited(MemoryStore(), upload=clock.tokens(1000))
    for i in range(21):
        store.create(f"o/{i}", [b"x" * 200, b"y" * 300])
    assert clock.seconds - 100 == (21 * 500 - 1000) / 1000


def test_one_large_object_passes_whole_and_the_next_one_pays_for_it() -> None:
    clock = Clock()
    store = Limited(MemoryStore(), upload=clock.tokens(1000))
    store.create("large", [b"x" * 5000])
    assert clock.seconds - 100 == 4
    store.create("small", [b"x"])
    assert 4 < clock.seconds - 100 < 4.01


def test_downloads_keep_to_their_rate_whether_their_size_is_known_before_or_not() -> None:
    clock = Clock()
    store = Limited(MemoryStore(), download=clock.tokens(1000))
    store.create("o", [b"x" * 2000])
    for _ in range(4):
        store.read("o")
        store.read("o", 500, 1000)
    assert clock.seconds - 100 == (4 * 3000 - 1000) / 1000


def test_requests_keep_to_their_rate_a_long_listing_counts_for_several() -> None:
    clock = Clock()
    store = Limited(MemoryStore(), requests=clock.tokens(10))
    for i in range(2001):
        store.create(f"o/{i}", [b""])
    before = clock.seconds
    assert len(list(store.list())) == 2001
    assert round(clock.seconds - before, 6) == 0.3


def test_a_pause_fills_the_bucket_only_to_its_brim() -> None:
    clock = Clock()
    tokens = clock.tokens(10)
    clock.seconds += 1000
    before = clock.seconds
    for _ in range(30):
        tokens.take(1)
    assert clock.seconds - before == 2
