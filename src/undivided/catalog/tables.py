"""The catalog's tables, and how one entry of the commit log becomes rows.

Every row follows from one log entry and nothing else: no clock, no order of arrival, no local knowledge. So a
rebuilt catalog is identical to one that followed the log from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Protocol

from ..model.errors import DamageError
from ..model.log_kinds import LogKind
from ..model.point import RecoveryPoint

VERSION = 2

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE definitions (digest TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE points (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, service TEXT NOT NULL, time_ns INTEGER NOT NULL,
    definition TEXT NOT NULL REFERENCES definitions, session TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX points_of_service ON points (service, number);
CREATE INDEX points_by_time ON points (service, time_ns);
CREATE TABLE components (
    point INTEGER NOT NULL REFERENCES points, place INTEGER NOT NULL, name TEXT NOT NULL,
    timeline TEXT NOT NULL, sequence INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (point, place)
) WITHOUT ROWID;
CREATE TABLE recoveries (
    number INTEGER PRIMARY KEY, service TEXT NOT NULL, point TEXT NOT NULL, time_ns INTEGER NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX recoveries_of_service ON recoveries (service, number);
CREATE TABLE pins (point TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE expired (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, service TEXT NOT NULL, time_ns INTEGER NOT NULL,
    pruned INTEGER NOT NULL
);
CREATE INDEX expired_of_service ON expired (service, pruned);
CREATE TABLE entries (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, time_ns INTEGER NOT NULL);
CREATE TABLE sessions (number INTEGER PRIMARY KEY, session TEXT NOT NULL, time_ns INTEGER NOT NULL);
"""


_UNPIN = "DELETE FROM pins WHERE point = ?"


class EntryRow(Protocol):
    """The fields of a log entry that the catalog reads."""

    @property
    def number(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def session(self) -> str: ...
    @property
    def body(self) -> dict[str, Any]: ...


def insert(database: sqlite3.Connection, entry: EntryRow) -> None:
    """Inserts the rows of one entry. Kinds without a table only move the catalog's head.

    Raises DamageError for an entry without the fields of its kind.
    """
    try:
        _insert(database, entry)
    except (KeyError, TypeError, AttributeError) as error:
        raise DamageError(
            f"log entry {entry.number} is no {entry.kind} that this version can read: {error!r}",
            doing="read the vault's log",
            hint="If a newer version wrote it, use that version.",
        ) from error


def _insert(database: sqlite3.Connection, entry: EntryRow) -> None:
    database.execute("INSERT INTO entries VALUES (?, ?, ?)", (entry.number, entry.kind, entry.time_ns))
    if entry.kind == LogKind.SESSION:
        row = (entry.number, entry.session, entry.time_ns)
        database.execute("INSERT INTO sessions VALUES (?, ?, ?)", row)
    elif entry.kind == LogKind.POINT:
        _insert_point(database, entry)
    elif entry.kind == LogKind.PRUNE:
        _expire(database, entry)
    elif entry.kind == LogKind.PIN:
        change = "INSERT OR IGNORE INTO pins VALUES (?)" if entry.body["pinned"] else _UNPIN
        database.execute(change, (entry.body["point"],))
    elif entry.kind == LogKind.RECOVERY:
        body = entry.body
        recovered = (entry.number, body.get("service", ""), body.get("point", ""), entry.time_ns, _text(body))
        database.execute("INSERT INTO recoveries VALUES (?, ?, ?, ?, ?)", recovered)


def _insert_point(database: sqlite3.Connection, entry: EntryRow) -> None:
    """A second point of the same id is ignored, so that it cannot replace the first."""
    record = dict(entry.body["point"])
    definition = _text(record.pop("definition"))
    components = record.pop("components")
    digest = hashlib.sha256(definition.encode()).hexdigest()
    database.execute("INSERT OR IGNORE INTO definitions VALUES (?, ?)", (digest, definition))
    done = database.execute(
        "INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            entry.number,
            record["id"],
            record["service"],
            record["time_ns"],
            digest,
            entry.session,
            _text(record),
        ),
    )
    if not done.rowcount:
        return
    database.executemany(
        "INSERT INTO components VALUES (?, ?, ?, ?, ?, ?)",
        [
            (entry.number, place, name, part["timeline"], part["sequence"], _text(part))
            for place, (name, part) in enumerate(components.items())
        ],
    )


def _expire(database: sqlite3.Connection, entry: EntryRow) -> None:
    """Removes the points that a prune expired; their ids and times are kept."""
    expired = [(id,) for id in entry.body["expired_points"]]
    database.executemany(
        "INSERT OR REPLACE INTO expired SELECT number, id, service, time_ns, ? FROM points WHERE id = ?",
        [(entry.number, id) for (id,) in expired],
    )
    database.executemany(
        "DELETE FROM components WHERE point = (SELECT number FROM points WHERE id = ?)", expired
    )
    database.executemany("DELETE FROM points WHERE id = ?", expired)
    database.executemany(_UNPIN, expired)


def point_of(database: sqlite3.Connection, number: int, record: str, definition: str) -> RecoveryPoint:
    """The point as it was committed."""
    parts = database.execute(
        "SELECT name, record FROM components WHERE point = ? ORDER BY place", (number,)
    ).fetchall()
    values: dict[str, Any] = json.loads(record)
    values["components"] = {name: json.loads(part) for name, part in parts}
    values["definition"] = json.loads(definition)
    try:
        return RecoveryPoint.from_record(values)
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(
            f"log entry {number} is no point that this version can read: {error}",
            hint="If a newer version wrote it, use that version.",
        ) from error


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
