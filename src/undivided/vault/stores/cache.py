"""A store that keeps copies of small immutable things here, so that a distant vault opens as fast as a near
one.

Kept are whole index and timeline segments: read again and again, never changed, named by their hash. Packs
are too large and read once. The log is never kept: it has to be asked whether the vault still holds what
was seen there before, and a copy would say yes when the vault was rolled back. For the same reason whoever
verifies goes past the cache (`uncached`).

    DIR/<name>      SHA-256 of the object ‖ the object, written aside and renamed

What is in the directory is taken for nothing more than a hint: a copy that is damaged, cut short or of
another object is fetched anew, and readers authenticate every byte as always. When more than `room` bytes
are kept those go that were used longest ago. A cache that cannot be written (a full disk) costs time, never
a backup.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence

from .base import Buffer, Store, parallel
from .names import checked

KEPT = ("index/", "timeline/")
ROOM = 1 << 30
_DIGEST = 32


class Cached:
    """The store beneath (`uncached`), with copies in `directory`, which is made when needed."""

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
        """The object, or None when there is no copy that is whole."""
        try:
            with open(self._file(name), "rb") as file:
                digest, data = file.read(_DIGEST), file.read()
        except OSError:
            return None
        if _digest(name, data) != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(self._file(name))
        return data

    def _keep(self, name: str, data: bytes) -> None:
        path = self._file(name)
        aside = f"{path}.{os.urandom(6).hex()}"
        with contextlib.suppress(OSError), self._lock:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            try:
                with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(_digest(name, data))
                    file.write(data)
                os.replace(aside, path)
            except OSError:
                os.unlink(aside)
                raise
            self._used = None if self._used is None else self._used + _DIGEST + len(data)
            self._make_room()

    def _make_room(self) -> None:
        """Removes what was used longest ago until nine tenths of the room are in use."""
        if self._used is not None and self._used <= self._room:
            return
        copies = []
        for folder, _, files in os.walk(self._directory):
            for file in files:
                path = f"{folder}/{file}"
                with contextlib.suppress(FileNotFoundError):  # another process makes room, too
                    about = os.stat(path)
                    copies.append((about.st_mtime_ns, about.st_size, path))
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
    """Of the object and its name: a copy of one object is no copy of another."""
    return hashlib.sha256(name.encode() + b"\n" + data).digest()
