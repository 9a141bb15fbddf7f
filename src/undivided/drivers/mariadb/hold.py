"""Holding a MariaDB server still: the stages of BACKUP STAGE, entered quickly or not at all.

    START ─▶ FLUSH ──────────▶ BLOCK_DDL ─▶ BLOCK_COMMIT     END
    nobody   tables flushed;   DDL waits    every commit     all go on
    waits    writes to MyISAM               in every
             and Aria wait                  engine waits

The first makes nobody wait, so it is entered right before the pause (`approach`), the others within it
(`enter`), and count. Each stage costs less than a millisecond when nothing stands in its way.
What stands in the way of one is named: LOCK TABLES … WRITE or running DDL holds up START, a running MyISAM or
Aria statement holds up BLOCK_DDL. While our request waits, the application's own queue behind it; so it waits
a second at most, and then goes for good.

The session is its own watchdog: the server ends it when it says nothing until the deadline (`wait_timeout`), and
at once when we die; with the session the hold goes. Whether the hold lasted until it was given back is known
by the answer to END.
"""

from __future__ import annotations

import contextlib
import math
import time

from ...model.errors import SourceError
from .client import Login, MariaDBConnection, ServerError

_IN_THE_WAY = {
    "START": "LOCK TABLES … WRITE or a running ALTER, CREATE or DROP is in the way: let it end first.",
    "FLUSH": "A table cannot be flushed while it is in use that way: let it end first.",
    "BLOCK_DDL": "A long statement on a MyISAM or Aria table is in the way: let it end, or move to InnoDB.",
    "BLOCK_COMMIT": "A commit takes longer than others may wait: protect again when the server is less busy.",
}
_BUSY = (
    "SELECT ID, USER, TIME, COALESCE(STATE, '') FROM information_schema.PROCESSLIST "
    "WHERE COMMAND <> 'Daemon' AND USER <> 'system user' ORDER BY COMMAND = 'Sleep', TIME_MS DESC LIMIT 3"
)
PATIENCE = 1.0
"""Seconds a stage may wait for others, and make others wait."""
_STAGES = ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")
_WAITED = (1205, 1969)
"""Lock wait timeout exceeded; max_statement_time exceeded."""


class CommitBlock:
    """One session that can hold its server. `held` after `enter`; `lost` when it ended before it was
    released."""

    def __init__(self, login: Login, name: str) -> None:
        self._login, self._doing = login, f"hold {name}"
        self._session: MariaDBConnection | None = None
        self._other: MariaDBConnection | None = None
        self._entered = False
        self._ahead = list(_STAGES)
        self.lost = False

    @property
    def session(self) -> MariaDBConnection:
        """The session that holds: what it is asked is answered within the hold."""
        assert self._session is not None
        return self._session

    def open(self) -> None:
        """Connects. Also a second session, which can end the first should it hang."""
        self._other = MariaDBConnection(self._login, self._doing)
        self._session = MariaDBConnection(self._login, self._doing)
        for connection in (self._other, self._session):
            connection.run("SET SESSION wait_timeout = 28800")

    def rehearse(self) -> None:
        """Enters all but the last stage and leaves again: what would keep us from holding shows before anyone
        waits for the cut. Raises SourceError that names who is in the way."""
        try:
            self._limit(PATIENCE, 28800)
            for stage in _STAGES[:-1]:
                self._enter(stage)
            self.session.run("BACKUP STAGE END")
        except SourceError:
            self._drop()
            raise

    def approach(self, deadline: float) -> None:
        """The stage that holds nobody up. Raises as `enter` does."""
        self._go_on_to("START", deadline)

    def enter(self, deadline: float) -> None:
        """Holds the server before `deadline` (time.monotonic). Raises SourceError otherwise, and nothing of
        us waits in the server any more."""
        self._go_on_to("BLOCK_COMMIT", deadline)

    def _go_on_to(self, last: str, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise SourceError("there was no time left to hold it", doing=self._doing)
        try:
            self._entered = True
            self._limit(min(PATIENCE, remaining), max(1, math.ceil(remaining)))
            while last in self._ahead:
                self._enter(self._ahead.pop(0))
                self._in_time(deadline)
        except SourceError:
            self._drop()
            raise

    def leave(self) -> None:
        """Lets the writers go. Idempotent; never raises. Sets `lost` when the hold was gone already."""
        if not self._entered:
            return
        self._entered, self._ahead = False, list(_STAGES)
        if self._session is None:
            self.lost = True
            return
        try:
            self._session.run("BACKUP STAGE END")
        except SourceError:
            self.lost = True
            self._drop()

    def close(self) -> None:
        self.leave()
        self._hang_up()

    def _enter(self, stage: str) -> None:
        try:
            self.session.run(f"BACKUP STAGE {stage}")
        except ServerError as error:
            if error.code not in _WAITED:
                raise
            raise SourceError(
                f"another session keeps the server from standing still{self._blocker()}",
                doing=self._doing,
                hint=_IN_THE_WAY[stage],
            ) from error

    def _limit(self, wait: float, idle: int) -> None:
        """wait: seconds for each statement. idle: seconds after which the server drops us."""
        self.session.run(
            f"SET SESSION max_statement_time = {wait:.3f}, lock_wait_timeout = {math.ceil(wait)}, "
            f"wait_timeout = {idle}"
        )

    def _in_time(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise SourceError("it could not be held in time", doing=self._doing)

    def _blocker(self) -> str:
        """Who has been busy longest, without what they do: a statement may hold secrets."""
        assert self._other is not None
        ours = (self.session.id, self._other.id)
        try:
            rows = self._other.rows(_BUSY)
        except SourceError:
            return ""
        for number, user, seconds, doing in rows:
            if number not in ours:
                return f": most likely {number} of user {user}, for {seconds} s {doing}".rstrip()
        return ""

    def _drop(self) -> None:
        """Ends the holding session from outside: it may still be waiting in the server, in front of
        others."""
        if self._session is not None and self._other is not None:
            # It fails when the session is gone already; should it hang, its own wait_timeout ends it.
            with contextlib.suppress(SourceError):
                self._other.run(f"KILL {self._session.id}")
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in (self._session, self._other):
            if connection is not None:
                connection.close()
        self._session = self._other = None
