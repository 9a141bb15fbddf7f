"""A point as a directory tree for reading: components at the top, each with its paths beneath.

The tree of a component is read when it is first entered, so that one component does not cost the others.
Names are bytes, as everywhere. A directory above an entry may have no row of its own (include patterns cause
this); it appears as a plain directory.

Any part of a file can be read: the vault's index has the lengths of its chunks, so only the chunks with the
requested bytes are read. The last few chunks stay in memory, because the next read mostly continues in the
same one.
"""

from __future__ import annotations

import bisect
import errno
import itertools
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..host.names import ROOT, ancestors_of, parent_of
from ..model.columns import Ragged
from ..model.entries import Entries, Kind, decode_extents, decode_xattrs

_KEPT_BYTES = 64 << 20
_PLAIN_DIRECTORY = stat.S_IFDIR | 0o755
_FORMAT = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
    Kind.SOCKET: stat.S_IFSOCK,
}


class Contents(Protocol):
    """The part of the vault's reader that is needed here."""

    def read(self, chunk_ids: Sequence[bytes]) -> Iterator[bytes]: ...

    def lengths(self, content: Ragged) -> np.typing.NDArray[np.int64]: ...


class ComponentFolder(Protocol):
    """The part of a component that is needed here: its tree, read on first use."""

    @property
    def entries(self) -> Entries: ...


@dataclass(frozen=True, slots=True)
class Attributes:
    """As in stat(2). mode includes the type; inode is unique in the tree, and shared by hard links."""

    mode: int
    inode: int
    links: int = 1
    size: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    rdev: int = 0


