"""The image forked by BGSAVE inside the pause: for servers that do not permit replication.

BGSAVE forks while the writers are held, so the child's memory is the data at the mark, however long the child
takes to write it. This costs a whole image for every point, and this process must be able to read the
server's RDB file. The server's count of forks, read inside the pause and again once the file is open, proves
that the file is from our fork and not from a later save.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...model.errors import SourceError, error_context
from .resp import RedisConnection, RefusedError, info

_log = logging.getLogger(__name__)

_PIECE = 1 << 20
_READ_HINT = "Permit psync and replconf to the backup's user, or run Undivided on the server's host."
_POLL = 0.02
_SAVE_TIMEOUT = 120.0
"""Seconds that `settle` waits for another save to end."""


class BgsaveImage:
    """One BGSAVE: call `settle` before the hold, `fork` inside it, `read` after it."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._forks = -1

    def settle(self) -> None:
        """Waits until the server has no other child process: it forks only one at a time. Raises
        SourceError."""
        until = time.monotonic() + _SAVE_TIMEOUT
        if self._busy():
            _log.info("waiting for the server's running save or rewrite, at most %g s", _SAVE_TIMEOUT)
        while self._busy():
            if time.monotonic() > until:
                raise SourceError(
                    f"the server has been saving, or rewriting its log, for more than {_SAVE_TIMEOUT:g} s",
                    hint="Protect again when it has finished.",
                )
            time.sleep(_POLL)

    def fork(self) -> None:
        """Starts the save. Raises SourceError when the server does not."""
        try:
            self._connection.call("BGSAVE")
        except RefusedError as error:
            raise SourceError(
                f"the server did not fork its image: {error.cause}",
                hint="Another save may have been running: protect again, or permit psync and replconf.",
            ) from error
        self._forks = self._count()

    def read(self, path: Path) -> Iterator[bytes]:
        """The bytes of the RDB file at `path`, once the child has finished it. Raises SourceError."""
        while self._saving():
            time.sleep(_POLL)
        if info(self._connection, "persistence").get("rdb_last_bgsave_status") != "ok":
            raise SourceError(
                "the server could not save its image", hint="Look at the server's log: is its disk full?"
            )
        with error_context("read the saved image", _READ_HINT, raises=SourceError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self._count() != self._forks or self._saving():
                raise SourceError("another save has replaced the image of this point", hint="Protect again.")
            while piece := os.read(file, _PIECE):
                yield piece
        finally:
            os.close(file)

    def _saving(self) -> bool:
        return info(self._connection, "persistence").get("rdb_bgsave_in_progress") == "1"

    def _busy(self) -> bool:
        state = info(self._connection, "persistence")
        return "1" in (state.get("rdb_bgsave_in_progress"), state.get("aof_rewrite_in_progress"))

    def _count(self) -> int:
        return int(info(self._connection, "stats").get("total_forks", -1))
