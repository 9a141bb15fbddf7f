"""The small rest of a tree, kept aside while its writers are held and put into the sink when they go on.

Small files are read into memory. Large ones are cloned where the filesystem shares blocks, else copied, which
counts against a limit. Of an unheld tree a file that is too large to keep is read after the mark, torn or
not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...host.names import shown
from ...host.rooted import RootedDirectory
from ...model.entries import Entries, Entry, Kind, Layout
from ...model.errors import SourceError
from ...model.streams import Piece, Stream
from ...snapshotters.base import Snapshotter
from ...tree.change_tracker import Changes
from ...tree.read import BUFFER, WHOLE, content, opened
from ..base import Sink


@dataclass(slots=True)
class _Kept:
    """data, a descriptor of a copy, or neither for what is to be read later."""

    entry: Entry
    data: bytes | None = None
    copy: int = -1


class Delta:
    """torn: whether files may change while they are copied. restless: those that did."""

    def __init__(
        self, root: RootedDirectory, snapshotter: Snapshotter | None, limit: int, *, torn: bool
    ) -> None:
        self.restless: list[bytes] = []
        self._root = root
        self._snapshotter = snapshotter
        self._limit = limit
        self._torn = torn
        self._copied = 0
        self._kept: dict[bytes, _Kept] = {}
        self._later: dict[bytes, Entry] = {}
        self._buffer = memoryview(bytearray(BUFFER))

    def cost(self, changes: Changes) -> int:
        """Bytes that would have to be copied."""
        sizes = [f.st_size for f in changes.found.values() if stat.S_ISREG(f.st_mode)]
        clones = self._snapshotter is not None and not self._snapshotter.copies
        return sum(size for size in sizes if size <= WHOLE or not clones)

    def take(self, path: bytes) -> os.stat_result | None:
        """Keeps the path as it is now, instead of what was kept of it before; None when it is gone. Raises
        SourceError when it cannot be read."""
        self.forget([path])
        with opened(self._root, path) as one:
            if one is None:
                return None
            entry = one.entry
            if entry.kind != Kind.FILE:
                self._kept[path] = _Kept(entry)
                return one.found
            large = entry.size > WHOLE
            if large and self._snapshotter and not self._snapshotter.copies:
                self._kept[path] = _Kept(entry, copy=self._clone(one.fd, path))
            elif self._torn and self._copied + entry.size > self._limit:
                self._later[path] = entry
                self.restless.append(path)
                return one.found
            else:
                data = b"".join(map(bytes, self._read(one.fd, entry)))
                self._copied += len(data)
                self._kept[path] = _Kept(_fitting(entry, data), data)
            after = os.fstat(one.fd)
            if (after.st_size, after.st_ctime_ns) != (one.found.st_size, one.found.st_ctime_ns):
                self.restless.append(path)
            return one.found

    def forget(self, paths: Iterable[bytes]) -> None:
        """What was kept of these is no longer how they are."""
        for path in paths:
            self._later.pop(path, None)
            kept = self._kept.pop(path, None)
            if kept and kept.copy >= 0:
                os.close(kept.copy)

    def put(self, sink: Sink) -> None:
        table = Entries.of([kept.entry for kept in self._kept.values()])
        if len(table):
            sink.put_many(table, self._pieces(), Layout.CONTENT)
        for entry in self._later.values():
            with opened(self._root, entry.path) as one:
                if one is not None:
                    whole = replace(one.entry, extents=())
                    sink.put(whole, self._read(one.fd, whole), Layout.CONTENT)
        self.close()

    def close(self) -> None:
        self.forget(list(self._kept))
        self._later.clear()

    def _clone(self, fd: int, path: bytes) -> int:
        assert self._snapshotter
        place = os.open(b"/proc/self/fd/%d" % self._root.fd, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return self._snapshotter.clone(fd, place)
        except OSError as error:
            raise SourceError(
                f"{shown(path)} cannot be cloned: {(error.strerror or str(error)).lower()}",
                doing="mark the tree",
            ) from error
        finally:
            os.close(place)

    def _read(self, fd: int, entry: Entry) -> Iterator[memoryview]:
        """In one buffer, used again for every piece."""
        read = content(fd, entry)
        while got := read(self._buffer):
            yield self._buffer[:got]

    def _pieces(self) -> Iterator[Piece]:
        for row, kept in enumerate(self._kept.values()):
            if kept.data:
                yield row, kept.data, True
            elif kept.copy >= 0:
                yield Stream(row, content(kept.copy, kept.entry))


def _fitting(entry: Entry, data: bytes) -> Entry:
    """The entry as large as what was read: a file that nobody holds may have shrunk meanwhile."""
    if not entry.extents:
        return replace(entry, size=len(data))
    extents, left = [], len(data)
    for offset, length in entry.extents:
        extents.append((offset, min(length, left)))
        left -= extents[-1][1]
    return replace(entry, extents=tuple(e for e in extents if e[1]) or ((0, 0),))
