"""Two trees of entries compared as columns: the changes that `diff` shows.

Either tree may come from a point, with content, or from a walk, with attributes only. Whether a file has to
be read again for the next point is another question: see walk_difference.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..model.entries import Entries
from ..model.path_join import equal_rows, locate

_SEEN = ("kind", "mode", "uid", "gid", "size", "mtime_ns", "rdev")
"""What a walk sees without opening a file. A file's size and time change with its content."""
_STORED = ("target", "xattrs", "extents", "content")


class PathChange(NamedTuple):
    """kind: added, removed, changed. before, after: sizes in bytes, None where it does not exist."""

    kind: str
    path: bytes
    before: int | None
    after: int | None


def compare(before: Entries, after: Entries, *, live: bool = False) -> list[PathChange]:
    """The changes, by path. live: `after` is a walk, which has attributes and no content."""
    at = locate(before.path, after.path)
    old, new = at[at >= 0], np.flatnonzero(at >= 0)
    same = np.ones(len(new), np.bool_)
    for name in _SEEN:
        same &= getattr(before, name)[old] == getattr(after, name)[new]
    for name in () if live else _STORED:
        same &= equal_rows(getattr(before, name).take(old), getattr(after, name).take(new))
    stays = np.zeros(len(before), np.bool_)
    stays[old] = True
    changes = [
        PathChange("changed", after.path[n], int(before.size[o]), int(after.size[n]))
        for o, n in zip(old[~same].tolist(), new[~same].tolist(), strict=True)
    ]
    changes += [
        PathChange("added", after.path[n], None, int(after.size[n])) for n in np.flatnonzero(at < 0).tolist()
    ]
    changes += [
        PathChange("removed", before.path[o], int(before.size[o]), None)
        for o in np.flatnonzero(~stays).tolist()
    ]
    return sorted(changes, key=lambda change: change.path)
