"""Slots: how the server is asked to keep its log until we have it, and never for longer.

An orphan slot fills the server's disk, so there are two rules. While a point is being made, a temporary slot
keeps the log; it dies with our connection. Between points a slot of the component's own keeps it only where
the server caps what slots may retain (max_slot_wal_keep_size): then the worst an orphan can do is bounded,
and a slot that outgrew the cap costs us a new image and nobody a full disk. Where nothing is capped there is
no slot between points, and none of ours is left from the days when it was.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from .server import translated

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_HINT = "Raise max_replication_slots, or drop slots nobody uses (pg_replication_slots)."


def slot_name(component: str, directory: str) -> str:
    """The component's own slot: the same for every point, whoever makes it."""
    readable = re.sub(r"[^a-z0-9_]", "_", component.lower())[:40]
    return f"undivided_{readable}_{zlib.crc32(f'{component} {directory}'.encode()):08x}"


def keep_meanwhile(control: connection, doing: str) -> None:
    """Keeps the log from the last checkpoint on, for as long as this connection lives."""
    with translated(doing, _HINT), control.cursor() as cursor:
        cursor.execute(
            "SELECT pg_create_physical_replication_slot("
            "'undivided_' || pg_backend_pid() || '_temporary', true, true)"
        )


def keep_between(control: connection, name: str, doing: str) -> None:
    """Sees to it that the component's own slot exists and is alive."""
    with translated(doing, _HINT), control.cursor() as cursor:
        if _status(control, name, doing) == "lost":
            cursor.execute("SELECT pg_drop_replication_slot(%s)", (name,))
        if _status(control, name, doing) is None:
            cursor.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))


def let_go_before(control: connection, name: str, position: str, doing: str) -> None:
    """Lets the server recycle what lies before `position` (an LSN): it is safe in the vault."""
    if _status(control, name, doing) in (None, "lost"):
        return
    with translated(doing), control.cursor() as cursor:
        cursor.execute(
            "SELECT pg_replication_slot_advance(slot_name, %s::pg_lsn) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active AND restart_lsn < %s::pg_lsn",
            (position, name, position),
        )


def drop(control: connection, name: str, doing: str) -> None:
    """Removes the component's own slot, if there is one."""
    with translated(doing), control.cursor() as cursor:
        cursor.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active",
            (name,),
        )


def _status(control: connection, name: str, doing: str) -> str | None:
    """pg_replication_slots.wal_status, 'lost' among them; None when there is no such slot."""
    with translated(doing), control.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(wal_status, 'reserved') FROM pg_replication_slots WHERE slot_name = %s", (name,)
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])
