"""Work side by side: results in order, errors where they belong, and no more begun than is wanted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from undivided.host.parallel import in_order


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_the_order_of_the_items(threads: int, count: int) -> None:
    def work(item: int) -> int:
        time.sleep(random.random() / 1000)
        return item * item

    assert list(in_order(work, range(count), threads=threads)) == [i * i for i in range(count)]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_in_the_place_of_its_result(threads: int) -> None:
    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    found = []
    with pytest.raises(ValueError, match="five"):
        for result in in_order(work, range(10), threads=threads):
            found.append(result)
    assert found == [0, 1, 2, 3, 4]


def test_few_results_wait_for_a_slow_consumer() -> None:
    begun: list[int] = []
    results = in_order(begun.append, range(1000), threads=3)
    for _ in range(10):
        next(results)
    time.sleep(0.05)
    assert len(begun) <= 10 + 3 + 1
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 10 + 3 + 1


def test_with_one_thread_the_callers_thread_works() -> None:
    def items() -> Iterator[int]:
        yield from range(3)

    own = threading.current_thread()
    assert [t is own for t in in_order(lambda _: threading.current_thread(), items(), threads=1)] == [
        True
    ] * 3
