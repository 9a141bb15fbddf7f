"""Quiescing a PostgreSQL: during the cut, commits wait for an acknowledgement that we withhold.

Our own receiver becomes a synchronous standby and acknowledges at once, so that nothing changes for the
application (standby.py). To hold, it stops reading: then no commit returns in any session that asks for
durability, while reads continue. To release, it reads again. A transaction that was committing when the hold
began is in the log before the mark, but no session has seen it: it is in the point, like a transaction whose
answer was lost.

A synchronous standby that dies is dangerous: commits would wait forever. So the watchdog gets the undo
statements before it begins, and it lasts only from `arm`, right before the pause, to `release`. Afterwards
the setting is as before.

Three conditions are checked, not assumed:
- no role or database is configured to commit without waiting (synchronous_commit off or local);
- waiting has begun in all sessions: the view pg_stat_replication can show 'sync' before the backends know, so
  a commit of our own is sent and observed waiting;
- no commit escaped: no transaction begun since the hold has committed by the mark. A session may have set
  synchronous_commit for itself, which cannot be seen from outside. (A transaction that was open before and
  commits meanwhile cannot be distinguished from one whose wait was over just before waiting began.)
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from typing import TYPE_CHECKING

from ...model.errors import SourceError
from ..base import Watchdog
from .server import GRANTS, PostgreSQLServer, line, psycopg2, server_errors
from .standby import Standby

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_log = logging.getLogger(__name__)

POLL = 0.001
QUIET = 0.01
"""Seconds without a commit after which commits count as held."""
_WAITS = {"on", "remote_write", "remote_apply", "true", "yes", "1"}
_HINT = "To block commits, every session must wait for standbys: set synchronous_commit = on there."
_UNDO_HINT = "Run this by hand: ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();"


class Withholding:
    """prepare → arm → hold → check → release → close; the last two any number of times."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self._server = server
        self._doing = f"quiesce {server.component.name}"
        self._name = f"undivided_{os.urandom(4).hex()}"
        self._undo: list[str] = []
        self._do = ""
        self._admin: connection | None = None
        self._probe: connection | None = None
        self._standby: Standby | None = None
        self._probing: threading.Thread | None = None
        self._synchronous = False
        self._snapshot = ""

    def prepare(self) -> None:
        """Connects, checks, starts the receiver. Raises SourceError when commits could not be blocked."""
        # With the server's own synchronous_commit: to read it, and to wait as all sessions do.
        self._admin = self._server.sql(self._name + "_hold", waits=True)
        self._probe = self._server.sql(self._name + "_probe", waits=True)
        self._require_grants(self._admin)
        self._require_waiting(self._admin)
        self._plan(self._admin)
        self._standby = Standby(self._server, self._name)

    def _require_grants(self, admin: connection) -> None:
        with server_errors(self._doing), admin.cursor() as cursor:
            cursor.execute(
                "SELECT has_parameter_privilege('synchronous_standby_names', 'ALTER SYSTEM')"
                " AND has_function_privilege('pg_reload_conf()', 'EXECUTE')"
            )
            if cursor.fetchone() != (True,):
                cause = "the role has no permission to change synchronous_standby_names"
                raise SourceError(cause, doing=self._doing, hint=GRANTS)

    def _require_waiting(self, admin: connection) -> None:
        with server_errors(self._doing), admin.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            (value,) = cursor.fetchone() or ("",)
            if value not in _WAITS:
                raise SourceError(f"synchronous_commit is {value}", doing=self._doing, hint=_HINT)
            cursor.execute(
                "SELECT coalesce(rolname, 'any role'), coalesce(datname, 'any database'), config"
                " FROM pg_db_role_setting CROSS JOIN unnest(setconfig) config"
                " LEFT JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase"
                " WHERE config LIKE 'synchronous\\_commit=%'"
            )
            for role, database, config in cursor.fetchall():
                if config.split("=", 1)[1] not in _WAITS:
                    cause = f"{role} in {database} has {config}: its commits do not wait for standbys"
                    raise SourceError(cause, doing=self._doing, hint=_HINT)

    def _plan(self, admin: connection) -> None:
        """Prepares the statements to become a synchronous standby, and to undo it."""
        with server_errors(self._doing), admin.cursor() as cursor:
            cursor.execute(
                "SELECT setting, source, sourcefile FROM pg_settings WHERE name = 'synchronous_standby_names'"
            )
            setting, source, file = cursor.fetchone() or ("", "", None)
        if source == "command line":
            cause = "synchronous_standby_names comes from the server's command line and cannot be changed"
            raise SourceError(cause, doing=self._doing, hint="Set it in postgresql.conf instead.")
        wanted = with_standby(setting, self._name)
        if wanted is None:
            cause = (
                f"synchronous_standby_names is {setting!r}: a standby cannot be added without weakening it"
            )
            raise SourceError(cause, doing=self._doing, hint="Set it in the form FIRST n (…).")
        literal = psycopg2().extensions.QuotedString
        self._do = f"ALTER SYSTEM SET synchronous_standby_names = {literal(wanted)}"
        before = "ALTER SYSTEM RESET synchronous_standby_names"
        if file and str(file).endswith("postgresql.auto.conf"):
            before = f"ALTER SYSTEM SET synchronous_standby_names = {literal(setting)}"
        self._undo = [before, "SELECT pg_reload_conf()"]

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        """Makes our receiver a synchronous standby that acknowledges at once. Commits pass through it, and
        the slow reload is over when the pause begins."""
        assert self._admin is not None, "prepared"
        watchdog.postgresql(self._server.dsn(self._name + "_watchdog"), self._undo)
        with server_errors(self._doing):
            with self._admin.cursor() as cursor:
                self._synchronous = True
                cursor.execute(self._do)
                cursor.execute("SELECT pg_reload_conf()")
            self._await_synchronous(deadline)

    def hold(self, deadline: float) -> None:
        assert self._standby is not None, "prepared"
        with server_errors(self._doing):
            self._standby.withhold(deadline, self._doing)
            self._await_waiting(deadline)
            self._settle(deadline)

    def _await_synchronous(self, deadline: float) -> None:
        assert self._admin is not None
        with self._admin.cursor() as cursor:
            while True:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_replication"
                    " WHERE application_name = %s AND sync_state = 'sync' AND state = 'streaming'",
                    (self._name,),
                )
                if cursor.fetchone() == (1,):
                    return
                self._pause(deadline, "our standby did not become synchronous in time")

    def _await_waiting(self, deadline: float) -> None:
        """Sends commits of our own until one is observed waiting: then all sessions wait."""
        assert self._admin is not None and self._probe is not None
        self._probing = threading.Thread(target=self._commit_until_held, args=(deadline,), daemon=True)
        self._probing.start()
        with self._admin.cursor() as cursor:
            while True:
                cursor.execute(
                    "SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (self._probe.info.backend_pid,)
                )
                if cursor.fetchone() == ("SyncRep",):
                    return
                self._pause(deadline, "commits did not begin to wait in time")

    def _commit_until_held(self, deadline: float) -> None:
        assert self._probe is not None
        with contextlib.suppress(psycopg2().Error), self._probe.cursor() as cursor:
            while time.monotonic() < deadline and self._synchronous:
                cursor.execute("SELECT pg_create_restore_point('undivided probe'), pg_current_xact_id()")

    def _settle(self, deadline: float) -> None:
        """Waits until no commit has returned for a while. Waiting can begin, end and begin again, because the
        server may still be executing an earlier reload."""
        self._snapshot, since = self._take_snapshot(), time.monotonic()
        while time.monotonic() - since < QUIET:
            if self._escaped():
                self._snapshot, since = self._take_snapshot(), time.monotonic()
            self._pause(deadline, "sessions commit without waiting (synchronous_commit off or local)")

    def check(self) -> None:
        """Raises SourceError when a transaction has committed since the hold."""
        with server_errors(self._doing):
            escaped = self._escaped()
        if escaped:
            cause = f"{escaped} transactions committed during the pause"
            raise SourceError(cause, doing=self._doing, hint=_HINT)

    def _take_snapshot(self) -> str:
        assert self._admin is not None
        with self._admin.cursor() as cursor:
            cursor.execute("SELECT pg_current_snapshot()::text")
            (text,) = cursor.fetchone() or ("",)
        return str(text)

    def _escaped(self) -> int:
        """The number of transactions begun since the hold that have committed. While autovacuum runs it is
        unknown, and 0 is returned: autovacuum commits without waiting, and changes no visible data."""
        assert self._admin is not None
        with self._admin.cursor() as cursor:
            cursor.execute(
                "SELECT pg_current_snapshot()::text,"
                " EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')"
            )
            now, vacuuming = cursor.fetchone() or ("", False)
            ended = sorted(ended_between(self._snapshot, str(now)))
            if vacuuming or not ended:
                return 0
            cursor.execute(
                "SELECT count(*) FROM unnest(%s::text[]) x WHERE pg_xact_status(x::xid8) = 'committed'",
                ([str(x) for x in ended],),
            )
            (count,) = cursor.fetchone() or (0,)
        return int(count)

    def _pause(self, deadline: float, cause: str) -> None:
        if time.monotonic() >= deadline:
            raise SourceError(cause, doing=self._doing)
        time.sleep(POLL)

    def release(self) -> None:
        """Lets commits return, then stops being a synchronous standby. Raises SourceError only if that
        fails."""
        if self._standby:
            self._standby.acknowledge()
        if not self._synchronous:
            return
        self._synchronous = False
        try:
            assert self._admin is not None
            self._run_undo(self._admin)
        except psycopg2().Error as error:
            _log.warning(
                "%s: the connection is lost, undoing the hold on another: %s", self._doing, line(error)
            )
            self._undo_reconnected()

    def _undo_reconnected(self) -> None:
        """Undoes it on a new connection. Raises SourceError when that fails too, because commits would
        hang."""
        try:
            fresh = self._server.sql(self._name + "_undo")
            try:
                self._run_undo(fresh)
            finally:
                fresh.close()
        except (SourceError, psycopg2().Error) as error:
            cause = f"commits may hang, the synchronous standby could not be removed: {line(error)}"
            raise SourceError(cause, doing=self._doing, hint=_UNDO_HINT) from None

    def _run_undo(self, through: connection) -> None:
        with through.cursor() as cursor:
            for statement in self._undo:
                cursor.execute(statement)

    def close(self) -> None:
        if self._standby:
            self._standby.close()
        if self._probing is not None and self._probe is not None:
            while self._probing.is_alive():
                # When other standbys are missing, our own commit keeps waiting as all do; it must end.
                with contextlib.suppress(psycopg2().Error):
                    self._probe.cancel()
                self._probing.join(0.1)
        for open_one in (self._probe, self._admin):
            if open_one is not None:
                open_one.close()


