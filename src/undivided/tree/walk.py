"""A tree of files as columns: its entries, and when they last changed.

A walk costs one listing per directory and one stat per entry; everything else happens on whole columns. What
a stat does not return (the target of a link, extended attributes, holes) is read later, and only for new and
changed rows (tree/read.py).

A walk also has two columns that mean something on this host only: inode and change time. They show what
changed between two walks (tree/walk_difference.py).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter

import numpy as np

from ..host.names import ROOT, ancestors_of, first_few
from ..host.rooted import RootedDirectory
from ..model.columns import Array, Ragged
from ..model.entries import Entries, Kind, kind_of
from ..model.errors import reason
from ..model.path_join import sort_order
from .inotify import InotifyWatch
from .patterns import Patterns
from .walk_processes import FRONTIER, PROCESSES, share

_KINDS = np.zeros(16, np.uint8)
for _format in (
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFIFO,
    stat.S_IFCHR,
    stat.S_IFBLK,
    stat.S_IFSOCK,
):
    _KINDS[_format >> 12] = kind_of(_format)

_log = logging.getLogger(__name__)
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_EVERYTHING = Patterns()
_BATCH = 1 << 10
_ODD, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Walk:
    """entries: sorted by path, without targets, attributes, extents and content. ino u8[n], ctime_ns i8[n],
    holes u1[n]: whether fewer blocks are allocated than the size needs. unreadable: (path, cause) of
    directories that could not be listed: nothing is known about their content."""

    entries: Entries
    ino: Array
    ctime_ns: Array
    holes: Array
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ino)

    def take(self, rows: Array) -> Walk:
        """rows: indices, in the order wanted."""
        if np.array_equal(rows, np.arange(len(self))):
            return self  # a first backup takes all of them
        return replace(
            self,
            entries=self.entries.take(rows),
            ino=self.ino[rows],
            ctime_ns=self.ctime_ns[rows],
            holes=self.holes[rows],
        )

    @staticmethod
    def of(paths: list[bytes], found: Sequence[os.stat_result], device: int) -> Walk:
        """Stat results to columns, sorted by path. device: that of the tree's root."""
        return _assembled(Ragged.of(paths), _columns_of(found), device)

    @staticmethod
    def concat(parts: Sequence[Walk]) -> Walk:
        """Walks of different paths as one, not sorted."""
        return Walk(
            Entries.concat([p.entries for p in parts]),
            np.concatenate([p.ino for p in parts]),
            np.concatenate([p.ctime_ns for p in parts]),
            np.concatenate([p.holes for p in parts]),
            [gap for p in parts for gap in p.unreadable],
        )


def walk(
    root: RootedDirectory,
    start: bytes = ROOT,
    *,
    patterns: Patterns = _EVERYTHING,
    one_filesystem: bool = False,
    watch: InotifyWatch | None = None,
    shared: bool = False,
) -> Walk:
    """`start` and everything beneath it. Files that vanish meanwhile are left out.

    watch: gets every directory before it is listed. shared: by several processes, when the tree is large.
    one_filesystem: mount points are taken, their content is not. Raises OSError when `start` cannot be
    opened.
    """
    walker = _Walker(root, patterns, watch, one_filesystem)
    if not walker.run(start, PROCESSES if shared else 1):
        walker = _Walker(root, patterns, watch, one_filesystem)
        walker.run(start, 1)
    if walker.unreadable:
        causes = ", ".join(sorted({cause for _, cause in walker.unreadable}))
        _log.warning("not listed: %s: %s", first_few([path for path, _ in walker.unreadable]), causes)
    paths, columns = walker.result()
    if patterns.selective:
        keep = _wanted(paths, columns["mode"] >> 12 == stat.S_IFDIR >> 12, patterns)
        paths, columns = paths.take(keep), {name: c[keep] for name, c in columns.items()}
    return replace(_assembled(paths, columns, root.device), unreadable=walker.unreadable)


_Directory = tuple[bytes, os.stat_result]
_Result = tuple[dict[str, tuple[str, bytes]], list[tuple[bytes, str]], list[tuple[int, int, bytes]]]
"""Columns as (type, bytes), unreadable, watches as InotifyWatch.adopt takes them."""


