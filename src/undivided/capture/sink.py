"""The sink of one component: collects the rows a driver puts, and finds those that the vault does not have.

Content goes to the vault's writer at once; rows are gathered here until the commit. The result is one
segment: the rows that really differ from the previous point, and tombstones for the paths that are gone. An
unchanged component gives an empty segment, and then its timeline is not touched at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from ..model.columns import Ragged
from ..model.entries import Entries, Entry, Kind, Layout, merge
from ..model.errors import SourceError, UndividedError
from ..model.streams import Batch, Buffer, Piece, Stream

Progress = Callable[[str, int, int | None], None]


class Storage(Protocol):
    """The part of a vault's writer that the sink needs: content in, chunk ids per row out."""

    def store(self, pieces: Iterable[Piece], rows: int, layout: Layout) -> Ragged: ...


class SinkAbandoned(UndividedError):
    """Another component failed, so there will be no point: stop working on it."""


class ComponentSink:
    """Implements drivers.base.Sink. previous: the component's entries at the last point."""

    def __init__(
        self,
        name: str,
        storage: Storage,
        previous: Entries,
        abandoned: threading.Event,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self.notes: list[str] = []
        self.bytes_read = 0
        self._storage = storage
        self._previous = previous
        self._rows: dict[bytes, Entry] = {}
        self._content: dict[bytes, bytes] = {}
        self._tables: list[Entries] = []
        self._dropped: set[bytes] = set()
        self._images: list[bytes] = []
        self._places: dict[bytes, int] | None = None
        self._abandoned = abandoned
        self._progress = progress

    @property
    def imaged(self) -> bool:
        """Whether a new image was started."""
        return bool(self._images)

    def abandon(self) -> None:
        """Makes every further call on any component's sink raise SinkAbandoned."""
        self._abandoned.set()

    @property
    def entries(self) -> Entries:
        return merge(self._previous, self._puts(), Ragged.of(sorted(self._dropped)))

    def put(self, entry: Entry, data: Iterable[Buffer] = (), layout: Layout = Layout.BLOCKS) -> int:
        content, size = self._store_one(data, layout)
        if entry.kind == Kind.FILE and not entry.extents:
            entry = replace(entry, size=size)
        self._rows[entry.path] = entry
        self._content[entry.path] = content
        self._dropped.discard(entry.path)
        return size

    def append(self, path: bytes, offset: int, data: Iterable[Buffer]) -> int:
        entry, content = self._current(path)
        if offset != entry.size:
            raise SourceError(
                f"{path.decode(errors='replace')} has {entry.size} bytes in the vault, but the log continues "
                f"at {offset}",
                doing=f"continue the log of {self.name}",
                hint="Protect again: a new image will be taken.",
            )
        more, size = self._store_one(data, Layout.BLOCKS)
        if size or path not in self._rows:
            self._rows[path] = replace(entry, size=entry.size + size)
            self._content[path] = content + more
            self._dropped.discard(path)
        return size

    def put_many(self, entries: Entries, pieces: Iterable[Piece], layout: Layout) -> None:
        content = self._storage.store(self._counted(pieces), len(entries), layout)
        table = replace(entries, content=content)
        paths = table.path.tolist()
        for path in self._rows.keys() & set(paths):
            del self._rows[path], self._content[path]
        self._dropped.difference_update(paths)
        self._tables.append(table)

    def drop(self, paths: Sequence[bytes]) -> None:
        gone = set(paths)
        for path in gone & self._rows.keys():
            del self._rows[path], self._content[path]
        self._tables = [t for t in (_without(table, gone) for table in self._tables) if len(t)]
        self._dropped |= gone

    def replace(self, prefix: bytes) -> None:
        self._images.append(prefix)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: int, total: int | None = None) -> None:
        self._check()
        if self._progress:
            self._progress(self.name, done, total)

    def segment(self) -> tuple[Entries, Ragged]:
        """The changes of this point to the timeline: (puts, tombstones), without rows that it already has."""
        if not (self._rows or self._tables or self._dropped or self._images):
            return Entries.none(), Ragged.empty(0)
        puts = self._puts()
        fresh = set(puts.path.tolist())
        before = self._places_of_previous()
        gone = {p for p in self._dropped if p in before}
        for prefix in self._images:
            beneath = prefix + b"/"
            gone |= {p for p in before if p == prefix or p.startswith(beneath)}
        return _differing(self._previous, before, puts), Ragged.of(sorted(gone - fresh))

    def _puts(self) -> Entries:
        """Rows put so far, the latest of each path."""
        single = Entries.of(self._rows.values(), [self._content[path] for path in self._rows])
        table = Entries.concat([*self._tables, single])
        paths = table.path.tolist()
        last = {path: row for row, path in enumerate(paths)}
        if len(last) < len(paths):
            table = table.take(np.array(sorted(last.values()), np.int64))
        return table

    def _current(self, path: bytes) -> tuple[Entry, bytes]:
        if path in self._rows:
            return self._rows[path], self._content[path]
        row = self._places_of_previous().get(path)
        if row is None or path in self._dropped:
            return Entry(path), b""
        return self._previous.row(row), self._previous.content[row]

    def _places_of_previous(self) -> dict[bytes, int]:
        if self._places is None:
            self._places = {path: row for row, path in enumerate(self._previous.path.tolist())}
        return self._places

    def _store_one(self, data: Iterable[Buffer], layout: Layout) -> tuple[bytes, int]:
        """Content and size of one row."""
        before = self.bytes_read
        content = self._storage.store(self._counted(_ended(data)), 1, layout)
        return content[0], self.bytes_read - before

    def _counted(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self._check()
            if isinstance(piece, Stream):
                yield Stream(piece.row, partial(self._read, piece.read))
            else:
                self.bytes_read += piece.room if isinstance(piece, Batch) else len(piece[1])
                yield piece

    def _read(self, read: Callable[[memoryview], int], view: memoryview) -> int:
        self._check()
        got = read(view)
        self.bytes_read += got
        return got

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise SinkAbandoned("another component failed", doing=f"capture {self.name}")


def _ended(data: Iterable[Buffer]) -> Iterator[Piece]:
    """Pieces of one row. An empty piece after the last one marks the end: producers need not look ahead."""
    something = False
    for piece in data:
        something = True
        yield 0, piece, False
    if something:
        yield 0, b"", True


def _without(table: Entries, gone: set[bytes]) -> Entries:
    keep = np.array([path not in gone for path in table.path.tolist()], np.bool_)
    return table if keep.all() else table.take(keep)


def _differing(previous: Entries, before: dict[bytes, int], puts: Entries) -> Entries:
    """The puts whose row is not in `previous` with the same values."""
    rows = [before.get(path, -1) for path in puts.path.tolist()]
    known = np.array(rows, np.int64)
    differs = known < 0
    here = np.flatnonzero(~differs)
    if len(here):
        old, new = previous.take(known[here]).columns(), puts.take(here).columns()
        unlike = np.zeros(len(here), np.bool_)
        for name, column in old.items():
            other = new[name]
            if isinstance(column, Ragged):
                assert isinstance(other, Ragged)
                if not column.same(other):
                    unlike |= np.array([a != b for a, b in zip(column, other, strict=True)], np.bool_)
            else:
                unlike |= np.asarray(column != other)
        differs[here] = unlike
    return puts if differs.all() else puts.take(differs)
