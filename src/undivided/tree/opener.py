"""Opening many files of one tree for reading, at the least cost to the tree and to us.

Access times stay unchanged where that is permitted. A directory is opened once for all the names that
are read in it: a name in an open directory takes the kernel less than a path from the root.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from types import TracebackType

from ..host.names import ROOT, shown
from ..host.rooted import RootedDirectory
from ..model.errors import SourceError, reason

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Error numbers of opening a path that is gone, or has become another kind of file."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class FileOpener:
    """Opens files for reading without touching their access times, where that is permitted. Thread-safe."""

    def __init__(self, root: RootedDirectory) -> None:
        self._root = root
        self._quiet = os.O_NOATIME

    def open(self, path: bytes) -> int:
        return self._as_permitted(self._root.open, path)

    def open_in(self, name: bytes, directory: int) -> int:
        """A name in an open directory."""
        return self._as_permitted(partial(os.open, dir_fd=directory), name)

    def _as_permitted(self, open_: Callable[[bytes, int], int], path: bytes) -> int:
        quiet = self._quiet
        try:
            return open_(path, _READ | quiet)
        except PermissionError:
            if not quiet:
                raise
            fd = open_(path, _READ)
            self._quiet = 0
            return fd


class Neighbours:
    """Keeps the directory of the last path open: in sorted tables the next path is mostly its neighbour."""

    def __init__(self, root: RootedDirectory) -> None:
        self._root = root
        self._folder, self._fd = b"", -1

    def of(self, path: bytes) -> tuple[bytes, int]:
        """A path's name, and a descriptor of the directory that holds it (O_PATH)."""
        folder, _, name = path.rpartition(b"/")
        if self._fd < 0 or folder != self._folder:
            self.close()
            self._fd, self._folder = self._root.open(folder or ROOT, os.O_PATH | os.O_DIRECTORY), folder
        return name, self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Neighbours:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unreadable(path: bytes, error: OSError) -> SourceError:
    cause = reason(error)
    return SourceError(
        f"{shown(path)}: {cause}",
        doing="read the tree",
        hint="Give this user permission to read it, or exclude it in the service file.",
    )
