"""The session of one SQLite database, for both journal modes.

`prepare` finds out the journal mode by opening the database as any program would. Both ways of capture then
hold locks that keep the mode from changing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ...model.errors import SourceError, error_context
from ...model.point import ComponentPoint, Consistency, Position
from ..base import Sink, Watchdog
from .image import reader
from .rollback_journal import JournalCapture
from .wal import WalCapture


class SQLiteSession:
    """See drivers/base.py: Session. path: the database file, links resolved."""

    consistency = Consistency.APPLICATION
    holds = True

    def __init__(self, path: Path, previous: ComponentPoint | None) -> None:
        self._path = path
        self._previous = {"generation": previous.position.order[0], **previous.state} if previous else {}
        self._capture: WalCapture | JournalCapture | None = None
        self._held = False

    def prepare(self, sink: Sink) -> None:
        with self._context():
            with reader(self._path) as mode:
                capture = WalCapture if mode == "wal" else JournalCapture
            self._capture = capture(self._path, self._previous)
            self._capture.prepare(sink)

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        return  # the lock ends with our process, and taking it needs no preparation

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        assert self._capture is not None, "prepared before"
        self._held = True
        with self._context():
            self._capture.hold(deadline)

    def mark(self, point: str) -> Position:
        assert self._capture is not None, "prepared before"
        with self._context():
            return self._capture.mark()

    def release(self) -> None:
        if self._held and self._capture is not None:
            self._held = False
            self._capture.release()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        assert self._capture is not None, "prepared before"
        with self._context():
            state = self._capture.finish(sink)
        return {**state, "directory": str(self._path.parent), "name": self._path.name}

    def committed(self) -> None:
        """Nothing is kept on this source."""
        return

    def _context(self) -> AbstractContextManager[None]:
        return error_context(f"capture the database {self._path}", _HINT, raises=SourceError)

    def close(self) -> None:
        self._held = False
        if self._capture is not None:
            with contextlib.suppress(SourceError, OSError):
                self._capture.close()


_HINT = "This user must be able to read and write the database, and the -shm and -wal files next to it."
