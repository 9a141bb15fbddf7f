"""The session of one Redis: follow the stream, pause the writers, read the offset, keep the stream up to it.

    prepare   a replication link: continued from the last point's offset, or a new image
    hold      CLIENT PAUSE WRITE, which ends by itself at the deadline
    mark      master_repl_offset: it does not grow while writers pause, and never lies inside a MULTI
    release   CLIENT UNPAUSE
    finish    the stream up to the offset is added to log/stream

The tree: data/dump.rdb is the image, log/stream has every byte that the primary replicated from the image to
the mark. A new image is taken when the stream is longer than 256 MiB and longer than the image: replaying
must not cost more than loading.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...model.entries import Entries, Entry, Kind, Layout
from ...model.errors import SourceError
from ...model.point import ComponentPoint, Consistency, Position
from ..base import Sink, Watchdog
from .bgsave import BgsaveImage
from .replication import Replica
from .resp import RedisAddress, RedisConnection, RefusedError, info

_log = logging.getLogger(__name__)

IMAGE = b"data/dump.rdb"
STREAM = b"log/stream"
_LONG_STREAM = 256 << 20
_RELEASE_TIMEOUT = 1.0
_KEPT_SETTINGS = (
    "appenddirname",
    "appendfilename",
    "appendfsync",
    "appendonly",
    "databases",
    "dbfilename",
    "dir",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "port",
    "save",
    "unixsocket",
)


class RedisSession:
    """See drivers/base.py: Session. password: of the server's user."""

    consistency = Consistency.APPLICATION
    holds = True

    def __init__(self, server: RedisAddress, password: str | None, previous: ComponentPoint | None) -> None:
        self._server = server
        self._password = password
        self._previous = previous
        self._control: RedisConnection | None = None
        self._replica: Replica | None = None
        self._bgsave: BgsaveImage | None = None
        self._settings: dict[str, str] = {}
        self._version = ""
        self._deadline = 0.0
        self._paused = False
        self._replid, self._offset = "", 0
        self._generation = previous.position.order[0] if previous else 0
        self._image_offset, self._image_bytes = 0, 0

    # Slow work, before anything is held.

    def prepare(self, sink: Sink) -> None:
        self._control = RedisConnection(self._server, self._password)
        self._examine(self._control)
        self._settings = self._read_settings(self._control, sink)
        try:
            self._replicate(sink)
        except RefusedError as error:
            if error.code not in ("NOPERM", "ERR"):
                raise
            self._drop_replica()
            reason = f"the server does not permit replication ({error.cause})"
            sink.note(f"a new image was taken by BGSAVE inside the pause: {reason}")
            _log.info("%s: falling back to BGSAVE: %s", self._server, reason)
            self._bgsave = BgsaveImage(self._control)
            self._bgsave.settle()

    def _examine(self, control: RedisConnection) -> None:
        about, role = info(control, "server"), info(control, "replication")
        self._version = about.get("redis_version", "0")
        if tuple(int(n) for n in self._version.split(".")[:2]) < (6, 2):
            raise SourceError(
                f"Redis {self._version} cannot pause writers without pausing readers",
                hint="Upgrade to Redis 6.2, Valkey 7.2 or newer.",
            )
        if about.get("redis_mode") == "cluster":
            raise SourceError(
                "the server is a node of a cluster and holds only a part of its data",
                hint="Clusters are not supported: protect a primary that holds all data.",
            )
        if role.get("role") != "master":
            primary = f"{role.get('master_host')}:{role.get('master_port')}"
            raise SourceError(
                f"the server is a replica: its writers can be paused only at its primary {primary}",
                hint=f"Name {primary} in the service file.",
            )

    def _read_settings(self, control: RedisConnection, sink: Sink) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            for name in _KEPT_SETTINGS:
                answer = control.call("CONFIG", "GET", name)
                if isinstance(answer, list) and len(answer) == 2:
                    key, value = (str(item, "utf-8", "replace") for item in answer if isinstance(item, bytes))
                    found[key] = value
        except RefusedError as error:
            sink.note(f"the server's settings were not kept: {error.cause}")
            appends = info(control, "persistence").get("aof_enabled") == "1"
            found["appendonly"] = "yes" if appends else "no"
        return found

    def _replicate(self, sink: Sink) -> None:
        self._replica = Replica(RedisConnection(self._server, self._password))
        last, reason = self._last(sink)
        if self._replica.begin(*last):
            self._generation += 1
            self._image_offset = self._replica.offset
            sink.note(f"a new image was taken: {reason}")
            _log.info("%s: a new image is taken: %s", self._server, reason)
            self._image_bytes = self._put_image(sink, self._replica.image())
        self._replica.follow()

    def _last(self, sink: Sink) -> tuple[tuple[str | None, int], str]:
        """((replication id, offset) to continue from, the reason in case the server sends an image)."""
        if self._previous is None:
            return (None, 0), "this is the first point"
        state = self._previous.state
        if state.get("method") != "replication":
            return (None, 0), "the last point has no stream to continue from"
        self._image_offset, self._image_bytes = state["image_offset"], state["image_bytes"]
        length = state["offset"] - self._image_offset
        if _size(sink.entries, IMAGE) != self._image_bytes or _size(sink.entries, STREAM) != length:
            return (None, 0), "image or stream of the last point do not have the size that its state records"
        if length > max(_LONG_STREAM, self._image_bytes):
            return (None, 0), f"the stream since the last image has grown to {length >> 20} MiB"
        lost = f"the server no longer has its stream from {state['offset']} on"
        reason = f"{lost}: it was restarted, or repl-backlog-size is too small"
        return (state["replid"], state["offset"]), reason

    def _put_image(self, sink: Sink, data: Iterator[bytes]) -> int:
        mode, uid, gid = self._owner()
        sink.replace(b"data")
        sink.replace(b"log")
        sink.put(Entry(b"data", Kind.DIRECTORY, mode, uid, gid))
        sink.put(Entry(b"log", Kind.DIRECTORY, mode, uid, gid))
        sink.put(Entry(STREAM, uid=uid, gid=gid))
        now = time.time_ns()
        # Records have any length, so a change shifts all bytes after it: chunks by content find them again.
        image = Entry(IMAGE, uid=uid, gid=gid, mtime_ns=now)
        return sink.put(image, _counted(sink, data), Layout.CONTENT)

    def _owner(self) -> tuple[int, int, int]:
        """Mode and owner of the server's directory; our own when its files are not on this host."""
        with contextlib.suppress(KeyError, OSError):
            found = os.stat(self._settings["dir"])
            return found.st_mode & 0o7777, found.st_uid, found.st_gid
        return 0o700, os.geteuid(), os.getegid()

    # The hold.

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        return  # the pause ends by itself, and needs no preparation

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        assert self._control is not None, "prepared before"
        self._deadline = deadline
        left = deadline - time.monotonic()
        if left <= 0:
            raise SourceError("the deadline passed before the pause began", doing="quiesce the writers")
        self._paused = True
        self._control.timeout(left)
        self._control.call("CLIENT", "PAUSE", int(left * 1000) + 1, "WRITE")

    def mark(self, point: str) -> Position:
        assert self._control is not None, "held before"
        self._control.timeout(self._deadline - time.monotonic())
        if self._bgsave:
            self._bgsave.fork()
            self._generation += 1
        found = info(self._control, "replication")
        if time.monotonic() > self._deadline:
            raise SourceError("the pause ended before the position was read", doing="mark the point")
        self._replid, self._offset = found["master_replid"], int(found["master_repl_offset"])
        return Position(f"{self._replid}:{self._offset}", (self._generation, self._offset))

    def release(self) -> None:
        if not self._paused or self._control is None:
            return
        self._paused = False
        # A busy server may not have executed the pause yet; on one connection UNPAUSE comes after it.
        with contextlib.suppress(SourceError):
            self._control.timeout(_RELEASE_TIMEOUT)
            self._control.call("CLIENT", "UNPAUSE")

    # After the release.

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        assert self._control is not None, "marked before"
        self._control.timeout(60.0)
        if self._bgsave:
            self._image_offset = self._offset
            place = Path(self._settings.get("dir", "."), self._settings.get("dbfilename", "dump.rdb"))
            self._image_bytes = self._put_image(sink, self._bgsave.read(place))
        else:
            self._append(sink)
        return {
            "method": "bgsave" if self._bgsave else "replication",
            "replid": self._replid,
            "offset": self._offset,
            "image_offset": self._image_offset,
            "image_bytes": self._image_bytes,
            "version": self._version,
            "directory": self._settings.get("dir"),
            "settings": self._settings,
        }

    def _append(self, sink: Sink) -> None:
        assert self._replica is not None, "replicated unless saved"
        if self._replica.replid != self._replid:
            raise SourceError(
                "the server changed its replication id during the capture",
                hint="It was restarted, or a failover happened: protect again.",
            )
        self._replica.wait(self._offset)
        first = self._replica.offset
        sink.append(STREAM, first - self._image_offset, self._replica.read(first, self._offset))

    def committed(self) -> None:
        """Nothing is kept on this source: the server has the stream."""
        return

    def close(self) -> None:
        self.release()
        self._drop_replica()
        if self._control:
            self._control.close()

    def _drop_replica(self) -> None:
        if self._replica:
            self._replica.close()
            self._replica = None


def _counted(sink: Sink, data: Iterator[bytes]) -> Iterator[bytes]:
    done = 0
    for piece in data:
        done += len(piece)
        sink.progress(done)
        yield piece


def _size(entries: Entries, path: bytes) -> int:
    """-1 when there is no such file."""
    paths = entries.path.tolist()
    return int(entries.size[paths.index(path)]) if path in paths else -1
