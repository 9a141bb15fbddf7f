"""Quiescing a MariaDB server with the stages of BACKUP STAGE, entered quickly or not at all.

    START ─▶ FLUSH ──────────▶ BLOCK_DDL ─▶ BLOCK_COMMIT     END
    no one   tables flushed;   DDL waits    every commit     all continue
    waits    writes to MyISAM               in every
             and Aria wait                  engine waits

START makes no session wait, so it is entered right before the pause (`approach`). The others are entered
within the pause (`enter`) and are part of it. Each stage takes less than a millisecond when no other session
blocks it. An error names the blocking session: LOCK TABLES … WRITE or running DDL blocks START, a running
MyISAM or Aria statement blocks BLOCK_DDL. While our request waits, requests of the application queue behind
it; so it waits for a second at most, and is then withdrawn.

The hold ends by itself: the server ends our session when it is silent until the deadline (`wait_timeout`),
and at once when this process dies; the hold ends with the session. The answer to END shows whether the hold
lasted until the release.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time

from ...model.errors import SourceError
from .client import Login, MariaDBConnection, ServerError

_log = logging.getLogger(__name__)

_BLOCKED_BY = {
    "START": "LOCK TABLES … WRITE, ALTER, CREATE or DROP blocks it: protect again when it has ended.",
    "FLUSH": "A session uses a table in a way that prevents flushing it: protect again when it has ended.",
    "BLOCK_DDL": "A statement on a MyISAM or Aria table blocks it: protect again later, or use InnoDB.",
    "BLOCK_COMMIT": "A commit took longer than others may wait: protect again when the server is less busy.",
}
_BUSY = (
    "SELECT ID, USER, TIME, COALESCE(STATE, '') FROM information_schema.PROCESSLIST "
    "WHERE COMMAND <> 'Daemon' AND USER <> 'system user' ORDER BY COMMAND = 'Sleep', TIME_MS DESC LIMIT 3"
)
LOCK_WAIT = 1.0
"""Seconds that a stage may wait for other sessions, and make other sessions wait."""
_STAGES = ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")
_WAITED = (1205, 1969)
"""Lock wait timeout exceeded; max_statement_time exceeded."""


class CommitBlock:
    """One session that can block all commits of its server. lost: whether the hold ended before it was
    released."""

    def __init__(self, login: Login, name: str) -> None:
        self._login, self._doing = login, f"quiesce {name}"
        self._session: MariaDBConnection | None = None
        self._other: MariaDBConnection | None = None
        self._entered = False
        self._stages_left = list(_STAGES)
        self.lost = False

    @property
    def session(self) -> MariaDBConnection:
        """The session that holds: the server answers its questions within the hold."""
        assert self._session is not None
        return self._session

    def open(self) -> None:
        """Connects, with a second session that can end the first if it hangs."""
        self._other = MariaDBConnection(self._login, self._doing)
        self._session = MariaDBConnection(self._login, self._doing)
        for connection in (self._other, self._session):
            connection.run("SET SESSION wait_timeout = 28800")

    def rehearse(self) -> None:
        """Enters all but the last stage and leaves again, so that a blocking session is found before the cut
        makes anything wait. Raises SourceError that names the blocking session."""
        try:
            self._limit(LOCK_WAIT, 28800)
            for stage in _STAGES[:-1]:
                self._enter(stage)
            self.session.run("BACKUP STAGE END")
        except SourceError:
            self._drop()
            raise

    def approach(self, deadline: float) -> None:
        """Enters the stage that makes no session wait. Raises as `enter` does."""
        self._advance_to("START", deadline)

    def enter(self, deadline: float) -> None:
        """Blocks all commits before `deadline` (time.monotonic). Otherwise raises SourceError, and no request
        of ours waits in the server any more."""
        self._advance_to("BLOCK_COMMIT", deadline)

    def _advance_to(self, last: str, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise SourceError("the deadline passed before commits were blocked", doing=self._doing)
        try:
            self._entered = True
            self._limit(min(LOCK_WAIT, remaining), max(1, math.ceil(remaining)))
            while last in self._stages_left:
                self._enter(self._stages_left.pop(0))
                self._in_time(deadline)
        except SourceError:
            self._drop()
            raise

    def leave(self) -> None:
        """Ends the hold. Idempotent; never raises. Sets `lost` when the hold had ended already."""
        if not self._entered:
            return
        self._entered, self._stages_left = False, list(_STAGES)
        if self._session is None:
            self.lost = True
            return
        try:
            self._session.run("BACKUP STAGE END")
        except SourceError as error:
            _log.warning(
                "%s: the server let commits continue before the pause was over: %s", self._doing, error.cause
            )
            self.lost = True
            self._drop()

    def close(self) -> None:
        self.leave()
        self._disconnect()

    def _enter(self, stage: str) -> None:
        try:
            self.session.run(f"BACKUP STAGE {stage}")
        except ServerError as error:
            if error.code not in _WAITED:
                raise
            blocker = self._blocker()
            _log.warning("%s: stopped waiting for BACKUP STAGE %s%s", self._doing, stage, blocker)
            raise SourceError(
                f"another session is blocking BACKUP STAGE {stage}{blocker}",
                doing=self._doing,
                hint=_BLOCKED_BY[stage],
            ) from error

    def _limit(self, wait: float, idle: int) -> None:
        """wait: seconds for each statement. idle: seconds after which the server ends our session."""
        self.session.run(
            f"SET SESSION max_statement_time = {wait:.3f}, lock_wait_timeout = {math.ceil(wait)}, "
            f"wait_timeout = {idle}"
        )

    def _in_time(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise SourceError("commits could not be blocked in time", doing=self._doing)

    def _blocker(self) -> str:
        """The session that has been busy longest, without its statement, which may hold secrets."""
        assert self._other is not None
        ours = (self.session.id, self._other.id)
        try:
            rows = self._other.rows(_BUSY)
        except SourceError:
            return ""
        for number, user, seconds, state in rows:
            if number not in ours:
                shown = f" ({state})" if state else ""
                return f": most likely session {number} of user {user}, for {seconds} s{shown}"
        return ""

    def _drop(self) -> None:
        """Ends the holding session from the second one: its request may still wait in the server, and make
        other sessions wait."""
        if self._session is not None and self._other is not None:
            # It fails when the session is gone already; if the session hangs, its own wait_timeout ends it.
            with contextlib.suppress(SourceError):
                self._other.run(f"KILL {self._session.id}")
        self._disconnect()

    def _disconnect(self) -> None:
        for connection in (self._session, self._other):
            if connection is not None:
                connection.close()
        self._session = self._other = None
