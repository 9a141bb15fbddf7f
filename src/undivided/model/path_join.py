"""Joins and sorts of path columns, without a Python object per path when they are long.

A dictionary of 10⁷ paths takes more than three gigabytes. Above `MANY` rows pyarrow does the work on the
columns themselves; it is imported only then, because its import takes longer than joining fewer rows. Two
sorted columns are joined in blocks, so that the hash table of the join is never larger than one block
(docs/decisions/path-joins.md).
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from typing import Any

import numpy as np

from .columns import Array, Ragged

MANY = 1 << 17
"""Rows from which importing pyarrow pays."""
_BLOCK = 1 << 15


def locate(where: Ragged, paths: Ragged) -> Array:
    """The row of each path in `where`, i8[n], -1 for a missing path. Paths in `where` are unique."""
    if where.same(paths):
        return np.arange(len(paths))
    if max(len(where), len(paths)) >= MANY:
        return _joined(where, paths)
    index = dict(zip(where.tolist(), itertools.count(), strict=False))
    return np.fromiter((index.get(p, -1) for p in paths.tolist()), np.int64, len(paths))


def sort_order(paths: Ragged) -> Array | None:
    """Rows in byte order of their paths, i8[n]; None when they are in that order already."""
    if len(paths) >= MANY:
        return None if _is_sorted(paths) else _sorted(paths)
    items = paths.tolist()
    if all(map(bytes.__le__, items, items[1:])):
        return None  # checking costs a tenth of sorting
    return np.array(sorted(range(len(items)), key=items.__getitem__), np.int64)


def equal_rows(left: Ragged, right: Ragged) -> Array:
    """Whether row i of both columns, which are equally long, has the same bytes: bool[n]."""
    if left.same(right):
        return np.ones(len(left), np.bool_)
    lengths = left.lengths()
    equal: Array = lengths == right.lengths()
    for first in range(0, len(equal), _BLOCK):
        rows = first + np.flatnonzero((equal & (lengths > 0))[first : first + _BLOCK])
        if len(rows):
            a, b = left.take(rows), right.take(rows)
            equal[rows] = np.logical_and.reduceat(a.blob == b.blob, a.offsets[:-1])
    return equal


def _joined(where: Ragged, paths: Ragged) -> Array:
    import pyarrow.compute as compute

    def join(begin: int, end: int, first: int, last: int) -> Array:
        """Rows of paths[begin:end] in where[first:last]."""
        found = compute.index_in(_arrow(paths, begin, end), value_set=_arrow(where, first, last))
        rows: Array = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        rows[rows >= 0] += first
        return rows

    if not (_is_sorted(where) and _is_sorted(paths)):
        return join(0, len(paths), 0, len(where))
    at = np.full(len(paths), -1, np.int64)
    begin = 0
    for first in range(0, len(where), _BLOCK):
        last = min(first + _BLOCK, len(where))
        end = len(paths)
        if last < len(where):
            end = bisect_left(range(len(paths)), where[last], lo=begin, key=paths.__getitem__)
        at[begin:end] = join(begin, end, first, last)
        begin = end
    return at


def _sorted(paths: Ragged) -> Array:
    import pyarrow.compute as compute

    order: Array = compute.sort_indices(_arrow(paths, 0, len(paths))).to_numpy().astype(np.int64)
    return order


def _is_sorted(paths: Ragged) -> bool:
    import pyarrow.compute as compute

    n = len(paths)
    if n < 2:
        return True
    return bool(compute.all(compute.less_equal(_arrow(paths, 0, n - 1), _arrow(paths, 1, n))).as_py())


def _arrow(column: Ragged, first: int, last: int) -> Any:
    """Rows of a column as an Arrow array that looks into its buffers."""
    import pyarrow

    offsets = np.ascontiguousarray(column.offsets[first : last + 1])
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(np.ascontiguousarray(column.blob))]
    return pyarrow.LargeBinaryArray.from_buffers(pyarrow.large_binary(), len(offsets) - 1, buffers)
