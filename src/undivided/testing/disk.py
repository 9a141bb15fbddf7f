"""A disk that logs every write and every flush, so that a test can visit each moment of a power loss.

A FUSE file system with one file, `disk`, appends all writes to a log. A loop device makes a block device of
that file, and a real filesystem lives on it, so the test includes the promises of its journal. After a power
loss the device holds everything up to some flush, and any part of the later writes: a disk with a cache keeps
no order between flushes. `image` makes either.

The log has records of (offset i64, length u32) and the data; a flush is a record with offset -1. The log's
size is a position in time: a test notes it when an operation reports success.

Run as a program, it serves the disk: `python -m undivided.testing.disk DIRECTORY BYTES LOG`.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_RECORD = struct.Struct("<qI")
_FLUSH = -1
_TIMEOUT = 20.0


@dataclass(frozen=True)
class LoggedDisk:
    """log: the writes, in order. root: the mount point of the filesystem."""

    log: Path
    root: Path
    size: int

    def position(self) -> int:
        """The size of the log: later writes come after it."""
        return self.log.stat().st_size

    def flushes(self) -> list[int]:
        """The position after each flush."""
        found, at = [], 0
        with open(self.log, "rb") as log:
            while record := log.read(_RECORD.size):
                offset, length = _RECORD.unpack(record)
                at = log.seek(length, os.SEEK_CUR)
                if offset == _FLUSH:
                    found.append(at)
        return found

    def image(self, into: Path, until: int, partial: random.Random | None = None) -> None:
        """The disk after a power loss at position `until`. partial: chooses which of the writes between there
        and the next flush it has as well."""
        # A new file each time: the loop device of the last image may still be writing to its own.
        into.unlink(missing_ok=True)
        with open(into, "wb") as image, open(self.log, "rb") as log:
            image.truncate(self.size)
            while record := log.read(_RECORD.size):
                offset, length = _RECORD.unpack(record)
                late = log.tell() > until
                if late and (partial is None or offset == _FLUSH):
                    break
                data = log.read(length)
                if offset != _FLUSH and (not late or (partial is not None and partial.random() < 0.5)):
                    image.seek(offset)
                    image.write(data)


@contextmanager
def logged_disk(kind: str, parent: Path, megabytes: int = 96) -> Iterator[LoggedDisk]:
    """A mounted filesystem of that kind on a logged disk. Skips the test without root or the tools."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse for a logged disk")
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"needs mkfs.{kind}")
    served, log, root = parent / "served", parent / "log", parent / "root"
    for directory in (served, root):
        directory.mkdir()
    log.touch()
    disk = LoggedDisk(log, root, megabytes << 20)
    server = subprocess.Popen(
        [sys.executable, "-m", "undivided.testing.disk", str(served), str(disk.size), str(log)]
    )
    try:
        until = time.monotonic() + _TIMEOUT
        while not (served / "disk").exists():
            assert time.monotonic() < until and server.poll() is None, "the disk is not served"
            time.sleep(0.02)
        subprocess.run([f"mkfs.{kind}", "-q", str(served / "disk")], check=True, capture_output=True)
        with mounted(served / "disk", root):
            yield disk
    finally:
        subprocess.run(["umount", "-l", str(served)], check=False, capture_output=True)
        server.wait(_TIMEOUT)


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """The mounted filesystem of an image, after a replay of its journal."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True, capture_output=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True, capture_output=True)


def _serve(directory: str, size: int, path: str) -> None:
    if library := find_library("fuse3"):
        os.environ.setdefault("FUSE_LIBRARY_PATH", library)
    import mfusepy as fuse

    memory = bytearray(size)
    log = open(path, "ab", buffering=0)  # noqa: SIM115  open as long as the disk is

    class Disk(fuse.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
            if path != "/disk":
                raise OSError(errno.ENOENT, path)
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": size}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", "disk"]

        def read(self, path: str, count: int, offset: int, fh: int) -> bytes:
            return bytes(memory[offset : offset + count])

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            memory[offset : offset + len(data)] = data
            log.write(_RECORD.pack(offset, len(data)) + data)
            return len(data)

        def truncate(self, path: str, length: int, fh: int | None = None) -> None:
            pass

        def fsync(self, path: str, datasync: int, fh: int) -> None:
            log.write(_RECORD.pack(_FLUSH, 0))

    fuse.FUSE(Disk(), directory, foreground=True, nothreads=True, fsname="logged-disk")


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
