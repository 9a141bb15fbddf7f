"""Entries: a table of file versions, one row each, as columns.

Drivers, capture, vault and recovery all use this one shape for files. The state of any component at a point
is a tree of entries: a site's uploads, a database's data files and a growing log (`wal/…`) are all paths with
attributes and content. They are columns, because trees have millions of rows, too many for Python objects.

Paths are bytes, relative to the component's root and separated by '/'; never empty, absolute or with '..'.
The root itself is the path b'.'. Each path occurs once; `sorted()` puts rows in byte order of path, so that
every directory comes before its content.
"""

from __future__ import annotations

import enum
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from .columns import Array, Column, Ragged, decode, encode
from .path_join import locate, sort_order

CHUNK_ID_BYTES = 32


class Kind(enum.IntEnum):
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    CHARACTER = 5
    BLOCK = 6
    SOCKET = 7


class Layout(enum.Enum):
    """How a file is split into chunks for deduplication."""

    CONTENT = "content"
    """Content-defined chunks: ordinary files."""
    BLOCKS = "blocks"
    """Fixed aligned blocks: database pages, disk images."""


_KIND_BY_FORMAT = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFSOCK: Kind.SOCKET,
}


def kind_of(mode: int) -> Kind:
    """The kind of a file with this st_mode."""
    return _KIND_BY_FORMAT[stat.S_IFMT(mode)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row as a value, for drivers that produce files one by one. `Entries` is the form for many."""

    path: bytes
    kind: Kind = Kind.FILE
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    rdev: int = 0
    link: int = 0
    """0, or a number that all hard links of one file share."""
    target: bytes = b""
    """Target of a symlink."""
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    """Extended attributes, including POSIX ACLs (system.posix_acl_*)."""
    extents: Sequence[tuple[int, int]] = ()
    """For a sparse file: (offset, length) of its data, ascending. Its content is these ranges joined."""


@dataclass(frozen=True, slots=True)
class Entries:
    """n entries as columns, each of length n.

    `content` holds the chunk ids of each file, 32 bytes each, in order; `xattrs` a JSON object of hex
    strings, or no bytes; `extents` little-endian i8 pairs. `users` and `groups` hold the names of the ids,
    for hosts on which the ids differ.
    """

    path: Ragged
    kind: Array
    mode: Array
    uid: Array
    gid: Array
    mtime_ns: Array
    size: Array
    rdev: Array
    link: Array
    target: Ragged
    xattrs: Ragged
    extents: Ragged
    content: Ragged
    users: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.path)

    @staticmethod
    def of(rows: Iterable[Entry], content: Iterable[bytes] | None = None) -> Entries:
        """Rows to columns. content: the joined chunk ids of each row; None for no content."""
        rows = list(rows)
        n = len(rows)

        def ints(name: str, dtype: Any) -> Array:
            return np.fromiter((getattr(r, name) for r in rows), dtype, n)

        return Entries(
            path=Ragged.of([r.path for r in rows]),
            kind=ints("kind", np.uint8),
            mode=ints("mode", np.uint32),
            uid=ints("uid", np.uint32),
            gid=ints("gid", np.uint32),
            mtime_ns=ints("mtime_ns", np.int64),
            size=ints("size", np.int64),
            rdev=ints("rdev", np.uint64),
            link=ints("link", np.uint64),
            target=Ragged.of([r.target for r in rows]),
            xattrs=Ragged.of([encode_xattrs(r.xattrs) for r in rows]),
            extents=Ragged.of([encode_extents(r.extents) for r in rows]),
            content=Ragged.empty(n) if content is None else Ragged.of(list(content)),
        )

    @staticmethod
    def none() -> Entries:
        return Entries.of([])

    def row(self, i: int) -> Entry:
        return Entry(
            path=self.path[i],
            kind=Kind(int(self.kind[i])),
            mode=int(self.mode[i]),
            uid=int(self.uid[i]),
            gid=int(self.gid[i]),
            mtime_ns=int(self.mtime_ns[i]),
            size=int(self.size[i]),
            rdev=int(self.rdev[i]),
            link=int(self.link[i]),
            target=self.target[i],
            xattrs=decode_xattrs(self.xattrs[i]),
            extents=decode_extents(self.extents[i]),
        )

    def take(self, rows: Array) -> Entries:
        """The rows at the given indices, in that order (a boolean mask selects)."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        picked: dict[str, Any] = {
            n: c.take(rows) if isinstance(c, Ragged) else c[rows] for n, c in self.columns().items()
        }
        return replace(self, **picked)

    def sorted(self) -> Entries:
        order = sort_order(self.path)
        return self if order is None else self.take(order)

    def columns(self) -> dict[str, Column]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("users", "groups")}

    @staticmethod
    def concat(parts: Sequence[Entries]) -> Entries:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Entries.none()
        tables = [p.columns() for p in parts]
        joined: dict[str, Any] = {}
        for name, first in tables[0].items():
            columns: list[Any] = [t[name] for t in tables]
            joined[name] = Ragged.concat(columns) if isinstance(first, Ragged) else np.concatenate(columns)
        users = {k: v for p in parts for k, v in p.users.items()}
        groups = {k: v for p in parts for k, v in p.groups.items()}
        return Entries(**joined, users=users, groups=groups)

    def chunks(self, i: int) -> list[bytes]:
        """The chunk ids of row i, in order."""
        ids = self.content[i]
        return [ids[k : k + CHUNK_ID_BYTES] for k in range(0, len(ids), CHUNK_ID_BYTES)]

    def encode(
        self, header: Mapping[str, Any] | None = None, *, level: int | None = 3, **more: Column
    ) -> bytes:
        """A column block of this table; `more` are further columns of the same length or Ragged."""
        names = {"users": _text_keys(self.users), "groups": _text_keys(self.groups), **(header or {})}
        return encode({**self.columns(), **more}, names, level=level)

    @staticmethod
    def decode(block: bytes | memoryview) -> tuple[Entries, dict[str, Column], dict[str, Any]]:
        """A table, the further columns of its block, and the rest of its header."""
        columns, header = decode(block)
        names = [f.name for f in fields(Entries) if f.name not in ("users", "groups")]
        own: dict[str, Any] = {name: columns.pop(name) for name in names}
        users = {int(k): v for k, v in header.pop("users").items()}
        groups = {int(k): v for k, v in header.pop("groups").items()}
        return Entries(**own, users=users, groups=groups), columns, header


