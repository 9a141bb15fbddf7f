"""Reading files so that the bytes read existed together.

A file that changes while it is read gives bytes that never existed together. So its inode, size and times are
compared with the walk's after the last byte. When they differ, the row is reported as unsettled and is read
again later.

`Reading` is for many rows, in the form that `Sink.put_many` takes: small files come as batches, which several
threads read in parallel. `opened` is for one file at a time, where milliseconds count or the row must be read
in any case.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ..host.allocator import trim
from ..host.names import parent_of
from ..host.rooted import RootedDirectory
from ..model.columns import Ragged
from ..model.entries import Entries, Entry, Kind, encode_extents, encode_xattrs, kind_of
from ..model.streams import Piece, Stream
from .opener import GONE, FileOpener, Neighbours, unreadable
from .small_files import Look, Looks, SmallFiles
from .walk import Walk, link_number

WHOLE = 1 << 20
"""Files up to this size are read by one call."""
BUFFER = 4 << 20
_BATCH_BYTES, _BATCH_FILES = 1 << 20, 1024
_BLOCK = 1 << 14  # rows that are Python objects at a time


class Reading:
    """The rows of a walk being read. entries: complete but for their content, once built. After `pieces` is
    exhausted: unsettled: rows that changed meanwhile; vanished: rows that are gone."""

    def __init__(self, root: RootedDirectory, rows: Walk) -> None:
        self._root = root
        self._walk = rows
        self.unsettled: list[int] = []
        self.vanished: list[int] = []
        self.entries = self._described()
        trim()  # a walk's objects and these are freed, and megabytes of buffers come next
        self._opener = FileOpener(root)

    def pieces(self) -> Iterator[Piece]:
        """The content of all rows, as Sink.put_many wants it.

        Raises SourceError naming a file that cannot be read, and so do streams and batches.
        """
        gone = set(self.vanished)
        looks = Looks(self._walk)
        small = SmallFiles(self._root, looks, self.vanished, self.unsettled)
        batch: list[int] = []
        room = 0
        for group, size, sparse in self._groups():
            if group[0] in gone:
                continue
            if size > WHOLE or sparse:
                for row, look in zip(group, looks.of(group), strict=True):
                    yield from self._whole(row, look)
            elif len(group) > 1:
                yield from self._linked(group, looks.of(group[:1])[0])
            else:
                if batch and (room + size > _BATCH_BYTES or len(batch) == _BATCH_FILES):
                    yield small.batch(batch, room)
                    batch, room = [], 0
                batch.append(group[0])
                room += size
        if batch:
            yield small.batch(batch, room)

    def _groups(self) -> Iterator[tuple[list[int], int, int]]:
        """Rows that have content, the names of one file together so that it is read once; its size, and the
        length of its extents."""
        entries = self.entries
        rows = np.flatnonzero((entries.kind == Kind.FILE) & (entries.size > 0))
        names: dict[int, list[int]] = {}
        for row in rows[entries.link[rows] != 0].tolist():
            names.setdefault(int(entries.link[row]), []).append(row)
        columns = (entries.link, entries.size, entries.extents.lengths())
        for first in range(0, len(rows), _BLOCK):
            some = rows[first : first + _BLOCK]
            taken = zip(some.tolist(), *(column[some].tolist() for column in columns), strict=True)
            for row, link, size, sparse in taken:
                if not link:
                    yield [row], size, sparse
                elif names[link][0] == row:
                    yield names[link], size, sparse

    def _linked(self, rows: list[int], look: Look) -> Iterator[Piece]:
        """The names of one small file, which is read once."""
        fd = self._open(rows[0], look.path)
        if fd is None:
            return
        try:
            data = os.read(fd, look.size)
            settled = len(data) == look.size and look.like(os.fstat(fd))
        except OSError as error:
            raise unreadable(look.path, error) from error
        finally:
            os.close(fd)
        for each in rows:
            yield each, data, True
        if not settled:
            self.unsettled += rows

    def _whole(self, row: int, look: Look) -> Iterator[Piece]:
        fd = self._open(row, look.path)
        if fd is None:
            return
        try:
            read = content(fd, self.entries.row(row))
            yield Stream(row, _naming(look.path, read))
            if not look.like(os.fstat(fd)):
                self.unsettled.append(row)
        except OSError as error:
            raise unreadable(look.path, error) from error
        finally:
            os.close(fd)

    def _open(self, row: int, path: bytes) -> int | None:
        try:
            return self._opener.open(path)
        except OSError as error:
            if error.errno in GONE:
                self.vanished.append(row)
                return None
            raise unreadable(path, error) from error

    def _described(self) -> Entries:
        """The walk's rows with the attributes that a stat does not return."""
        entries = self._walk.entries
        n = len(entries)
        targets, xattrs, extents = [b""] * n, [b""] * n, [b""] * n
        kinds = entries.kind.tolist()
        holes = self._walk.holes.tolist()
        with Neighbours(self._root) as folder:
            for row, path in enumerate(entries.path):
                try:
                    name, parent = folder.of(path)
                    place = b"/proc/self/fd/%d/%s" % (parent, name)
                    if os.listxattr(place, follow_symlinks=False):
                        xattrs[row] = encode_xattrs(_xattrs(place))
                    if kinds[row] == Kind.SYMLINK:
                        targets[row] = os.readlink(name, dir_fd=parent)
                    elif holes[row]:
                        extents[row] = encode_extents(self._holes(path))
                except OSError as error:
                    if error.errno in GONE:
                        self.vanished.append(row)
                    elif error.errno != errno.EOPNOTSUPP or kinds[row] == Kind.SYMLINK:
                        raise unreadable(path, error) from error
        return replace(
            entries,
            target=Ragged.of(targets),
            xattrs=Ragged.of(xattrs),
            extents=Ragged.of(extents),
            users=named(entries.uid.tolist(), lambda n: pwd.getpwuid(n).pw_name),
            groups=named(entries.gid.tolist(), lambda n: grp.getgrgid(n).gr_name),
        )

    def _holes(self, path: bytes) -> list[tuple[int, int]]:
        fd = FileOpener(self._root).open(path)
        try:
            return data_extents(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """One path as it is now. fd: open for reading when it is a file, else -1."""

    entry: Entry
    found: os.stat_result
    fd: int


@contextmanager
def opened(root: RootedDirectory, path: bytes) -> Iterator[OpenedFile | None]:
    """One path, described from its own descriptor; None when it is gone. Raises SourceError."""
    fd = -1
    try:
        try:
            with root.directory(parent_of(path)) as parent:
                name = path.rpartition(b"/")[2]
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                kind = kind_of(found.st_mode)
                if kind == Kind.FILE:
                    fd = FileOpener(root).open(path)
                    found = os.fstat(fd)
                place: int | bytes = fd if fd >= 0 else b"/proc/self/fd/%d/%s" % (parent, name)
                target = os.readlink(name, dir_fd=parent) if kind == Kind.SYMLINK else b""
                entry = replace(_entry(root, path, found, fd), target=target, xattrs=_xattrs(place))
                one = OpenedFile(entry, found, fd)
        except OSError as error:
            if error.errno not in GONE:
                raise unreadable(path, error) from error
            one = None
        yield one
    finally:
        if fd >= 0:
            os.close(fd)


def content(fd: int, entry: Entry) -> Callable[[memoryview], int]:
    """Reads an open file as a Stream does: each call reads the next bytes. Of a sparse file only its extents;
    fewer bytes when the file has shrunk."""
    extents = iter(entry.extents or ((0, entry.size),))
    place = end = 0

    def read(view: memoryview) -> int:
        nonlocal place, end
        while True:
            if place == end:
                extent = next(extents, None)
                if extent is None:
                    return 0
                place, end = extent[0], sum(extent)
            got = os.preadv(fd, [view[: end - place]], place)
            place = place + got if got else end
            if got:
                return got

    return read


def data_extents(fd: int, size: int) -> list[tuple[int, int]]:
    """(offset, length) of the data of an open file, nothing when it has no holes. A file that is all hole has
    one extent without length, since none at all would mean that it is not sparse."""
    extents: list[tuple[int, int]] = []
    place = 0
    while place < size:
        try:
            start = os.lseek(fd, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        if start >= size:
            break
        place = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        extents.append((start, place - start))
    if extents == [(0, size)] or not size:
        return []
    return extents or [(0, 0)]


def _naming(path: bytes, read: Callable[[memoryview], int]) -> Callable[[memoryview], int]:
    """`read` with errors that name the file."""

    def named_read(view: memoryview) -> int:
        try:
            return read(view)
        except OSError as error:
            raise unreadable(path, error) from error

    return named_read


def named(ids: Iterable[int], lookup: Callable[[int], str]) -> dict[int, str]:
    """The names of the ids that have one on this host."""
    names = {}
    for number in set(ids):
        try:
            names[number] = lookup(number)
        except KeyError:
            continue
    return names


def _xattrs(place: int | bytes) -> dict[bytes, bytes]:
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return {}
        raise
    found = {}
    for name in names:
        try:
            found[os.fsencode(name)] = os.getxattr(place, name, follow_symlinks=follow)
        except OSError as error:
            # Gone since the listing, or one that only root may read and only root can set back.
            if error.errno not in (errno.ENODATA, errno.EPERM, errno.EACCES):
                raise
    return found


def _entry(root: RootedDirectory, path: bytes, found: os.stat_result, fd: int) -> Entry:
    kind = kind_of(found.st_mode)
    is_file, is_device = kind == Kind.FILE, kind in (Kind.CHARACTER, Kind.BLOCK)
    linked = found.st_nlink > 1 and kind != Kind.DIRECTORY
    sparse = is_file and found.st_blocks * 512 < found.st_size
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        size=found.st_size if is_file else 0,
        rdev=found.st_rdev if is_device else 0,
        link=link_number(found.st_ino, found.st_dev, root.device) if linked else 0,
        extents=tuple(data_extents(fd, found.st_size)) if sparse else (),
    )
