"""Directories kept open while their files are made.

Neighbours in a tree are mostly neighbours in the vault. So a restore creates one file after another in the
same directory, and most of its work would be resolving the directory's path from the root. Every thread keeps
the few directories that it used last.
"""

from __future__ import annotations

import os
import threading

from ..host.rooted import HERE, RootedDirectory

_MOST = 64
"""Per thread: the directories above the current one, and a few neighbours."""


class DirectoryCache:
    """Descriptors (O_PATH) for calls that take a directory and a single name. Thread-safe."""

    def __init__(self, root: RootedDirectory) -> None:
        self._root = root
        self._own = threading.local()
        self._lock = threading.Lock()
        self._kept: list[dict[bytes, int]] = []

    def fd(self, path: bytes) -> int:
        """Good until this thread asks for the next. Raises OSError as RootedDirectory.open does."""
        open_ = getattr(self._own, "open", None)
        if open_ is None:
            open_ = self._own.open = {}
            with self._lock:
                self._kept.append(open_)
        found = open_.get(path)
        if found is not None:
            return int(found)
        if len(open_) >= _MOST:
            os.close(open_.pop(next(iter(open_))))
        fd = open_[path] = self._root.open(path, HERE)
        return fd

    def close(self) -> None:
        """No thread may use a descriptor from here on."""
        with self._lock:
            for open_ in self._kept:
                while open_:
                    os.close(open_.popitem()[1])