def merge(state: Entries, puts: Entries, tombstones: Ragged) -> Entries:
    """The state after `puts` and `tombstones`: the latest row of each path that was not removed. Sorted by
    path.

    A tombstone removes its path only, never the paths below it. A path in both is put.
    """
    if not len(tombstones) and not len(puts):
        return state
    if not len(state):
        return puts.sorted()
    keep = (locate(puts.path, state.path) < 0) & (locate(tombstones, state.path) < 0)
    return Entries.concat([state.take(keep), puts]).sorted()


def encode_xattrs(xattrs: Mapping[bytes, bytes]) -> bytes:
    if not xattrs:
        return b""
    return json.dumps({k.hex(): v.hex() for k, v in sorted(xattrs.items())}, separators=(",", ":")).encode()


def decode_xattrs(raw: bytes) -> dict[bytes, bytes]:
    return {bytes.fromhex(k): bytes.fromhex(v) for k, v in json.loads(raw).items()} if raw else {}


def encode_extents(extents: Sequence[tuple[int, int]]) -> bytes:
    return np.array(extents, "<i8").tobytes() if extents else b""


def decode_extents(raw: bytes) -> tuple[tuple[int, int], ...]:
    pairs = np.frombuffer(raw, "<i8").reshape(-1, 2).tolist()
    return tuple((offset, length) for offset, length in pairs)


def _text_keys(names: Mapping[int, str]) -> dict[str, str]:
    return {str(k): v for k, v in names.items()}
