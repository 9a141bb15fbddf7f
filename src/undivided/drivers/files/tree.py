"""Shared by all ways of capturing a tree: comparing it with the last point, and reading what changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...host.names import ROOT, first_few
from ...host.rooted import RootedDirectory, syncfs
from ...model.columns import Array, Ragged
from ...model.entries import Layout
from ...model.errors import SourceError, error_context
from ...model.path_join import locate
from ...model.point import ComponentPoint
from ...model.streams import Batch, Piece, Stream
from ...tree.patterns import Patterns
from ...tree.read import Reading
from ...tree.walk import Walk
from ...tree.walk_cache import recall_walk, remember_walk
from ...tree.walk_difference import difference
from ..base import Sink

DOING = "read the tree"
PATH_HINT = "Check `path` in the service file."
_REPORT_EVERY = 8 << 20


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree as the service file names it. cache: where the last walk is kept between points."""

    path: Path
    patterns: Patterns
    one_filesystem: bool
    previous: ComponentPoint | None
    cache: Path | None

    def open(self, path: Path) -> RootedDirectory:
        """Raises SourceError when there is no such directory."""
        with error_context(DOING, PATH_HINT, raises=SourceError):
            return RootedDirectory(path)

    def changed(self, now: Walk, sink: Sink) -> tuple[Array, list[bytes]]:
        """(rows of `now` to read, paths that vanished since the last point). All rows are to be read when the
        last walk is not in the cache; data that the vault has already is not stored again."""
        before = None
        if self.cache is not None:
            before = recall_walk(self.cache, self.remembered)
        if before is None:
            sink.replace(ROOT)
            old = sink.entries.path
            vanished = np.flatnonzero(locate(now.entries.path, old) < 0)
            return np.arange(len(now)), old.take(vanished).tolist()
        unlike = difference(*before, now)
        return np.flatnonzero(unlike.changed), unlike.vanished.tolist()

    @property
    def remembered(self) -> str | None:
        """The token of the last point's walk."""
        return self.previous.state.get("walk") if self.previous else None

    def remember(self, token: str, walk: Walk, began_ns: int) -> None:
        """Keeps the walk for the next point. A walk without changes carries the last walk's token: the walk
        kept already is the same."""
        if self.cache is not None and token != self.remembered:
            remember_walk(self.cache, token, walk, began_ns)


def read_into(sink: Sink, root: RootedDirectory, rows: Walk) -> Reading:
    """Reads rows into the sink. The caller still has to handle `unsettled` and `vanished` of the result."""
    reading = Reading(root, rows)
    if len(rows):
        sink.put_many(reading.entries, _reported(reading, sink), Layout.CONTENT)
    return reading


def refuse_gaps(unreadable: list[tuple[bytes, str]]) -> None:
    """Raises SourceError for directories that could not be listed: nothing is known about their files, which
    must be neither left out nor recorded as deleted."""
    if unreadable:
        causes = ", ".join(sorted({cause for _, cause in unreadable}))
        raise SourceError(
            f"{first_few([path for path, _ in unreadable])}: {causes}",
            doing=DOING,
            hint="Make it readable for this user, or exclude it in the service file.",
        )


def flush(root: RootedDirectory) -> None:
    """Makes the tree's filesystem write its dirty data to disk. Raises SourceError when it cannot."""
    with error_context("flush the filesystem of the tree", raises=SourceError):
        fd = root.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs(fd)
        finally:
            os.close(fd)


def new_token() -> str:
    """Ties a cached walk to its point."""
    return os.urandom(8).hex()


def state_of(token: str, count: int, size: int) -> Mapping[str, Any]:
    return {"walk": token, "entries": count, "bytes": size}


def paths_of(rows: list[int], paths: Ragged) -> list[bytes]:
    return [paths[row] for row in rows]


def _reported(reading: Reading, sink: Sink) -> Iterator[Piece]:
    total = int(reading.entries.size.sum())
    done = reported = 0

    def report(more: int) -> None:
        nonlocal done, reported
        done += more
        if done - reported >= _REPORT_EVERY:
            reported = done
            sink.progress(done, total)

    def counted_read(read: Callable[[memoryview], int], view: memoryview) -> int:
        got = read(view)
        report(got)
        return got

    sink.progress(0, total)
    for piece in reading.pieces():
        if isinstance(piece, Stream):
            yield Stream(piece.row, partial(counted_read, piece.read))
        else:
            yield piece
            report(piece.room if isinstance(piece, Batch) else len(piece[1]))
    sink.progress(done, total)
