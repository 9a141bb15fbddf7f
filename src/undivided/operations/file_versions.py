"""The versions that files had across points: what `find` looks through.

A timeline is a list of commits, each with puts and tombstones. A version of a path begins with the commit
that puts it and ends before the commit that puts it anew or drops it; the points in between are those it is
in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from ..model.columns import Ragged
from ..model.entries import Entries, Entry, Kind


class Segment(Protocol):
    @property
    def puts(self) -> Entries: ...
    @property
    def tombstones(self) -> Ragged: ...


class Commit(Protocol):
    @property
    def number(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a path. begin: the commit it came with; end: the commit that ended it, None while it
    stands."""

    row: Entry
    begin: int
    end: int | None


def versions(
    history: Iterable[tuple[Commit, Segment]], wanted: Callable[[bytes, bool], bool]
) -> Iterator[Version]:
    """The versions of the paths that are wanted(path, whether it is a directory): as they end, then those
    that stand, by path."""
    standing: dict[bytes, tuple[Entry, int]] = {}
    for commit, segment in history:
        fresh = [
            row
            for row, (path, kind) in enumerate(
                zip(segment.puts.path, segment.puts.kind.tolist(), strict=True)
            )
            if wanted(path, kind == Kind.DIRECTORY)
        ]
        rows = {segment.puts.path[i]: segment.puts.row(i) for i in fresh}
        for path in chain(segment.tombstones, rows):
            if path in standing:
                row, begin = standing.pop(path)
                yield Version(row, begin, commit.number)
        standing.update({path: (row, commit.number) for path, row in rows.items()})
    for path in sorted(standing):
        row, begin = standing[path]
        yield Version(row, begin, None)


def within(version: Version, numbers: Sequence[int]) -> tuple[int, int]:
    """The slice of `numbers` (ascending commits of points) that this version is in; empty when in none."""
    first = bisect_left(numbers, version.begin)
    return first, len(numbers) if version.end is None else bisect_left(numbers, version.end)
