"""A store in a directory. A stored object survives power loss.

An object is written to a temporary file, fsynced, and given its name by link(2), which fails if the name is
taken: this is the create-only primitive, on every local filesystem and NFS. Then the directory is fsynced.
Objects appear whole or not at all.

    .tmp/<random>  ── write, fsync ──▶  link  ──▶  packs/ab/abcd…   ── fsync of packs/ab ──▶  stored

When fsync fails, the kernel has dropped the bytes that it could not write, and it reports that only once: a
second fsync of the same file would succeed and prove nothing. So the bytes are written once more, to a new
file.

Temporary files of a crashed writer are recognised by their lock: a running writer holds flock on its own
file. The next writer removes every unlocked one. If that hits a file between its creation and its lock, its
writer makes another one.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Sequence

from ...host.atomic_files import make_directories, sync_directory
from ...model.errors import reason
from .base import Buffer, ExistsError, FullError, MissingError, StoreError
from .names import checked, checked_prefix

_ATTEMPTS = 2
_TEMPORARY = ".tmp"
_PAGE = 4096
_WORTH_DIRECT = 1 << 20
_AT_ONCE = 512  # parts per writev; the kernel takes 1024
_log = logging.getLogger(__name__)


class DirectoryStore:
    """Objects as files beneath `path`. The directory is made by the first `create`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.url = self.path
        self._ready = False
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        target = self._file(name)
        try:
            self._prepare(os.path.dirname(target))
            for attempt in range(1, _ATTEMPTS + 1):
                if self._write(target, parts, last=attempt == _ATTEMPTS):
                    break
            self._settle(target)
        except FileExistsError:
            raise ExistsError("the object exists already", doing=f"create {name} in {self.url}") from None
        except OSError as error:
            raise _store_error(error, f"create {name} in {self.url}") from error

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        doing = f"read {name} in {self.url}"
        try:
            handle = os.open(self._file(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                wanted = os.fstat(handle).st_size - start if length is None else length
                data = _read_exactly(handle, start, wanted) if wanted >= 0 else None
            finally:
                os.close(handle)
        except OSError as error:
            raise _store_error(error, doing) from error
        if data is None:
            raise StoreError("the object is shorter than the requested range", doing=doing)
        return data

    def read_into(self, name: str, start: int, into: memoryview) -> None:
        """See base.read_into."""
        doing = f"read {name} in {self.url}"
        try:
            handle = os.open(self._file(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                done = 0
                while done < len(into):
                    got = os.preadv(handle, [into[done:]], start + done)
                    if not got:
                        raise StoreError("the object is shorter than the requested range", doing=doing)
                    done += got
            finally:
                os.close(handle)
        except OSError as error:
            raise _store_error(error, doing) from error

    def size(self, name: str) -> int:
        try:
            return os.stat(self._file(name)).st_size
        except OSError as error:
            raise _store_error(error, f"look at {name} in {self.url}") from error

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        checked_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        try:
            yield from sorted(self._walk(folder, prefix))
        except OSError as error:
            raise _store_error(error, f"list {prefix or 'all objects'} in {self.url}") from error

    def delete(self, name: str) -> None:
        target = self._file(name)
        try:
            os.unlink(target)
            sync_directory(os.path.dirname(target))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _store_error(error, f"delete {name} in {self.url}") from error

    def _file(self, name: str) -> str:
        return f"{self.path}/{checked(name)}"

    def _prepare(self, folder: str) -> None:
        with self._lock:
            if not self._ready:
                make_directories(f"{self.path}/{_TEMPORARY}")
                self._sweep()
                self._ready = True
            if folder not in self._made:
                make_directories(folder)
                self._made.add(folder)

    def _write(self, target: str, parts: Sequence[Buffer], *, last: bool) -> bool:
        """One attempt under a temporary name of its own. False: its fsync failed, or another writer removed
        the file."""
        temporary = f"{self.path}/{_TEMPORARY}/{os.urandom(12).hex()}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_all(handle, _written_directly(handle, parts))
            try:
                os.fsync(handle)
            except OSError as error:
                if last:
                    raise
                _log.warning("fsync of %s failed: %s; writing the object again", target, error.strerror)
                return False
            os.link(temporary, target)
        except (FileNotFoundError, BlockingIOError):
            if last:
                raise
            return False
        finally:
            _unlink(temporary)
            os.close(handle)
        return True

    def _settle(self, target: str) -> None:
        """Makes the new name durable. If that fails, the name is removed: a failed create leaves no
        object."""
        try:
            sync_directory(os.path.dirname(target))
        except OSError:
            _unlink(target)
            raise

    def _sweep(self) -> None:
        """Removes the temporary files of crashed writers."""
        for entry in os.listdir(f"{self.path}/{_TEMPORARY}"):
            leftover = f"{self.path}/{_TEMPORARY}/{entry}"
            try:
                handle = os.open(leftover, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _unlink(leftover)
                _log.debug("removed %s, which a crashed writer left", leftover)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)

    def _walk(self, folder: str, prefix: str) -> Iterator[tuple[str, int]]:
        try:
            entries = os.scandir(f"{self.path}/{folder}" if folder else self.path)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith(".") or not (
                    name.startswith(prefix) or prefix.startswith(name + "/")
                ):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(name, prefix)
                else:
                    yield name, entry.stat().st_size


def _written_directly(handle: int, parts: Sequence[Buffer]) -> list[memoryview]:
    """Writes the head of a large first part past the page cache, and returns the parts that are left to
    write.

    Copying a pack into the cache costs as much time as encrypting it, and the pack is not read soon. If the
    filesystem or the memory's alignment does not allow direct writes, all parts are left.
    """
    views = [memoryview(p).cast("B") for p in parts]
    whole = len(views[0]) // _PAGE * _PAGE if views else 0
    if whole < _WORTH_DIRECT:
        return views
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    done = 0
    try:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags | os.O_DIRECT)
        while done < whole:
            done += os.write(handle, views[0][done:whole])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)
    return [views[0][done:], *views[1:]]


def _write_all(handle: int, parts: Sequence[memoryview]) -> None:
    views = [p for p in parts if len(p)]
    while views:
        written = os.writev(handle, views[:_AT_ONCE])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def _read_exactly(handle: int, start: int, length: int) -> bytes | None:
    """The bytes, or None when the file is shorter."""
    data = os.pread(handle, length, start)
    if len(data) == length:
        return data
    pieces = [data]
    while data and (length := length - len(data)):
        start += len(data)
        data = os.pread(handle, length, start)
        pieces.append(data)
    return b"".join(pieces) if not length else None


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


_HINTS = {
    errno.ENOTDIR: "There is a file in place of a directory: choose another path.",
    errno.ENOSPC: "Free some space there, then run the command again. Stored objects are intact.",
    errno.EDQUOT: "The quota is used up: raise it, then run the command again. Stored objects are intact.",
    errno.EROFS: "The filesystem is mounted read-only.",
    errno.EACCES: "Check the owner of the directory and the user that runs this command.",
    errno.EPERM: "Check the owner of the directory, and that its filesystem supports hard links.",
    errno.EIO: "The disk reports errors: read the kernel log. Objects stored before are still there.",
}


def _store_error(error: OSError, doing: str) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return MissingError("the object does not exist", doing=doing)
    cause = reason(error)
    kind = FullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
    return kind(cause, doing=doing, hint=_HINTS.get(error.errno or 0, ""))