class _Walker:
    """A directory gets its row when it is entered, everything else when it is listed."""

    def __init__(
        self, root: RootedDirectory, patterns: Patterns, watch: InotifyWatch | None, one_filesystem: bool
    ) -> None:
        self.root = root
        self.patterns = patterns
        self.watch = watch
        self.one_filesystem = one_filesystem
        self.device = 0
        self.paths: list[bytes] = []
        self.found: list[os.stat_result] = []
        self.batches: list[dict[str, Array]] = []
        self.ragged: list[Ragged] = []
        self.unreadable: list[tuple[bytes, str]] = []
        self.placed: list[tuple[int, int, bytes]] | None = None
        """In a forked child: the watches that it placed, for the parent to adopt."""

    def run(self, start: bytes, processes: int) -> bool:
        """Whether everything was walked; False when another process failed."""
        fd = self.root.open(start, os.O_PATH | os.O_NOFOLLOW)
        try:
            top = os.fstat(fd)
        finally:
            os.close(fd)
        self.device = top.st_dev
        waiting: deque[_Directory] = deque([(start, top)])
        if processes == 1:
            self._descend(waiting)
            return True
        while waiting and len(waiting) < FRONTIER:
            waiting += self._visit(*waiting.popleft())  # the widest level first: many small shares
        return not waiting or self._share(list(waiting), processes)

    def _descend(self, waiting: deque[_Directory]) -> None:
        while waiting:
            waiting += self._visit(*waiting.pop())

    def _share(self, waiting: list[_Directory], processes: int) -> bool:
        # A child takes over neither our rows nor the lock of the watch, which another thread may hold.
        child = _Walker(self.root, self.patterns, self.watch, self.one_filesystem)
        child.device, child.placed = self.device, []
        if self.watch:
            self.watch.expect()
        results = share(
            waiting,
            lambda one: self._descend(deque([one])),
            lambda one: child._descend(deque([one])),
            child._packed,
            processes,
            [self.root.fd, *([self.watch.descriptor] if self.watch else ())],
        )
        self._compact()
        for result in results or ():
            self._adopt(result)
        if self.watch:
            self.watch.adopt(placed for result in results or () for placed in result[2])
        return results is not None

    def _packed(self) -> _Result:
        """Everything found, as values that another process can be sent."""
        paths, columns = self.result()
        columns |= {"blob": paths.blob, "offsets": paths.offsets}
        numbers = {name: (column.dtype.str, column.tobytes()) for name, column in columns.items()}
        return numbers, self.unreadable, self.placed or []

    def _adopt(self, result: _Result) -> None:
        numbers, unreadable, _ = result
        columns = {name: np.frombuffer(raw, dtype) for name, (dtype, raw) in numbers.items()}
        self.ragged.append(Ragged(columns.pop("blob"), columns.pop("offsets")))
        self.batches.append(columns)
        self.unreadable += unreadable

    def _visit(self, path: bytes, found: os.stat_result) -> list[_Directory]:
        """Takes a directory and its files. Returns the directories in it."""
        inside = stat.S_ISDIR(found.st_mode) and (not self.one_filesystem or found.st_dev == self.device)
        if len(self.found) > _BATCH:
            self._compact()
        if not inside or (path != ROOT and self.patterns.excludes_content(path)):
            self._take(path, found)
            return []
        return self._enter(path, found)

    def result(self) -> tuple[Ragged, dict[str, Array]]:
        """The paths of everything found, and their columns, in any order."""
        self._compact()
        columns = {name: np.concatenate([b[name] for b in self.batches]) for name in self.batches[0]}
        return Ragged.concat(self.ragged), columns

    def _compact(self) -> None:
        """A stat result is a kilobyte of objects, its row in columns less than a tenth."""
        self.batches.append(_columns_of(self.found))
        self.ragged.append(Ragged.of(self.paths))
        self.found.clear()
        self.paths.clear()

    def _take(self, path: bytes, found: os.stat_result) -> None:
        self.paths.append(path)
        self.found.append(found)

    def _enter(self, path: bytes, found: os.stat_result) -> list[tuple[bytes, os.stat_result]]:
        """Takes a directory and its files. Returns the directories in it."""
        try:
            fd = self.root.open(path, _LIST)
        except OSError as error:
            if error.errno not in _GONE:
                self._take(path, found)
                self.unreadable.append((path, reason(error)))
            return []
        try:
            if self.watch:
                if self.placed is None:
                    self.watch.entering(fd, path)
                else:
                    self.placed.append((*self.watch.place(fd), path))
                # A change between the stat that led here and the watch would be in neither.
                found = os.fstat(fd)
            self._take(path, found)
            return self._list(fd, path)
        except OSError as error:
            self.unreadable.append((path, reason(error)))
            return []
        finally:
            os.close(fd)

    def _list(self, fd: int, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        prefix = b"" if path == ROOT else path + b"/"
        excludes = self.patterns.excludes
        of_files, of_directories = self.patterns.excludes_files, self.patterns.any
        take, keep, look = self.paths.append, self.found.append, os.stat
        below = []
        # A path of bytes gives names as bytes; a descriptor would give text, to be encoded again.
        for name in os.listdir(b"/proc/self/fd/%d" % fd):
            try:
                found = look(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            child = prefix + name
            is_directory = found.st_mode & 0o170000 == 0o040000
            if is_directory:
                if not (of_directories and excludes(child, directory=True)):
                    below.append((child, found))
            elif not (of_files and excludes(child, directory=False)):
                take(child)
                keep(found)
        return below


def _wanted(paths: Ragged, is_directory: Array, patterns: Patterns) -> Array:
    """The included rows, and the directories above them."""
    folders = is_directory.tolist()
    chosen = {p for p, folder in zip(paths, folders, strict=True) if patterns.includes(p, directory=folder)}
    above = {a for p in chosen for a in ancestors_of(p)}
    rows = [i for i, p in enumerate(paths) if p in chosen or p in above or p == ROOT]
    return np.array(rows, np.int64)


def _assembled(paths: Ragged, columns: dict[str, Array], device: int) -> Walk:
    """Columns of stat results, in any order of path, to a walk."""
    n = len(paths)
    order = sort_order(paths)
    if order is not None:
        paths, columns = paths.take(order), {name: c[order] for name, c in columns.items()}
    kind = _KINDS[columns["mode"] >> 12]
    is_file = kind == Kind.FILE
    is_device = (kind == Kind.CHARACTER) | (kind == Kind.BLOCK)
    size = np.where(is_file, columns["size"], 0)
    entries = Entries(
        path=paths,
        kind=kind,
        mode=(columns["mode"] & 0o7777).astype(np.uint32),
        uid=columns["uid"].astype(np.uint32),
        gid=columns["gid"].astype(np.uint32),
        mtime_ns=columns["mtime_ns"],
        size=size,
        rdev=np.where(is_device, columns["rdev"], 0).astype(np.uint64),
        link=_links(kind, columns["nlink"], columns["ino"], columns["dev"], device),
        target=Ragged.empty(n),
        xattrs=Ragged.empty(n),
        extents=Ragged.empty(n),
        content=Ragged.empty(n),
    )
    holes = (is_file & (columns["blocks"] * 512 < size)).astype(np.uint8)
    return Walk(entries, columns["ino"], columns["ctime_ns"], holes)


def _columns_of(found: Sequence[os.stat_result]) -> dict[str, Array]:
    columns = _tuples(found)
    for name in ("mtime_ns", "ctime_ns", "blocks"):
        columns[name] = np.fromiter(map(attrgetter("st_" + name), found), np.int64, len(found))
    # Only devices have it, and they are few.
    columns["rdev"] = np.zeros(len(found), np.uint64)
    format_ = columns["mode"] & 0o170000
    for row in np.flatnonzero((format_ == stat.S_IFCHR) | (format_ == stat.S_IFBLK)).tolist():
        columns["rdev"][row] = found[row].st_rdev
    return columns


def _tuples(found: Sequence[os.stat_result]) -> dict[str, Array]:
    """mode, ino, dev, nlink, uid, gid and size: the front of the tuple that a stat result also is, which is
    twice as fast to take as its attributes."""
    try:
        flat = np.fromiter(chain.from_iterable(found), np.int64, len(found) * 10)
    except OverflowError:  # an inode or device number of 64 bits
        narrowed = ((r[0], *(x - (x >> 63 << 64) for x in r[1:3]), *r[3:10]) for r in found)
        flat = np.fromiter(chain.from_iterable(narrowed), np.int64, len(found) * 10)
    table = flat.reshape(-1, 10)
    names = ("mode", "ino", "dev", "nlink", "uid", "gid", "size")
    columns: dict[str, Array] = {n: np.ascontiguousarray(table[:, i]) for i, n in enumerate(names)}
    return columns | {name: columns[name].view(np.uint64) for name in ("ino", "dev")}


def link_number(inode: int, device: int, root_device: int) -> int:
    """The number that the paths of one file share: its inode, mixed with the device on the other filesystems
    of a tree."""
    return inode if device == root_device else (inode ^ (device * _ODD)) & _MASK


def _links(kind: Array, nlink: Array, ino: Array, dev: Array, device: int) -> Array:
    """0, or the link number of files that have several names."""
    link = np.zeros(len(kind), np.uint64)
    many = np.flatnonzero((nlink > 1) & (kind != Kind.DIRECTORY)).tolist()
    for row in many:
        link[row] = link_number(int(ino[row]), int(dev[row]), device)
    return link
