"""The captured state of a tree: one walk, and the few paths that were captured again since.

From the first walk to the mark only a few rows change. They are kept in a dictionary over the walk's columns,
and become columns again at the end.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from ..host.names import ancestors_of
from ..model.entries import Kind
from .walk import Walk


class Seen(NamedTuple):
    """The attributes that show whether a path has changed."""

    directory: bool
    ino: int
    ctime_ns: int
    mtime_ns: int
    size: int

    @staticmethod
    def of(found: os.stat_result) -> Seen:
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        directory = stat.S_ISDIR(found.st_mode)
        return Seen(directory, found.st_ino, found.st_ctime_ns, found.st_mtime_ns, size)


class Baseline:
    """base: sorted by path. device: of the tree's root. count: the number of paths; size: their bytes."""

    def __init__(self, base: Walk, device: int) -> None:
        self.count = len(base)
        self.size = int(base.entries.size.sum())
        self.base = base
        self._device = device
        self._paths = base.entries.path
        self._over: dict[bytes, os.stat_result | None] = {}

    def find(self, path: bytes) -> Seen | None:
        if path in self._over:
            found = self._over[path]
            return Seen.of(found) if found else None
        row = self._row(path)
        if row == len(self._paths) or self._paths[row] != path:
            return None
        entries = self.base.entries
        return Seen(
            bool(entries.kind[row] == Kind.DIRECTORY),
            int(self.base.ino[row]),
            int(self.base.ctime_ns[row]),
            int(entries.mtime_ns[row]),
            int(entries.size[row]),
        )

    def see(self, path: bytes, found: os.stat_result) -> None:
        """The path was captured in this state."""
        before = self.find(path)
        self.count += before is None
        self.size += Seen.of(found).size - (before.size if before else 0)
        self._over[path] = found

    def drop(self, paths: Collection[bytes]) -> list[bytes]:
        """The paths are gone, with all paths beneath them. Returns those that were known. All in one call:
        the paths that were seen since the walk are searched once for those beneath."""
        gone = {path for path in paths if self.find(path) is not None}
        for path in paths:
            first, last = self._row(path + b"/"), self._row(path + b"0")  # '0' follows '/'
            gone.update(self._paths[row] for row in range(first, last))
        dropped = set(paths)
        gone.update(path for path in self._over if not dropped.isdisjoint(ancestors_of(path)))
        known = {path: before for path in gone if (before := self.find(path)) is not None}
        self.count -= len(known)
        self.size -= sum(before.size for before in known.values())
        self._over.update(dict.fromkeys(known))
        return sorted(known)

    def linked(self) -> list[bytes]:
        """Paths of files that have further names, through which they can change without an event."""
        rows = np.flatnonzero(self.base.entries.link).tolist()
        paths = [path for row in rows if (path := self._paths[row]) not in self._over]
        return paths + [p for p, found in self._over.items() if found and _has_names(found)]

    def names_of(self, found: Iterable[os.stat_result]) -> list[bytes]:
        """The known paths of those files that have several names now."""
        inodes = {each.st_ino for each in found if _has_names(each)}
        if not inodes:
            return []
        rows = np.flatnonzero(np.isin(self.base.ino, np.array(list(inodes), np.uint64))).tolist()
        paths = [path for row in rows if (path := self._paths[row]) not in self._over]
        return paths + [p for p, seen in self._over.items() if seen and seen.st_ino in inodes]

    def merged(self) -> Walk:
        """Everything as one walk, sorted."""
        if not self._over:
            return self.base
        keep = np.ones(len(self.base), np.bool_)
        for path in self._over:
            row = self._row(path)
            if row < len(keep) and self._paths[row] == path:
                keep[row] = False
        seen = {path: found for path, found in self._over.items() if found}
        over = Walk.of(list(seen), list(seen.values()), self._device)
        # Each of the few goes before the first path of the base that is greater: nothing has to be sorted.
        kept = np.flatnonzero(keep)
        places = np.searchsorted(kept, np.array([self._row(path) for path in over.entries.path], np.int64))
        rows = np.insert(np.arange(len(kept)), places, len(kept) + np.arange(len(over)))
        return Walk.concat([self.base.take(kept), over]).take(rows)

    def _row(self, path: bytes) -> int:
        return bisect_left(range(len(self._paths)), path, key=self._paths.__getitem__)


def _has_names(found: os.stat_result) -> bool:
    return found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)
