"""Keeps mariadb-backup from waiting in front of the application.

The program enters the server's backup stages itself and waits there for as long as it takes; whatever comes
after its request waits behind it. Its own limit (`--startup-wait-timeout`) is no help: it waits for an
instant without any statement, which a busy server never has. So we watch from a session of our own, and end a
stage that takes too long.
"""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType

from ...model.errors import SourceError
from .client import Login, MariaDBConnection

LIMIT = 5.0
"""Seconds a stage may wait."""
_EVERY = 0.5
_WAITING = (
    "SELECT ID FROM information_schema.PROCESSLIST "
    "WHERE ID > {0} AND USER = SUBSTRING_INDEX(USER(), '@', 1) "
    "AND INFO LIKE 'BACKUP STAGE %' AND TIME_MS > {1}"
)


class LockWait:
    """Watches sessions that begin after it, while the `with` block runs. `ended`: whether it had to end
    one."""

    def __init__(self, login: Login, doing: str) -> None:
        self._connection = MariaDBConnection(login, doing)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="patience", daemon=True)
        self.ended = False

    def __enter__(self) -> LockWait:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        # A server that no longer answers us ends the program's session too: it will say so.
        with contextlib.suppress(SourceError):
            while not self._over.wait(_EVERY):
                for (number,) in self._connection.rows(_WAITING.format(self._connection.id, LIMIT * 1000)):
                    self.ended = True
                    self._connection.run(f"KILL {number}")