class ChunkCache:
    """The chunks read last. Thread-safe."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def read(self, chunk: bytes) -> bytes:
        """Raises DamageError."""
        with self._lock:
            found = self._kept.get(chunk)
            if found is not None:
                self._kept.move_to_end(chunk)
                return found
            data = b"".join(self._contents.read([chunk]))
            self._kept[chunk] = data
            self._bytes += len(data)
            while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
            return data

    def lengths(self, content: Ragged) -> list[int]:
        lengths: list[int] = self._contents.lengths(content).tolist()
        return lengths


class ComponentTree:
    """One component at one point. first_inode: its inodes count up from there. Any method raises
    FileNotFoundError for a path that does not exist."""

    def __init__(self, component: ComponentFolder, chunks: ChunkCache, first_inode: int) -> None:
        self._component = component
        self._chunks = chunks
        self._first_inode = first_inode
        self._maps: dict[int, _Map] = {}

    def attributes(self, path: bytes) -> Attributes:
        row = self._row(path)
        if row < 0:
            return Attributes(_PLAIN_DIRECTORY, self._first_inode - row, 2)
        entries, kind = self._entries, Kind(int(self._entries.kind[row]))
        leader, links = self._links.get(int(entries.link[row]), (row, 1))
        size = len(entries.target[row]) if kind is Kind.SYMLINK else int(entries.size[row])
        return Attributes(
            mode=_FORMAT[kind] | int(entries.mode[row]) & 0o7777,
            inode=self._first_inode + len(self._plain) + 1 + leader,
            links=2 if kind is Kind.DIRECTORY else links,
            size=size if kind in (Kind.FILE, Kind.SYMLINK) else 0,
            uid=int(entries.uid[row]),
            gid=int(entries.gid[row]),
            mtime_ns=int(entries.mtime_ns[row]),
            rdev=int(entries.rdev[row]),
        )

    def children(self, path: bytes) -> list[bytes]:
        """Names in a directory. Raises NotADirectoryError."""
        if not stat.S_ISDIR(self.attributes(path).mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return self._children.get(path, [])

    def target(self, path: bytes) -> bytes:
        """The target of a symlink."""
        row = self._row(path)
        return self._entries.target[row] if row >= 0 else b""

    def xattrs(self, path: bytes) -> Mapping[bytes, bytes]:
        row = self._row(path)
        return decode_xattrs(self._entries.xattrs[row]) if row >= 0 else {}

    def read(self, path: bytes, offset: int, size: int) -> bytes:
        """Up to `size` bytes of a file from `offset`, holes as zeros; fewer at its end.

        Raises DamageError.
        """
        row = self._row(path)
        whole = int(self._entries.size[row]) if row >= 0 else 0
        size = min(size, whole - offset)
        if size <= 0:
            return b""
        found = self._maps.get(row)
        if found is None:
            found = self._maps[row] = self._map(row)
        return found.read(self._chunks, offset, size)

    def _map(self, row: int) -> _Map:
        chunks = self._entries.chunks(row)
        lengths = self._chunks.lengths(Ragged.of([self._entries.content[row]])) if chunks else []
        ends = list(itertools.accumulate(lengths))
        extents = decode_extents(self._entries.extents[row]) or (((0, ends[-1]),) if ends else ())
        return _Map(chunks, ends, extents)

    def _row(self, path: bytes) -> int:
        """The row of a path; a negative number for a directory without one."""
        row = self._rows.get(path)
        if row is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return row

    @property
    def _entries(self) -> Entries:
        return self._component.entries

    @cached_property
    def _plain(self) -> list[bytes]:
        """Directories that have no row."""
        paths = set(self._entries.path.tolist())
        above = {ROOT, *(folder for path in paths for folder in ancestors_of(path))}
        return sorted(above - paths)

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        rows = {path: row for row, path in enumerate(self._entries.path.tolist())}
        rows.update({path: -1 - number for number, path in enumerate(self._plain)})
        return rows

    @cached_property
    def _children(self) -> dict[bytes, list[bytes]]:
        children: dict[bytes, list[bytes]] = {}
        for path in self._rows:
            if path != ROOT:
                children.setdefault(parent_of(path), []).append(path.rpartition(b"/")[2])
        return children

    @cached_property
    def _links(self) -> dict[int, tuple[int, int]]:
        """Link number → (the row whose inode they share, how many there are)."""
        found: dict[int, tuple[int, int]] = {}
        rows = np.flatnonzero(self._entries.link)
        for row, link in zip(rows.tolist(), self._entries.link[rows].tolist(), strict=True):
            leader, count = found.get(link, (row, 0))
            found[link] = (leader, count + 1)
        return found


@dataclass(frozen=True, slots=True)
class _Map:
    """Where a file's bytes are: chunk ids, the content offset at which each chunk ends, and extents (offset
    in the file, length). The content is the data of all extents, joined."""

    chunks: Sequence[bytes]
    ends: Sequence[int]
    extents: Sequence[tuple[int, int]]

    def read(self, cache: ChunkCache, offset: int, size: int) -> bytes:
        """Bytes of the file, which has at least `offset + size` bytes."""
        found, start = bytearray(size), 0
        for place, length in self.extents:
            first, last = max(place, offset), min(place + length, offset + size)
            if first < last:
                found[first - offset : last - offset] = self._content(
                    cache, start + first - place, last - first
                )
            start += length
        return bytes(found)

    def _content(self, cache: ChunkCache, offset: int, size: int) -> bytes:
        pieces = []
        number = bisect.bisect_right(self.ends, offset)
        while size > 0:
            start = self.ends[number - 1] if number else 0
            piece = cache.read(self.chunks[number])[offset - start : offset - start + size]
            pieces.append(piece)
            offset, size, number = offset + len(piece), size - len(piece), number + 1
        return b"".join(pieces)


class PointTree:
    """All components of a point, by name. time_ns: of the point; the top directory shows it as its time."""

    INODES = 1 << 40

    def __init__(self, components: Mapping[str, ComponentFolder], contents: Contents, time_ns: int) -> None:
        chunks = ChunkCache(contents)
        self._trees = {
            name.encode(): ComponentTree(component, chunks, self.INODES * (number + 1))
            for number, (name, component) in enumerate(components.items())
        }
        self._time_ns = time_ns

    def find(self, path: bytes) -> tuple[ComponentTree, bytes] | None:
        """The component of an absolute path and the path in it; None for the top.

        Raises FileNotFoundError.
        """
        parts = path.strip(b"/").split(b"/", 1)
        if parts == [b""]:
            return None
        tree = self._trees.get(parts[0])
        if tree is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return tree, parts[1] if len(parts) > 1 else ROOT

    def attributes(self, path: bytes) -> Attributes:
        found = self.find(path)
        return found[0].attributes(found[1]) if found else self.top()

    def children(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """Names in a directory, each with its attributes. Raises NotADirectoryError."""
        found = self.find(path)
        if found:
            tree, inside = found
            for name in tree.children(inside):
                yield name, tree.attributes(name if inside == ROOT else inside + b"/" + name)
        else:
            for name, tree in self._trees.items():
                yield name, tree.attributes(ROOT)

    def top(self) -> Attributes:
        return Attributes(stat.S_IFDIR | 0o555, 1, 2 + len(self._trees), mtime_ns=self._time_ns)
