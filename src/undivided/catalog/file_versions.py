"""The versions of files across points: how `find` reads a timeline.

A timeline is a sequence of commits, each with puts and tombstones. A version of a path begins with the commit
that puts the path, and ends before the commit that puts it again or drops it. The points in between have it.

The commits are read one by one, and a version is reported when it ends, or when the timeline ends. Until then
the wanted paths are kept as columns, not as Python objects: a tree may have 10⁷ of them. They lie in runs,
each from one or several commits and each found by the hashes of its paths; two runs of similar size are
merged, so there are only a few (the idea of a log-structured merge tree).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ..model.columns import Array, Ragged
from ..model.entries import Entries, Kind

Wanted = Callable[[bytes, bool], bool]
"""(path, whether it is a directory) → whether its versions are wanted."""
_BATCH = 1 << 16
"""So many paths are Python objects at a time."""


class Segment(Protocol):
    @property
    def puts(self) -> Entries: ...
    @property
    def tombstones(self) -> Ragged: ...


class Commit(Protocol):
    @property
    def number(self) -> int: ...


class Version(NamedTuple):
    """One version of a path. begin: the commit that put it; end: the commit that ended it, None while it
    stands."""

    path: bytes
    kind: Kind
    size: int
    mtime_ns: int
    begin: int
    end: int | None


def versions(history: Iterable[tuple[Commit, Segment]], wanted: Wanted) -> Iterator[Version]:
    """The versions of the paths that are wanted: as they end, then those
    that stand."""
    runs: list[_Run] = []
    for commit, segment in history:
        puts = segment.puts
        rows = _rows_wanted(puts, wanted)
        for paths in (segment.tombstones, puts.path.take(rows)):
            for batch in _batches(paths):
                for run in runs:
                    yield from run.ended(batch, commit.number)
        if len(rows):
            runs.append(_Run.of(puts, rows, commit.number))
            _merge(runs)
    for run in runs:
        yield from run.standing()


def within(version: Version, numbers: Sequence[int] | Array) -> tuple[int, int]:
    """The slice of `numbers` (ascending commits of points) that have this version; empty when none has it."""
    first = bisect_left(numbers, version.begin)
    return first, len(numbers) if version.end is None else bisect_left(numbers, version.end)


class _Run:
    """Versions that stand, as columns. hashes: of their paths, ascending; order: the row of each hash. alive:
    whether the version still stands."""

    def __init__(self, path: Ragged, kind: Array, size: Array, mtime_ns: Array, begin: Array) -> None:
        self.path, self.kind, self.size, self.mtime_ns, self.begin = path, kind, size, mtime_ns, begin
        hashes = np.concatenate([_hashes(batch) for batch in _batches(path)])
        self.order = np.argsort(hashes)
        self.hashes = hashes[self.order]
        self.alive = np.ones(len(path), np.bool_)

    @staticmethod
    def of(puts: Entries, rows: Array, begin: int) -> _Run:
        begins = np.full(len(rows), begin, np.int64)
        return _Run(puts.path.take(rows), puts.kind[rows], puts.size[rows], puts.mtime_ns[rows], begins)

    @staticmethod
    def merged(parts: Sequence[_Run]) -> _Run:
        rows = [np.flatnonzero(part.alive) for part in parts]

        def joined(name: str) -> Array:
            return np.concatenate([getattr(p, name)[own] for p, own in zip(parts, rows, strict=True)])

        path = Ragged.concat([part.path.take(own) for part, own in zip(parts, rows, strict=True)])
        return _Run(path, joined("kind"), joined("size"), joined("mtime_ns"), joined("begin"))

    def __len__(self) -> int:
        return int(self.alive.sum())

    def ended(self, paths: Sequence[bytes], number: int) -> Iterator[Version]:
        """Ends the versions of these paths at commit `number`."""
        hashes = _hashes(paths)
        first = np.searchsorted(self.hashes, hashes, "left")
        end = np.searchsorted(self.hashes, hashes, "right")
        for place in np.flatnonzero(end > first).tolist():
            for row in self.order[first[place] : end[place]].tolist():
                if self.alive[row] and self.path[row] == paths[place]:
                    self.alive[row] = False
                    yield self._version(row, number)

    def standing(self) -> Iterator[Version]:
        for row in np.flatnonzero(self.alive).tolist():
            yield self._version(row, None)

    def _version(self, row: int, end: int | None) -> Version:
        return Version(
            self.path[row],
            Kind(int(self.kind[row])),
            int(self.size[row]),
            int(self.mtime_ns[row]),
            int(self.begin[row]),
            end,
        )


def _merge(runs: list[_Run]) -> None:
    """Merges from the end while the last run is at least half as large as the one before it."""
    while len(runs) > 1 and 2 * len(runs[-1]) >= len(runs[-2]):
        last, before = runs.pop(), runs.pop()
        if len(last) or len(before):
            runs.append(_Run.merged([before, last]))


def _rows_wanted(puts: Entries, wanted: Wanted) -> Array:
    found = []
    begin = 0
    for batch in _batches(puts.path):
        kinds = puts.kind[begin : begin + len(batch)]
        directory = (kinds == Kind.DIRECTORY).tolist()
        chosen = [row for row, (p, d) in enumerate(zip(batch, directory, strict=True), begin) if wanted(p, d)]
        found.append(np.array(chosen, np.int64))
        begin += len(batch)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _batches(paths: Ragged) -> Iterator[list[bytes]]:
    for begin in range(0, len(paths), _BATCH):
        offsets = paths.offsets[begin : begin + _BATCH + 1]
        yield Ragged(paths.blob[offsets[0] : offsets[-1]], offsets - offsets[0]).tolist()


def _hashes(paths: Sequence[bytes]) -> Array:
    """i8[n]: Python's own hash, which differs from run to run and is never stored."""
    return np.fromiter(map(hash, paths), np.int64, len(paths))
