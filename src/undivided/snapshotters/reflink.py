"""Clones of files that share blocks until one of them is written: XFS, btrfs and others with FICLONE.

A clone is a nameless file on the tree's own filesystem (O_TMPFILE): it takes no space of its own, leaves no
name behind, and is gone when its descriptor is closed, also when this process dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..model.errors import SourceError
from .base import Snapshot

_FICLONE = 0x40049409


class ReflinkSnapshotter:
    name = "reflink"
    whole = False
    copies = False

    def snapshot(self, tree: Path) -> Snapshot:
        raise SourceError("this filesystem clones files, not trees", doing=f"take a snapshot of {tree}")

    def clone(self, file: int, directory: int) -> int:
        copy = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            fcntl.ioctl(copy, _FICLONE, file)
        except BaseException:
            os.close(copy)
            raise
        return copy


def can_reflink(directory: Path) -> bool:
    """Whether clones work here: tries it with nameless files."""
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        probe = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=place)
        try:
            os.write(probe, b"x")
            os.close(ReflinkSnapshotter().clone(probe, place))
        finally:
            os.close(probe)
    except OSError:
        return False
    finally:
        os.close(place)
    return True