def with_standby(setting: str, name: str) -> str | None:
    """A synchronous_standby_names that waits for `name` and for all standbys of `setting`; None: impossible.

    >>> with_standby("", "us"), with_standby("a, b", "us"), with_standby("FIRST 2 (a, b)", "us")
    ('FIRST 1 (us)', 'FIRST 2 (us, a, b)', 'FIRST 3 (us, a, b)')
    """
    setting = setting.strip()
    if not setting:
        return f"FIRST 1 ({name})"
    form = re.fullmatch(r"(?:(FIRST|ANY)\s+)?(\d+)\s*\((.*)\)", setting, re.IGNORECASE | re.DOTALL)
    if form is None:
        return f"FIRST 2 ({name}, {setting})"
    kind, count, names = form.groups()
    if kind and kind.upper() == "ANY":
        return None
    return f"FIRST {int(count) + 1} ({name}, {names.strip()})"


def ended_between(before: str, now: str) -> set[int]:
    """The transaction ids assigned after snapshot `before` that are no longer open in `now`.

    >>> sorted(ended_between("10:14:10,12", "12:17:12,15"))
    [14, 16]
    """
    first, limit = int(before.split(":")[1]), int(now.split(":")[1])
    still_open = {int(x) for x in now.split(":")[2].split(",") if x}
    return set(range(first, limit)) - still_open
