"""Trees written beneath a root, never outside it.

Every path is opened beneath the root without following links (host/rooted.py), no existing file is
overwritten, and the whole outline is checked before the first file is created (tree/validation.py). A file
that arrives in one piece costs four calls: open, write, times, close. Owner and mode are set only where the
creation did not set them. Directories get their mode and times last, deepest first: filling a directory
changes its time, and its mode may forbid it. Large files are written past the page cache (tree/direct.py),
and the disk works on small ones meanwhile (tree/background_flush.py). A tree counts as written once the
filesystem has flushed it.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..host.names import ROOT, parent_of, shown
from ..host.rooted import RootedDirectory, begin_flushing, syncfs
from ..model.columns import Array
from ..model.entries import Entries, Kind
from ..model.errors import DamageError, error_context, translated
from .attributes import AttributeWriter, Birth, Notes
from .background_flush import BackgroundFlush
from .direct import WORTH, Buffer, open_direct, write_at
from .directory_cache import DirectoryCache
from .handle_cache import HandleCache, OpenFile
from .validation import extents_of, lengths, outline

_FLUSH_EVERY = 4 << 20
"""Bytes of a file after which the disk is set to work on them."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_FORMAT = {
    Kind.FIFO: stat.S_IFIFO,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
    Kind.SOCKET: stat.S_IFSOCK,
}


def write_tree(
    into: Path,
    entries: Entries,
    *,
    prefix: bytes = b"",
    select: Callable[[bytes], bool] | None = None,
    content: Callable[[int], Iterable[Buffer]],
) -> list[str]:
    """Writes the entries under `prefix` beneath `into`, the prefix stripped. Returns the attributes that
    could not be set, as sentences.

    select: filters by full path; the directories above a selected path are written as well. content: the
    bytes of a row of `entries`, in pieces. Raises as TreeWriter does.
    """
    with TreeWriter(into, entries, prefix=prefix, select=select) as writer:
        writer.begin()
        for row in writer.content_rows.tolist():
            offset = 0
            for piece in content(row):
                writer.write(row, offset, piece)
                offset += len(piece)
        writer.end()
        return writer.notes


