"""Replication slots: they make the server keep its log until it is fetched, and no longer.

An orphaned slot fills the server's disk, so there are two rules. While a point is being taken, a temporary
slot keeps the log; it ends with our connection. Between points the component's own slot keeps the log only
where the server limits the log that slots retain (max_slot_wal_keep_size). Then an orphan can do only limited
harm: a slot beyond the limit costs a new image, but never a full disk. Without a limit there is no slot
between points, and one that remains from a time with a limit is dropped.
"""

from __future__ import annotations

import logging
import re
import zlib
from typing import TYPE_CHECKING

from .server import server_errors

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_log = logging.getLogger(__name__)

_HINT = "Raise max_replication_slots, or drop unused slots (see pg_replication_slots)."


def slot_name(component: str, directory: str) -> str:
    """The name of the component's own slot: the same for every point."""
    readable = re.sub(r"[^a-z0-9_]", "_", component.lower())[:40]
    return f"undivided_{readable}_{zlib.crc32(f'{component} {directory}'.encode()):08x}"


def create_temporary(control: connection, doing: str) -> None:
    """Makes the server keep the log from the last checkpoint on, as long as this connection is open."""
    with server_errors(doing, _HINT), control.cursor() as cursor:
        cursor.execute(
            "SELECT pg_create_physical_replication_slot("
            "'undivided_' || pg_backend_pid() || '_temporary', true, true)"
        )


def ensure(control: connection, name: str, doing: str) -> None:
    """Makes sure that the component's own slot exists and is not lost."""
    with server_errors(doing, _HINT), control.cursor() as cursor:
        if _status(control, name, doing) == "lost":
            _log.info("%s: slot %s exceeded max_slot_wal_keep_size: created again", doing, name)
            cursor.execute("SELECT pg_drop_replication_slot(%s)", (name,))
        if _status(control, name, doing) is None:
            cursor.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))


def release_before(control: connection, name: str, position: str, doing: str) -> None:
    """Lets the server recycle the log before `position` (an LSN), which is in the vault."""
    if _status(control, name, doing) in (None, "lost"):
        return
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute(
            "SELECT pg_replication_slot_advance(slot_name, %s::pg_lsn) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active AND restart_lsn < %s::pg_lsn",
            (position, name, position),
        )


def drop(control: connection, name: str, doing: str) -> None:
    """Removes the component's own slot, if there is one."""
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active",
            (name,),
        )


def _status(control: connection, name: str, doing: str) -> str | None:
    """pg_replication_slots.wal_status, for example 'lost'; None when there is no such slot."""
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(wal_status, 'reserved') FROM pg_replication_slots WHERE slot_name = %s", (name,)
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])
