"""Dividing: where chunks begin and end, whatever way the bytes come."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from undivided.model.columns import Ragged
from undivided.model.entries import Layout
from undivided.model.streams import Batch, Stream
from undivided.vault.vault import Vault
from undivided.vault.write.chunker import BLOCK, LONGEST, SMALLEST, WHOLE

KIB = 1 << 10


def _store(vault: Vault, data: bytes, sizes: list[int], layout: Layout) -> Ragged:
    def pieces() -> Iterator[tuple[int, bytes, bool]]:
        at = 0
        for size in sizes:
            yield 0, data[at : at + size], at + size == len(data)
            at += size

    with vault.writer() as writer:
        return writer.store(pieces(), 1, layout)


def _lengths(vault: Vault, data: bytes, layout: Layout) -> list[int]:
    with vault.writer() as writer:
        column = writer.store([(0, data, True)], 1, layout)
        writer.commit("point", {}, {})
    lengths: list[int] = vault.reader().lengths(column).tolist()
    return lengths


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("tail", [0, 50_000, 7 << 20])
def test_cuts_do_not_depend_on_how_the_pieces_came(vault: Vault, layout: Layout, tail: int) -> None:
    rng = random.Random(7)
    data = rng.randbytes(16 << 20) + bytes(tail) + rng.randbytes(100_001)
    whole = _store(vault, data, [len(data)], layout)
    for largest in (70_001, 5 << 20):
        sizes: list[int] = []
        while sum(sizes) < len(data):
            sizes.append(min(rng.randint(1, largest), len(data) - sum(sizes)))
        assert _store(vault, data, sizes, layout).same(whole)


def test_content_is_one_chunk_up_to_256_kib(vault: Vault) -> None:
    for size in (1, 100, SMALLEST, WHOLE - 1, WHOLE):
        assert _lengths(vault, random.Random(size).randbytes(size), Layout.CONTENT) == [size]


def test_content_chunks_stay_within_their_bounds_and_fill_the_file(vault: Vault) -> None:
    data = random.Random(1).randbytes(30 << 20) + bytes(20 << 20)
    lengths = _lengths(vault, data, Layout.CONTENT)
    assert sum(lengths) == len(data)
    assert max(lengths) <= LONGEST
    assert min(lengths[:-1]) >= SMALLEST


def test_an_insertion_changes_the_chunks_around_itself_only(vault: Vault) -> None:
    data = random.Random(2).randbytes(24 << 20)
    changed = data[:5_000_000] + b"inserted" + data[5_000_000:]
    old, new = (_store(vault, d, [len(d)], Layout.CONTENT) for d in (data, changed))
    ids = [set(map(bytes, c.blob.reshape(-1, 32))) for c in (old, new)]
    assert len(ids[1] - ids[0]) <= 3


def test_blocks_lie_at_multiples_of_64_kib(vault: Vault) -> None:
    data = random.Random(3).randbytes(5 * BLOCK + 17)
    assert _lengths(vault, data, Layout.BLOCKS) == [BLOCK] * 5 + [17]
    changed = bytearray(data)
    changed[2 * BLOCK + 5] ^= 1
    old, new = (
        _store(vault, bytes(d), [len(data)], Layout.BLOCKS).blob.reshape(-1, 32) for d in (data, changed)
    )
    assert np.flatnonzero((old != new).any(axis=1)).tolist() == [2]


def test_rows_may_come_in_any_order_and_may_be_empty_or_absent(vault: Vault) -> None:
    pieces = [(3, b"three", True), (0, b"", True), (1, b"o", False), (1, b"ne", True), (1 + 4, b"", True)]
    with vault.writer() as writer:
        column = writer.store(pieces, 6, Layout.CONTENT)
        writer.commit("point", {}, {})
    read = [b"".join(vault.reader().read([ids] if ids else [])) for ids in column.tolist()]
    assert read == [b"", b"one", b"", b"three", b"", b""]


def test_no_rows_make_an_empty_column(vault: Vault) -> None:
    with vault.writer() as writer:
        assert len(writer.store([], 0, Layout.CONTENT)) == 0


def test_a_producer_that_fails_fails_the_call_with_its_own_error(vault: Vault) -> None:
    def pieces() -> Iterator[tuple[int, bytes, bool]]:
        yield 0, b"x" * 100_000, False
        raise OSError("the source went away")

    with vault.writer() as writer, pytest.raises(OSError, match="went away"):
        writer.store(pieces(), 1, Layout.CONTENT)


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("largest", [70_001, 5 << 20])
def test_a_stream_gives_the_chunks_that_its_bytes_would_give_at_once(
    vault: Vault, layout: Layout, largest: int
) -> None:
    rng = random.Random(9)
    data = rng.randbytes(40 << 20)
    at = 0

    def read(view: memoryview) -> int:
        nonlocal at
        got = min(rng.randint(1, largest), len(view), len(data) - at)
        view[:got] = data[at : at + got]
        at += got
        return got

    with vault.writer() as writer:
        column = writer.store([(0, b"before", True), Stream(1, read), (2, b"after", True)], 3, layout)
    assert column.tolist()[1] == _store(vault, data, [len(data)], layout).tolist()[0]
    assert [len(ids) for ids in column.tolist()[::2]] == [32, 32]


@pytest.mark.parametrize("layout", list(Layout))
def test_a_batch_gives_the_chunks_that_its_rows_would_give_alone(vault: Vault, layout: Layout) -> None:
    rng = random.Random(5)
    rows = [rng.randbytes(size) for size in (1, 0, WHOLE, WHOLE + 1, 3 << 20, 10, BLOCK, BLOCK + 1)]
    alone = [_store(vault, data, [len(data)], layout).tolist()[0] for data in rows]

    def read(view: memoryview) -> list[int]:
        whole = b"".join(rows)
        view[: len(whole)] = whole
        return [len(data) for data in rows]

    order = [5, 3, 0, 1, 2, 4, 7, 6]
    batch = Batch(order, sum(map(len, rows)) + 100, read)
    with vault.writer() as writer:
        column = writer.store([(8, b"before", True), batch, (9, b"after", True)], 10, layout)
    expected = dict(zip(order, alone, strict=True))
    assert column.tolist()[:8] == [expected[row] for row in range(8)]
    assert all(len(ids) == 32 for ids in column.tolist()[8:])


def test_a_batch_that_fails_fails_its_own_call_when_no_other_is_being_read(vault: Vault) -> None:
    reading, over = threading.Event(), threading.Event()

    def slow(view: memoryview) -> list[int]:
        reading.set()
        assert over.wait(10)
        over.clear()
        return [0]

    def failing(view: memoryview) -> list[int]:
        assert reading.wait(10)
        threading.Timer(0.05, over.set).start()
        raise OSError("the source went away")

    with vault.writer() as writer:
        with pytest.raises(OSError, match="went away"):
            writer.store([Batch([0], 10, slow), Batch([1], 10, failing)], 2, Layout.CONTENT)
        assert not over.is_set(), "the slow one was waited for"
        assert len(writer.store([(0, b"another component", True)], 1, Layout.CONTENT)) == 1
