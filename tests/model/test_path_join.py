"""Long path columns are joined and sorted as short ones are, in bounded memory."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from undivided.model import path_join
from undivided.model.columns import Ragged
from undivided.model.path_join import equal_rows, locate, sort_order

ODD = [b"", b"\xff\xfe", b"a\x00b", "größe".encode(), b"a/b", b"a-b"]


def some_paths(seed: int, count: int = 400) -> list[bytes]:
    chance = random.Random(seed)
    return list({*ODD, *(b"d%d/f%d" % (chance.randrange(9), chance.randrange(900)) for _ in range(count))})


@pytest.fixture(params=[(1 << 17, 1 << 17), (0, 1 << 17), (0, 7), (0, 1)], ids=str)
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's dictionary; one block; many small blocks; a block per row."""
    monkeypatch.setattr(path_join, "MANY", request.param[0])
    monkeypatch.setattr(path_join, "_BLOCK", request.param[1])


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("order", [sorted, list])
def test_every_path_is_found_where_it_is(order: type[list[bytes]]) -> None:
    where, paths = order(some_paths(1)), order(some_paths(2))
    expected = [where.index(p) if p in where else -1 for p in paths]
    assert locate(Ragged.of(where), Ragged.of(paths)).tolist() == expected
    assert locate(Ragged.of(where), Ragged.of(where)).tolist() == list(range(len(where)))
    assert locate(Ragged.of([]), Ragged.of(paths)).tolist() == [-1] * len(paths)
    assert locate(Ragged.of(where), Ragged.of([])).tolist() == []


@pytest.mark.usefixtures("sizes")
def test_paths_are_sorted_as_bytes() -> None:
    paths = some_paths(3)
    order = sort_order(Ragged.of(paths))
    assert order is not None
    assert [paths[row] for row in order.tolist()] == sorted(paths)
    assert sort_order(Ragged.of(sorted(paths))) is None
    assert sort_order(Ragged.of([])) is None
    assert sort_order(Ragged.of([b"a"])) is None


@pytest.mark.usefixtures("sizes")
def test_rows_are_equal_when_all_their_bytes_are() -> None:
    left = [b"", b"", b"abc", b"abc", b"abd", b"x" * 70, b"", b"q"]
    right = [b"", b"a", b"abc", b"ab", b"abc", b"x" * 70, b"", b"q"]
    expected = [True, False, True, False, False, True, True, True]
    assert equal_rows(Ragged.of(left), Ragged.of(right)).tolist() == expected
    assert equal_rows(Ragged.of(left), Ragged.of(left)).tolist() == [True] * len(left)


def test_taken_rows_cross_blocks() -> None:
    items = [b"%d" % (n * n) for n in range(40_000)]
    rows = np.random.default_rng(5).permutation(len(items))
    assert list(Ragged.of(items).take(rows)) == [items[row] for row in rows.tolist()]


MEASURE = """
import numpy as np, sys
import pyarrow.compute
from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Kind
from undivided.tree.compare import compare
from undivided.tree.walk_difference import difference
from undivided.tree.walk import Walk

def peak():
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM")) << 10

def tree(n, first):
    number = np.arange(n, dtype=np.int64) + first
    digits = 48 + number[:, None] // 10 ** np.arange(8, -1, -1) % 10
    blob = np.concatenate([np.full((n, 31), 97), digits], axis=1).astype(np.uint8)
    zeros = np.zeros(n, np.int64)
    empty = Ragged.empty(n)
    path = Ragged(blob.ravel(), np.arange(n + 1, dtype=np.int64) * 40)
    kind = np.full(n, Kind.FILE, np.uint8)
    entries = Entries(path, kind, *[zeros] * 7, empty, empty, empty, empty)
    return Walk(entries, zeros, zeros, zeros)

n = int(sys.argv[1])
before, now = tree(n, 0), tree(n, 3)
open("/proc/self/clear_refs", "w").write("5")
base = peak()
unlike = difference(before, 1 << 60, now)
assert unlike.changed.sum() == 3 and len(unlike.vanished) == 3
assert len(compare(before.entries, now.entries)) == 6
print((peak() - base) / n)
"""


def test_comparing_long_trees_takes_less_than_a_hundred_bytes_a_row() -> None:
    """With a dictionary of paths it took more than three hundred."""
    cost = float(subprocess.check_output([sys.executable, "-c", MEASURE, "600000"], cwd=Path.cwd()))
    assert cost < 100