class TreeWriter:
    """A tree being written: `begin`, then `write` from any number of threads, then `end`. A context manager.

    content_rows: i8[], the rows of `entries` that need content; their hard links need none. Raises
    DamageError for an image that no capture makes, before anything is written; UndividedError when the target
    refuses: a file in the way, no space, no permission.
    """

    def __init__(
        self,
        into: Path,
        entries: Entries,
        *,
        prefix: bytes = b"",
        select: Callable[[bytes], bool] | None = None,
        durable: bool = True,
    ) -> None:
        """durable: flush the filesystem at the end."""
        self._into = into
        self._entries = entries
        self._durable = durable
        self._plan = outline(entries, prefix, select)
        length = lengths(entries)
        files = np.array(self._plan.files, np.int64)
        self.content_rows: Array = files[length[files] > 0]
        self._names = self._plan.names
        self._length: list[int] = length.tolist()
        self._size: list[int] = entries.size.tolist()
        sparse = (entries.extents.lengths() > 0).nonzero()[0].tolist()
        self._extents = {row: extents_of(entries, row) for row in sparse if row in self._names}
        self._done = np.zeros(len(entries), np.bool_)
        self._lock = threading.Lock()
        with error_context(self._doing(ROOT), _HINTS):
            into.mkdir(parents=True, exist_ok=True)
            self._root = RootedDirectory(into)
            # Opened before anything is written: its syncfs reports every failure from here on.
            self._flushed = self._root.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
        self._notes = Notes()
        self._attributes = AttributeWriter(entries, self._notes, Birth.beneath(self._flushed))
        self._open = HandleCache(self._root)
        self._directories = DirectoryCache(self._root)
        self._flush = BackgroundFlush(self._flushed)

    @property
    def notes(self) -> list[str]:
        """Sentences on the attributes that this process was not permitted to set."""
        return self._notes.sentences()

    def begin(self) -> None:
        """Creates the directories, accessible only to us until the end."""
        for path in self._plan.directories:
            if path == ROOT:
                continue
            with error_context(self._doing(path), _HINTS):
                try:
                    os.mkdir(path.rpartition(b"/")[2], 0o700, dir_fd=self._directories.fd(parent_of(path)))
                except FileExistsError:
                    os.close(self._root.open(path, os.O_RDONLY | os.O_DIRECTORY))

    def write(self, row: int, offset: int, data: Buffer) -> None:
        """Writes bytes of a row's content from `offset`: each byte once, in any order, from any thread."""
        try:
            self._write(row, offset, data)
        except OSError as error:
            raise translated(error, self._doing(self._names[row]), _HINTS) from error

    def _write(self, row: int, offset: int, data: Buffer) -> None:
        whole = self._length[row]
        if offset == 0 and len(data) == whole and row not in self._extents:
            self._write_whole(row, data)
            return
        if offset < 0 or offset + len(data) > whole:
            raise DamageError(f"the content is longer than the file: {shown(self._names[row])}")
        with self._open.use(row, self._names[row], self._size[row]) as file:
            self._write_at(row, file, offset, data)
            given = self._open.add(row, len(data))
            if file.direct < 0 and given // _FLUSH_EVERY > (given - len(data)) // _FLUSH_EVERY:
                begin_flushing(file.fd, 0, 0)
        if given == whole:
            with self._open.last(row) as fd:
                self._attributes.set(row, fd)
            self._done[row] = True

    def end(self) -> None:
        """Creates empty and special files and links, sets the attributes of directories, and flushes. Raises
        DamageError for a file without all of its content."""
        for row in self._plan.files:
            if self._done[row]:
                continue
            if self._length[row]:
                raise DamageError(f"the content is incomplete: {shown(self._names[row])}")
            with error_context(self._doing(self._names[row]), _HINTS):
                self._write_whole(row, b"")
        for row in self._plan.specials:
            with error_context(self._doing(self._names[row]), _HINTS):
                self._make_special(row)
        for row, leader in self._plan.follows.items():
            with error_context(self._doing(self._names[row]), _HINTS):
                self._link(row, leader)
        for path in reversed(self._plan.directories):
            if path in self._plan.by_directory:
                with error_context(self._doing(path), _HINTS), self._directory(path) as fd:
                    self._attributes.set(self._plan.by_directory[path], fd)
        if self._durable:
            with error_context(self._doing(ROOT), _HINTS):
                syncfs(self._flushed)

    def close(self) -> None:
        self._flush.close()
        self._open.close()
        self._directories.close()
        os.close(self._flushed)
        self._root.close()

    def __enter__(self) -> TreeWriter:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _write_whole(self, row: int, data: Buffer) -> None:
        path, mode = self._names[row], self._attributes.first_mode(row)
        folder, _, name = path.rpartition(b"/")
        fd = os.open(name, _CREATE, mode, dir_fd=self._directories.fd(folder or ROOT))
        try:
            if len(data) >= WORTH:
                _write_large(fd, data)
            elif data:
                _write_fully(fd, data)
            elif row in self._extents:
                os.ftruncate(fd, self._size[row])
            self._attributes.set(row, fd, mode)
        finally:
            os.close(fd)
        self._done[row] = True
        self._flush.add(len(data))

    def _write_at(self, row: int, file: OpenFile, offset: int, data: Buffer) -> None:
        """Content offsets become file offsets: the content of a sparse file is its extents joined."""
        if row not in self._extents:
            write_at(file.fd, data, offset, file.direct)
            return
        view, start = memoryview(data), 0
        for place, length in self._extents[row]:
            first, last = max(start, offset), min(start + length, offset + len(view))
            if first < last:
                write_at(file.fd, view[first - offset : last - offset], place + first - start)
            start += length

    def _make_special(self, row: int) -> None:
        path = self._names[row]
        name = path.rpartition(b"/")[2]
        kind = Kind(int(self._entries.kind[row]))
        parent = self._directories.fd(parent_of(path))
        if kind == Kind.SYMLINK:
            os.symlink(self._entries.target[row], name, dir_fd=parent)
        else:
            try:
                os.mknod(name, _FORMAT[kind] | 0o600, int(self._entries.rdev[row]), dir_fd=parent)
            except PermissionError:
                self._notes.add("device not created (operation not permitted)", path)
                return
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
        try:
            # Another user may have put a file in its place, and would be given its owner and mode.
            found = os.fstat(fd)
            if stat.S_IFMT(found.st_mode) != _FORMAT.get(kind, stat.S_IFLNK) or found.st_nlink != 1:
                raise OSError(errno.EEXIST, "changed while it was created", path)
            self._attributes.set_special(row, fd, symlink=kind == Kind.SYMLINK)
        finally:
            os.close(fd)

    def _link(self, row: int, leader: int) -> None:
        old, new = self._names[leader], self._names[row]
        with self._root.directory(parent_of(old)) as here, self._root.directory(parent_of(new)) as there:
            try:
                os.link(
                    old.rpartition(b"/")[2],
                    new.rpartition(b"/")[2],
                    src_dir_fd=here,
                    dst_dir_fd=there,
                    follow_symlinks=False,
                )
            except FileNotFoundError:
                if int(self._entries.kind[leader]) not in (Kind.CHARACTER, Kind.BLOCK):
                    raise
                self._notes.add("device not created (operation not permitted)", new)

    @contextmanager
    def _directory(self, path: bytes) -> Iterator[int]:
        fd = self._root.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def _doing(self, path: bytes) -> str:
        return f"write {shown(os.path.join(os.fsencode(self._into), path))}"


_SYMLINK = (
    "A symbolic link or a file stands where a directory should be. "
    "Recover into an empty directory that nothing else writes to."
)
_HINTS = {
    errno.ELOOP: _SYMLINK,
    errno.EXDEV: _SYMLINK,
    errno.ENOTDIR: _SYMLINK,
    errno.EEXIST: "Recover into an empty directory. Existing files are never overwritten.",
    errno.ENOSPC: "Free some space there, or recover to another filesystem.",
    errno.EDQUOT: "Raise the quota, or recover to another filesystem.",
    errno.EACCES: "Recover as a user who may write there.",
    errno.EPERM: "Recover as a user who may write there.",
}


def _write_fully(fd: int, data: Buffer) -> None:
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def _write_large(fd: int, data: Buffer) -> None:
    """The whole content of a new file."""
    os.ftruncate(fd, len(data))
    direct = open_direct(fd)
    try:
        write_at(fd, data, 0, direct)
    finally:
        if direct >= 0:
            os.close(direct)
