"""A database in WAL mode: an image of the file and the WAL up to the mark, and why together they are exact.

Every commit appends frames to the WAL and then publishes their count, mxFrame, in the wal-index (-shm). A
checkpoint copies frames into the database file; when all are copied, a writer may restart the WAL with other
salts. The state of a database is its file with the first mxFrame frames applied to it.

From prepare to finish we hold these locks, as any connection might:

    SHARED on the database       no connection is its only user: no checkpoint at close, no change of the
                                 journal mode, no removal of the WAL
    WAL_ALIVE on the -shm        no connection takes the wal-index for abandoned and rebuilds it
    WAL_CHECKPOINT, exclusive    no checkpoint runs: **the database file does not change**
    WAL_LAST_READER, shared      the WAL cannot be restarted: **published frames stay where they are**

So it does not matter when between prepare and finish the file is copied and the frames are read: the file and
the frames up to the count read at the mark are the database at the mark. The count is read under the write
lock (the hold), so it counts all commits acknowledged before and none begun after. Writers continue except
during the hold. Only checkpoints wait, and the WAL grows by the frames written meanwhile.

Between points nothing is held. While the salts stay the same, the WAL has only grown: all that a checkpoint
wrote into the database file came from frames that we have or are about to read, so **the old image stays
good** and only new frames move. After a power loss a WAL may have been cut back and grown again under the
same salts; then the checksum of the last frame we have differs, because it is chained over all frames before.
With other salts the image is taken again unless the file is untouched: the same inode, size and times,
recorded under the locks, and only after the clock had advanced, so that a later write cannot have the same
time.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from ...model.entries import Layout
from ...model.errors import SourceError
from ...model.point import Position
from ..base import Sink
from . import locks
from .image import (
    State,
    file_entry,
    identity,
    pieces,
    put_image,
    reader,
    settle,
    size_in,
    still_there,
    tree_path,
)
from .locks import Locks

_HEADER = 32
_FRAME = 24
_INDEX = 48
_INDEX_VERSION = 3007000
_LOCK_TIMEOUT = 60.0
"""Seconds that `prepare` waits for a running checkpoint."""


@dataclass(frozen=True, slots=True)
class WalIndex:
    """The content of the wal-index: committed frames, their page size, and the salts of this WAL."""

    frames: int
    page: int
    salt: bytes

    def end(self, frames: int) -> int:
        """The offset in the WAL at which this many frames end."""
        return _HEADER + frames * (_FRAME + self.page)


class WalCapture:
    """One database from prepare to close. previous: the last point's state; empty at first."""

    def __init__(self, path: Path, previous: State) -> None:
        self._path = path
        self._previous = previous
        self._companions = [Path(f"{path}{suffix}") for suffix in ("-wal", "-shm")]
        self._image = tree_path(path)
        self._log = self._image + b"-wal"
        self._database: Locks | None = None
        self._index: Locks | None = None
        self._wal = -1
        self._known = 0
        self._copied: list[int] | None = None
        self._made_files = False
        self._generation: int = previous.get("generation", 0)
        self._marked = WalIndex(0, 0, b"")

    def prepare(self, sink: Sink) -> None:
        until = time.monotonic() + _LOCK_TIMEOUT
        self._made_files = not all(p.exists() for p in self._companions)
        with reader(self._path):
            # Its read transaction keeps -wal and -shm where they are until our own locks do.
            self._database = Locks(self._path, os.O_RDWR)
            self._wal = os.open(self._companions[0], os.O_RDONLY | os.O_CLOEXEC)
            self._index = Locks(self._companions[1], os.O_RDWR)
            self._database.share_database(until)
            self._index.share(locks.WAL_ALIVE, until)
            self._index.own(locks.WAL_CHECKPOINT, until)
            self._index.share(locks.WAL_LAST_READER, until)
        self._continue_or_take(sink)

    def _continue_or_take(self, sink: Sink) -> None:
        """Continues from the last point's image and frames where possible; else takes a new image."""
        assert self._database is not None, "locked before"
        now = identity(self._database.fd)
        image: list[int] = self._previous.get("image", [])
        lost = image[:2] != now[:2] or size_in(sink.entries, self._image) != image[2]
        self._known = 0 if lost else self._frames_known(sink)
        if self._known:
            return
        untouched = not lost and image == now and self._previous["mode"] == "wal"
        if not untouched:
            self._generation += 1
            self._take(sink, "this is the first point of this file" if lost else "the WAL was restarted")
        elif self._previous["frames"]:
            self._generation += 1

    def _frames_known(self, sink: Sink) -> int:
        """How many frames of this very WAL the last point has."""
        frames: int = self._previous["frames"]
        index = self._read_index()
        if not frames or index.salt.hex() != self._previous["salt"] or index.frames < frames:
            return 0
        same = self._checksum(index, frames) == self._previous["checksum"]
        return frames if same and size_in(sink.entries, self._log) == index.end(frames) else 0

    def _take(self, sink: Sink, reason: str) -> None:
        assert self._database is not None, "locked before"
        sink.note(f"a new image was taken: {reason}")
        self._copied = identity(self._database.fd)
        put_image(sink, self._path, self._database.fd, self._database.fd)
        if identity(self._database.fd) != self._copied:
            raise SourceError(
                f"the database {self._path} was written without its locks",
                hint="A program that is not SQLite writes to it, or it lies on a filesystem without locks.",
            )

    def hold(self, deadline: float) -> None:
        assert self._index is not None, "prepared before"
        self._index.own(locks.WAL_WRITE, deadline)

    def mark(self) -> Position:
        assert self._database is not None, "prepared before"
        still_there(self._path, self._database.fd)
        self._marked = self._read_index()
        salt = self._marked.salt.hex() if self._marked.frames else "-"
        return Position(f"{salt}:{self._marked.frames}", (self._generation, self._marked.frames))

    def release(self) -> None:
        if self._index is not None:
            self._index.drop(locks.WAL_WRITE)

    def finish(self, sink: Sink) -> State:
        assert self._database is not None, "prepared before"
        index = self._marked
        if index.frames:
            self._move_frames(sink, index)
        else:
            sink.drop([self._log])
        if self._copied:
            settle(self._database.fd)
        return {
            "mode": "wal",
            "image": self._copied or self._previous["image"],
            "generation": self._generation,
            "frames": index.frames,
            "salt": index.salt.hex(),
            "page": index.page,
            "checksum": self._checksum(index, index.frames) if index.frames else "",
        }

    def _move_frames(self, sink: Sink, index: WalIndex) -> None:
        if os.pread(self._wal, 8, 16) != index.salt:
            raise SourceError(
                f"the WAL of {self._path} does not belong to its wal-index", hint="Protect again."
            )
        end = index.end(index.frames)
        if not self._known:
            sink.put(file_entry(self._log, os.fstat(self._wal)), pieces(self._wal, 0, end), Layout.CONTENT)
        elif self._known < index.frames:
            start = index.end(self._known)
            sink.append(self._log, start, pieces(self._wal, start, end))

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._wal >= 0:
            os.close(self._wal)
            self._wal = -1
        if self._made_files:
            # No process had it open: the last connection that closes removes -wal and -shm again.
            self._made_files = False
            with reader(self._path):
                pass

    def _checksum(self, index: WalIndex, frames: int) -> str:
        """The checksum of the last of `frames`, chained over all frames before it, in hex."""
        return os.pread(self._wal, 8, index.end(frames - 1) + 16).hex()

    def _read_index(self) -> WalIndex:
        """Reads the wal-index header; both copies must agree and match their checksum, as SQLite requires."""
        assert self._index is not None, "locked before"
        for _attempt in range(100):
            raw = os.pread(self._index.fd, 2 * _INDEX, 0)
            header = raw[:_INDEX]
            if header == raw[_INDEX:] and header[40:] == _sum(header[:40]):
                version, _, _, _, _, page, frames = struct.unpack_from("=IIIBBHI", header)
                if version == _INDEX_VERSION:
                    return WalIndex(frames, (page & 0xFE00) + ((page & 1) << 16), header[32:40])
            time.sleep(0.001)
        raise SourceError(
            f"the wal-index of {self._path} is inconsistent",
            hint="A writer died in its commit; SQLite repairs it at the next opening. Protect again.",
        )


def _sum(data: bytes) -> bytes:
    """The checksum of the wal-index header, in the machine's own byte order."""
    first = second = 0
    words = struct.unpack(f"={len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return struct.pack("=II", first, second)
