"""Limits how long mariadb-backup waits for a lock, because the application waits behind it.

The program enters the server's backup stages itself and waits there without a limit; all later requests wait
behind its request. Its own limit (`--startup-wait-timeout`) does not help: it waits for an instant without
any statement, which a busy server never has. So a session of ours watches it, and ends a stage that waits too
long.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from types import TracebackType

from ...model.errors import SourceError
from .client import Login, MariaDBConnection

_log = logging.getLogger(__name__)

LIMIT = 5.0
"""Seconds that a stage may wait."""
_EVERY = 0.5
_WAITING = (
    "SELECT ID FROM information_schema.PROCESSLIST "
    "WHERE ID > {0} AND USER = SUBSTRING_INDEX(USER(), '@', 1) "
    "AND INFO LIKE 'BACKUP STAGE %' AND TIME_MS > {1}"
)


class LockWait:
    """Watches the sessions that begin after it, while the `with` block runs. ended: whether it had to end a
    session."""

    def __init__(self, login: Login, doing: str) -> None:
        self._doing = doing
        self._connection = MariaDBConnection(login, doing)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lock wait", daemon=True)
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
        # A server that no longer answers us ends the program's session too, and the program reports it.
        with contextlib.suppress(SourceError):
            while not self._over.wait(_EVERY):
                for (number,) in self._connection.rows(_WAITING.format(self._connection.id, LIMIT * 1000)):
                    self.ended = True
                    _log.warning(
                        "%s: session %s waited for more than %g s: ended", self._doing, number, LIMIT
                    )
                    self._connection.run(f"KILL {number}")
