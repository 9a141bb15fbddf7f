"""A sink and a source in memory, for tests of a driver against its real application without a vault.

They implement the contract of drivers/base.py and nothing else: content by path, with the order of calls
checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..model.entries import Entries, Entry, Layout
from ..model.errors import SourceError
from ..model.point import ComponentPoint
from ..model.streams import Buffer, Piece, one_by_one


class MemorySink:
    """A component's growing tree. `moved` counts the bytes put since the last `settle`."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Entry] = {}
        self.data: dict[bytes, bytes] = {}
        self.notes: list[str] = []
        self.moved = 0
        self._to_drop: set[bytes] = set()

    @property
    def entries(self) -> Entries:
        ordered = [self.rows[p] for p in sorted(self.rows)]
        return Entries.of(ordered, [self._digest(r.path) for r in ordered])

    def _digest(self, path: bytes) -> bytes:
        return hashlib.sha256(self.data[path]).digest() if path in self.data else b""

    def put(self, entry: Entry, data: Iterable[Buffer] = (), layout: Layout = Layout.BLOCKS) -> int:
        content = b"".join(bytes(d) for d in data)
        size = entry.size if entry.extents or not content else len(content)
        self.rows[entry.path] = replace(entry, size=size)
        self.data[entry.path] = content
        self._to_drop.discard(entry.path)
        self.moved += len(content)
        return len(content)

    def append(self, path: bytes, offset: int, data: Iterable[Buffer]) -> int:
        old = self.data.get(path, b"")
        if offset != len(old):
            raise SourceError(f"{path!r} continues at {len(old)}, not at {offset}")
        more = b"".join(bytes(d) for d in data)
        self.rows[path] = replace(self.rows.get(path, Entry(path)), size=len(old) + len(more))
        self.data[path] = old + more
        self._to_drop.discard(path)
        self.moved += len(more)
        return len(more)

    def put_many(self, entries: Entries, pieces: Iterable[Piece], layout: Layout) -> None:
        data = [b""] * len(entries)
        for row, piece, _last in one_by_one(pieces):
            data[row] += bytes(piece)
        for row, content in enumerate(data):
            self.put(entries.row(row), [content] if content else [], layout)

    def drop(self, paths: Sequence[bytes]) -> None:
        for path in paths:
            self.rows.pop(path, None)
            self.data.pop(path, None)

    def replace(self, prefix: bytes) -> None:
        self._to_drop |= {p for p in self.rows if p == prefix or p.startswith(prefix.rstrip(b"/") + b"/")}

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: int, total: int | None = None) -> None:
        pass

    def copy(self) -> MemorySink:
        """A copy of the tree as it is now."""
        other = MemorySink()
        other.rows, other.data = dict(self.rows), dict(self.data)
        return other

    def settle(self) -> int:
        """Ends the point like a commit: drops the paths that a new image did not put. Returns the bytes
        moved."""
        self.drop(sorted(self._to_drop))
        self._to_drop.clear()
        moved, self.moved = self.moved, 0
        return moved


class MemorySource:
    """The content of a MemorySink as a recovery source. Hostile trees are left to tree/write.py."""

    def __init__(self, sink: MemorySink, point: ComponentPoint) -> None:
        self.sink = sink
        self.point = point

    @property
    def entries(self) -> Entries:
        return self.sink.entries

    def extract(
        self, into: Path, prefix: bytes = b"", *, select: Callable[[bytes], bool] | None = None
    ) -> None:
        from ..tree.write import write_tree

        entries, data = self.sink.entries, self.sink.data
        write_tree(into, entries, prefix=prefix, select=select, content=lambda row: [data[entries.path[row]]])

    def read(self, path: bytes) -> Iterator[bytes]:
        yield self.sink.data[path]


class NoWatchdog:
    """A watchdog that only records its calls: for driver tests in which no process dies."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def resume(self, pids: Sequence[int]) -> None:
        self.calls.append(("resume", tuple(pids)))

    def write(self, path: str, data: bytes) -> None:
        self.calls.append(("write", (path, data)))

    def thaw(self, path: str) -> None:
        self.calls.append(("thaw", path))

    def postgresql(self, dsn: str, statements: Sequence[str]) -> None:
        self.calls.append(("postgresql", tuple(statements)))
