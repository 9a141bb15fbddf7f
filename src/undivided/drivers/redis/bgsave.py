"""The image forked inside the pause: for servers that do not permit replication.

BGSAVE forks while the writers are held, so the child's memory is the data at the mark, however long it then
takes to write it down. It costs a whole image for every point, and the server has to keep its RDB file
where we can read it. That the file is the one of our fork, and not of a save that came after it, is told by
the server's count of forks, read inside the pause and again once the file is open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...model.errors import SourceError
from .resp import RedisConnection, RefusedError, info

_PIECE = 1 << 20
_POLL = 0.02
_PATIENCE = 120.0
"""Seconds that a save of somebody else may keep us from preparing."""


class BgsaveImage:
    """One BGSAVE: `settle` before the hold, `fork` inside it, `read` after it."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._forks = -1

    def settle(self) -> None:
        """Waits until no other child is at work: the server has only one at a time."""
        until = time.monotonic() + _PATIENCE
        while self._busy():
            if time.monotonic() > until:
                raise SourceError(
                    "the server has been saving or rewriting its log for minutes",
                    hint="Protect again when it is done.",
                )
            time.sleep(_POLL)

    def fork(self) -> None:
        try:
            self._connection.call("BGSAVE")
        except RefusedError as error:
            raise SourceError(
                f"the server did not fork its image: {error.cause}",
                hint="A save may have been running: protect again, or permit psync and replconf.",
            ) from error
        self._forks = self._count()

    def read(self, path: Path) -> Iterator[bytes]:
        """The bytes of the RDB file at `path`, once the child is done with it."""
        while self._saving():
            time.sleep(_POLL)
        if info(self._connection, "persistence").get("rdb_last_bgsave_status") != "ok":
            raise SourceError(
                "the server could not save its image", hint="See the server's log: is the disk full?"
            )
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(
                f"cannot read the saved image {path}: {(error.strerror or str(error)).lower()}",
                hint="Permit psync and replconf to the backup's user, or run where the files are.",
            ) from error
        try:
            if self._count() != self._forks or self._saving():
                raise SourceError("another save overtook the image of this point", hint="Protect again.")
            while piece := os.read(file, _PIECE):
                yield piece
        finally:
            os.close(file)

    def _saving(self) -> bool:
        return info(self._connection, "persistence").get("rdb_bgsave_in_progress") == "1"

    def _busy(self) -> bool:
        says = info(self._connection, "persistence")
        return "1" in (says.get("rdb_bgsave_in_progress"), says.get("aof_rewrite_in_progress"))

    def _count(self) -> int:
        return int(info(self._connection, "stats").get("total_forks", -1))
