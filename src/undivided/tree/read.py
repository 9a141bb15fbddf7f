"""Reading files so that what was read is what was there.

A file that changes while it is read gives bytes that never existed together. So after the last byte it is
looked at again: inode, size, times must be what the walk saw, or the row is told to be unsettled and read
again later. One look is enough, since the walk's was the one before.

`Reading` is for many rows, in the form that `Sink.put_many` takes; `opened` is for one file at a time, where
milliseconds count or a row has to be read whatever happens to it.
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

from ..model.columns import Ragged
from ..model.entries import Entries, Entry, Kind, encode_extents, encode_xattrs, kind_of
from ..model.errors import SourceError
from .beneath import Beneath
from .paths import ROOT, parent_of, shown
from .walk import Walk, link_number

Buffer = bytes | bytearray | memoryview

WHOLE = 1 << 20
"""Files up to this size are read by one call."""
BUFFER = 4 << 20

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class Reading:
    """The rows of a walk being read. entries: complete but for their content, once built. After `pieces` is
    exhausted: unsettled: rows that changed meanwhile; vanished: rows that are gone."""

    def __init__(self, root: Beneath, rows: Walk) -> None:
        self._root = root
        self._walk = rows
        self.unsettled: list[int] = []
        self.vanished: list[int] = []
        self.entries = self._described()
        self._opener = _Opener(root)

    def pieces(self) -> Iterator[tuple[int, Buffer, bool]]:
        """(row, bytes, whether they are the row's last), as Sink.put_many wants them; buffers are used again.

        Raises SourceError naming a file that cannot be read.
        """
        gone = set(self.vanished)
        sizes = self.entries.size.tolist()
        sparse = self.entries.extents.lengths().tolist()
        paths = self.entries.path
        buffer = bytearray(BUFFER)
        for group in self._groups():
            row = group[0]
            if row in gone:
                continue
            if sizes[row] <= WHOLE and not sparse[row]:
                data, settled = self._whole(row, paths[row], sizes[row])
                if data is None:
                    continue
                for each in group:
                    yield each, data, True
                if not settled:
                    self.unsettled += group
            else:
                for each in group:
                    yield from self._parts(each, paths[each], buffer)

    def _groups(self) -> Iterator[list[int]]:
        """Rows that have content, the names of one file together, so that it is read once."""
        rows = np.flatnonzero((self.entries.kind == Kind.FILE) & (self.entries.size > 0)).tolist()
        links = self.entries.link.tolist()
        names: dict[int, list[int]] = {}
        for row in rows:
            if links[row]:
                names.setdefault(links[row], []).append(row)
        for row in rows:
            if not links[row]:
                yield [row]
            elif names[links[row]][0] == row:
                yield names[links[row]]

    def _whole(self, row: int, path: bytes, size: int) -> tuple[bytes | None, bool]:
        """The bytes, None when the file is gone, and whether they were stable."""
        fd = self._open(row, path)
        if fd is None:
            return None, False
        try:
            data = os.read(fd, size)
            return data, len(data) == size and self._as_walked(row, fd)
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(fd)

    def _parts(self, row: int, path: bytes, buffer: bytearray) -> Iterator[tuple[int, Buffer, bool]]:
        fd = self._open(row, path)
        if fd is None:
            return
        try:
            for piece in content(fd, self.entries.row(row), buffer):
                yield row, piece, False
            yield row, b"", True
            if not self._as_walked(row, fd):
                self.unsettled.append(row)
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(fd)

    def _open(self, row: int, path: bytes) -> int | None:
        try:
            return self._opener.open(path)
        except OSError as error:
            if error.errno in _GONE:
                self.vanished.append(row)
                return None
            raise unreadable(path, error) from error

    def _as_walked(self, row: int, fd: int) -> bool:
        now = os.fstat(fd)
        return bool(
            now.st_ctime_ns == self._walk.ctime_ns[row]
            and now.st_ino == self._walk.ino[row]
            and now.st_size == self._walk.entries.size[row]
            and now.st_mtime_ns == self._walk.entries.mtime_ns[row]
        )

    def _described(self) -> Entries:
        """The walk's rows with what a stat does not tell."""
        entries = self._walk.entries
        n = len(entries)
        targets, xattrs, extents = [b""] * n, [b""] * n, [b""] * n
        kinds = entries.kind.tolist()
        holes = self._walk.holes.tolist()
        folder, parent = b"", -1
        try:
            for row, path in enumerate(entries.path.tolist()):
                try:
                    above, _, name = path.rpartition(b"/")
                    if parent < 0 or above != folder:
                        if parent >= 0:
                            os.close(parent)
                            parent = -1
                        parent, folder = self._root.open(above or ROOT, os.O_PATH | os.O_DIRECTORY), above
                    place = b"/proc/self/fd/%d/%s" % (parent, name)
                    if os.listxattr(place, follow_symlinks=False):
                        xattrs[row] = encode_xattrs(_xattrs(place))
                    if kinds[row] == Kind.SYMLINK:
                        targets[row] = os.readlink(name, dir_fd=parent)
                    elif holes[row]:
                        extents[row] = encode_extents(self._holes(path))
                except OSError as error:
                    if error.errno in _GONE:
                        self.vanished.append(row)
                    elif error.errno != errno.EOPNOTSUPP or kinds[row] == Kind.SYMLINK:
                        raise unreadable(path, error) from error
        finally:
            if parent >= 0:
                os.close(parent)
        return replace(
            entries,
            target=Ragged.of(targets),
            xattrs=Ragged.of(xattrs),
            extents=Ragged.of(extents),
            users=named(entries.uid.tolist(), lambda n: pwd.getpwuid(n).pw_name),
            groups=named(entries.gid.tolist(), lambda n: grp.getgrgid(n).gr_name),
        )

    def _holes(self, path: bytes) -> list[tuple[int, int]]:
        fd = _Opener(self._root).open(path)
        try:
            return data_extents(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class Opened:
    """One path as it is now. fd: open for reading when it is a file, else -1."""

    entry: Entry
    found: os.stat_result
    fd: int


@contextmanager
def opened(root: Beneath, path: bytes) -> Iterator[Opened | None]:
    """One path, described from its own descriptor; None when it is gone. Raises SourceError."""
    fd = -1
    try:
        try:
            with root.directory(parent_of(path)) as parent:
                name = path.rpartition(b"/")[2]
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                kind = kind_of(found.st_mode)
                if kind == Kind.FILE:
                    fd = _Opener(root).open(path)
                    found = os.fstat(fd)
                place: int | bytes = fd if fd >= 0 else b"/proc/self/fd/%d/%s" % (parent, name)
                target = os.readlink(name, dir_fd=parent) if kind == Kind.SYMLINK else b""
                entry = replace(_entry(root, path, found, fd), target=target, xattrs=_xattrs(place))
                one = Opened(entry, found, fd)
        except OSError as error:
            if error.errno not in _GONE:
                raise unreadable(path, error) from error
            one = None
        yield one
    finally:
        if fd >= 0:
            os.close(fd)


def content(fd: int, entry: Entry, buffer: bytearray) -> Iterator[memoryview]:
    """The bytes of an open file, of a sparse one only its extents; less when it has shrunk. One buffer, used
    again for every piece."""
    view = memoryview(buffer)
    for offset, length in entry.extents or ((0, entry.size),):
        place, end = offset, offset + length
        while place < end:
            got = os.preadv(fd, [view[: min(len(view), end - place)]], place)
            if not got:
                break
            yield view[:got]
            place += got


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


def unreadable(path: bytes, error: OSError) -> SourceError:
    cause = (error.strerror or str(error)).lower()
    return SourceError(
        f"{shown(path)}: {cause}",
        doing="read the tree",
        hint="Make it readable for us, or exclude it in the service file.",
    )


def named(ids: Iterable[int], lookup: Callable[[int], str]) -> dict[int, str]:
    """The names of the ids that have one on this host."""
    names = {}
    for number in set(ids):
        try:
            names[number] = lookup(number)
        except KeyError:
            continue
    return names


class _Opener:
    """Opens files for reading without touching their access times, where that is permitted."""

    def __init__(self, root: Beneath) -> None:
        self._root = root
        self._quiet = os.O_NOATIME

    def open(self, path: bytes) -> int:
        try:
            return self._root.open(path, _READ | self._quiet)
        except PermissionError:
            if not self._quiet:
                raise
            fd = self._root.open(path, _READ)
            self._quiet = 0
            return fd


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


def _entry(root: Beneath, path: bytes, found: os.stat_result, fd: int) -> Entry:
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
