"""What both ways of capturing a tree share: walking it, comparing it with the last point, reading what
changed."""

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
from ...model.errors import SourceError
from ...model.point import ComponentPoint
from ...model.streams import Batch, Piece, Stream
from ...tree.diff import difference, locate
from ...tree.patterns import Patterns
from ...tree.read import Reading
from ...tree.walk import Walk
from ...tree.walk_cache import recall_walk, remember_walk
from ..base import Sink

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
        """Raises SourceError when the tree is not there."""
        try:
            return RootedDirectory(path)
        except OSError as error:
            raise SourceError(
                f"{path}: {(error.strerror or str(error)).lower()}",
                doing="read the tree",
                hint="Check `path` in the service file.",
            ) from error

    def changed(self, now: Walk, sink: Sink) -> tuple[Array, list[bytes]]:
        """(rows of `now` to read, paths that are gone since the last point). Everything is to be read when
        the last walk is not known here; what the vault has already is not stored again."""
        before = None
        if self.cache is not None:
            before = recall_walk(self.cache, self.remembered)
        if before is None:
            sink.replace(ROOT)
            old = sink.entries.path
            gone = np.flatnonzero(locate(now.entries.path, old) < 0)
            return np.arange(len(now)), old.take(gone).tolist()
        unlike = difference(*before, now)
        return np.flatnonzero(unlike.changed), unlike.vanished.tolist()

    @property
    def remembered(self) -> str | None:
        """The token of the last point's walk."""
        return self.previous.state.get("walk") if self.previous else None

    def remember(self, token: str, walk: Walk, began_ns: int) -> None:
        """For the next point. A walk that found nothing changed carries the last one's token: what is kept
        already says the same."""
        if self.cache is not None and token != self.remembered:
            remember_walk(self.cache, token, walk, began_ns)


def read_into(sink: Sink, root: RootedDirectory, rows: Walk) -> Reading:
    """Reads rows into the sink. Of the result `unsettled` and `vanished` still have to be dealt with."""
    reading = Reading(root, rows)
    if len(rows):
        sink.put_many(reading.entries, _reported(reading, sink), Layout.CONTENT)
    return reading


def refuse_gaps(unreadable: list[tuple[bytes, str]]) -> None:
    """A directory that cannot be listed hides what is in it: there is no point then, and no tombstones."""
    if unreadable:
        causes = ", ".join(sorted({cause for _, cause in unreadable}))
        raise SourceError(
            f"{first_few([path for path, _ in unreadable])}: {causes}",
            doing="read the tree",
            hint="Make it readable for us, or exclude it in the service file.",
        )


def flush(root: RootedDirectory) -> None:
    """Has the tree's filesystem write what it holds in memory. Raises SourceError when it cannot."""
    fd = root.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs(fd)
    except OSError as error:
        raise SourceError(
            f"its filesystem cannot be flushed: {(error.strerror or str(error)).lower()}",
            doing="read the tree",
        ) from error
    finally:
        os.close(fd)


def new_token() -> str:
    """Ties a remembered walk to its point."""
    return os.urandom(8).hex()


def state_of(token: str, count: int, size: int) -> Mapping[str, Any]:
    return {"walk": token, "entries": count, "bytes": size}


def paths_of(rows: list[int], paths: Ragged) -> list[bytes]:
    return [paths[row] for row in rows]


def _reported(reading: Reading, sink: Sink) -> Iterator[Piece]:
    total = int(reading.entries.size.sum())
    done = told = 0

    def tell(more: int) -> None:
        nonlocal done, told
        done += more
        if done - told >= _REPORT_EVERY:
            told = done
            sink.progress(done, total)

    def told_read(read: Callable[[memoryview], int], view: memoryview) -> int:
        got = read(view)
        tell(got)
        return got

    sink.progress(0, total)
    for piece in reading.pieces():
        if isinstance(piece, Stream):
            yield Stream(piece.row, partial(told_read, piece.read))
        else:
            yield piece
            tell(piece.room if isinstance(piece, Batch) else len(piece[1]))
    sink.progress(done, total)
