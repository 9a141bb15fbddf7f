"""A store with local copies of small immutable objects, so that a distant vault opens as fast as a local one.

The cache holds whole index and timeline segments: they are read often, never change, and are named by their
hash. Packs are too large and are read once. Log entries are never cached: the log has to show whether the
vault still holds the entries that were seen before, and a copy would hide a rollback. For the same reason a
verification bypasses the cache (`uncached`).

    DIR/<name>      SHA-256 of the object ‖ the object, written to another name and renamed

The cache is not trusted: a copy that is damaged, truncated or of another object is fetched again, and readers
authenticate every byte as always. When the cache has more than `room` bytes, the least recently used copies
are removed. A cache that cannot be written (a full disk) costs time, never a backup.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence

from .base import Buffer, Store, parallel
from .names import checked

KEPT = ("index/", "timeline/")
ROOM = 1 << 30
_DIGEST = 32
_log = logging.getLogger(__name__)


class Cached:
    """The store `beneath` (`uncached`), with copies in `directory`, which is made when needed."""

    def __init__(self, beneath: Store, directory: str | os.PathLike[str], room: float = ROOM) -> None:
        self.url = beneath.url
        self.parallel = parallel(beneath)
        self.uncached = beneath
        self._directory, self._room = os.path.abspath(os.fspath(directory)), room
        self._lock = threading.Lock()
        self._used: int | None = None

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self.uncached.create(name, parts)
        if name.startswith(KEPT):
            self._keep(name, b"".join(parts))

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        if not checked(name).startswith(KEPT) or start or length is not None:
            return self.uncached.read(name, start, length)
        data = self._copy(name)
        if data is None:
            data = self.uncached.read(name)
            self._keep(name, data)
        return data

    def size(self, name: str) -> int:
        return self.uncached.size(name)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return self.uncached.list(prefix)

    def delete(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._file(name))
        self.uncached.delete(name)

    def _file(self, name: str) -> str:
        return f"{self._directory}/{checked(name)}"

    def _copy(self, name: str) -> bytes | None:
        """The object, or None without an intact copy."""
        try:
            with open(self._file(name), "rb") as file:
                digest, data = file.read(_DIGEST), file.read()
        except OSError:
            return None
        if _digest(name, data) != digest:
            _log.info("the cached copy of %s is damaged; reading the object again from %s", name, self.url)
            return None
        with contextlib.suppress(OSError):
            os.utime(self._file(name))
        return data

    def _keep(self, name: str, data: bytes) -> None:
        try:
            with self._lock:
                self._write(self._file(name), name, data)
                self._make_room()
        except OSError as error:
            _log.info("no copy of %s is kept in %s: %s", name, self._directory, error.strerror)

    def _write(self, path: str, name: str, data: bytes) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.urandom(6).hex()}"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_digest(name, data))
                file.write(data)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        self._used = None if self._used is None else self._used + _DIGEST + len(data)

    def _make_room(self) -> None:
        """Removes the least recently used copies until nine tenths of the room are in use."""
        if self._used is not None and self._used <= self._room:
            return
        copies = []
        for folder, _, files in os.walk(self._directory):
            for file in files:
                path = f"{folder}/{file}"
                with contextlib.suppress(FileNotFoundError):  # another process makes room at the same time
                    status = os.stat(path)
                    copies.append((status.st_mtime_ns, status.st_size, path))
        self._used = sum(size for _, size, _ in copies)
        if self._used <= self._room:
            return
        for _, size, path in sorted(copies):
            if self._used <= self._room * 0.9:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._used -= size


def _digest(name: str, data: bytes) -> bytes:
    """SHA-256 of the name and the object, so that a copy of one object does not pass for another."""
    return hashlib.sha256(name.encode() + b"\n" + data).digest()
