"""The catalog: the points and recoveries of the vault, read once from its log and kept in SQLite.

The vault is the truth; the catalog is a cache of its commit log and can be thrown away (`undivided catalog
rebuild`). It also keeps the log's head as this client last saw it, so that a vault that was rolled back or
forked is noticed. Points are ordered by their place in the log, never by a clock.

It never holds a secret, and no names of files, except in the notes of points.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ..model.errors import DamageError, UndividedError, UsageError
from ..model.point import RecoveryPoint
from ..model.times import HINT, local, parse_time
from .point_names import find_named
from .tables import SCHEMA, VERSION, EntryRow, insert, point_of

_REBUILD = "Run `undivided catalog rebuild`: the catalog is a cache of the vault."


class VaultLog(Protocol):
    """What the catalog needs of a vault."""

    @property
    def id(self) -> str: ...

    def log(self, after: int = 0, *, refresh: bool = True) -> Iterator[EntryRow]: ...


class Catalog:
    """One open catalog file. Not to be shared between threads."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self._database = database

    @staticmethod
    def open(path: Path) -> Catalog:
        """Opens the catalog, or makes an empty one. Raises UndividedError when the file is no catalog."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.close(descriptor)
            database = sqlite3.connect(path, timeout=30, isolation_level=None)
            (version,) = database.execute("PRAGMA user_version").fetchone()
            # NORMAL may lose the last entries in a power failure, and then reads them again from the vault.
            database.execute("PRAGMA synchronous = NORMAL")
            if version == 0:
                database.execute("PRAGMA journal_mode = WAL")
                _create(database)
            if version in (0, VERSION):
                database.execute("SELECT count(*) FROM meta")
        except (sqlite3.Error, OSError) as error:
            raise _unreadable(path, error) from error
        if version not in (0, VERSION):
            raise UndividedError(
                f"the catalog has version {version}, and this program reads {VERSION}",
                doing=f"open {path}",
                hint=_REBUILD,
            )
        return Catalog(path, database)

    def close(self) -> None:
        self._database.close()

    @property
    def vault(self) -> str:
        """Id of the vault it was read from; empty before the first read."""
        return str(self._meta("vault", ""))

    @property
    def head(self) -> tuple[int, str]:
        """Number and digest of the last log entry seen; (0, "") before any."""
        return int(self._meta("number", 0)), str(self._meta("digest", ""))

    def refuse_other_vault(self, vault: str) -> None:
        """Raises UsageError when the catalog was read from another vault than the one of this id."""
        if self.vault not in ("", vault):
            raise UsageError(
                "the catalog belongs to another vault", doing=f"use the catalog {self.path}", hint=_REBUILD
            )

    def follow(self, vault: VaultLog, *, refresh: bool = True) -> int:
        """Reads what was appended to the vault's log since, all or nothing; returns how many entries.

        refresh: False for a vault just opened, which need not be asked again.
        """
        try:
            with _transaction(self._database):
                self.refuse_other_vault(vault.id)
                number, digest = first, _ = self.head
                for entry in vault.log(number, refresh=refresh):
                    insert(self._database, entry)
                    number, digest = entry.number, entry.digest
                if number > first or not self.vault:
                    rows = [("vault", vault.id), ("number", number), ("digest", digest)]
                    self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
                return number - first
        except sqlite3.Error as error:
            raise _unreadable(self.path, error) from error

    def services(self) -> list[str]:
        """The services that have points, by name."""
        return [row[0] for row in self.rows("SELECT DISTINCT service FROM points ORDER BY service")]

    def points(self, service: str | None = None, limit: int | None = None) -> list[RecoveryPoint]:
        """Points of a service, or of all; the newest `limit` of them; oldest first."""
        where, values = ("service = ?", (service,)) if service is not None else ("1", ())
        return self._select(where, values, "number DESC", limit)[::-1]

    def count(self) -> int:
        """How many points there are, of all services."""
        return int(self.rows("SELECT count(*) FROM points")[0][0])

    def newest(self, service: str) -> RecoveryPoint | None:
        found = self.points(service, 1)
        return found[0] if found else None

    def point(self, service: str, at: str = "latest", now_ns: int | None = None) -> RecoveryPoint:
        """The point that `at` means: latest, an id or its beginning, or a time, which means the last point
        not after it.

        Raises UsageError when there is none.
        """
        doing = f"find a point of {service}"
        newest = self.newest(service)
        if newest is None:
            raise UsageError(
                f"{service} has no points", doing=doing, hint=f"Run `undivided protect {service}`."
            )
        if at.strip().lower() == "latest":
            return newest
        named = find_named(self, at, service, doing=doing)
        if named:
            return self._points("number = ?", service, named.number)[0]
        try:
            wanted = parse_time(at, now_ns)
        except UsageError:
            hint = f"{HINT} `undivided points {service}` lists the points."
            raise UsageError(f"neither a point nor a time: {at!r}", doing=doing, hint=hint) from None
        before = self._points("time_ns <= ?", service, wanted, order="time_ns DESC, number DESC", limit=1)
        if not before:
            first = local(self._points("1", service, order="time_ns", limit=1)[0].time_ns)
            cause = f"there is no point at or before {local(wanted)}"
            raise UsageError(cause, doing=doing, hint=f"The first point is of {first}.")
        return before[0]

    def pinned(self) -> set[str]:
        """Ids of the pinned points."""
        return {point for (point,) in self.rows("SELECT point FROM pins")}

    def recoveries(self, service: str | None = None) -> list[dict[str, Any]]:
        """Records of recoveries with their `number` and `time_ns`, oldest first."""
        where, given = ("WHERE service = ?", (service,)) if service is not None else ("", ())
        rows = self.rows(f"SELECT number, time_ns, record FROM recoveries {where} ORDER BY number", given)  # noqa: S608
        return [{**json.loads(record), "number": n, "time_ns": t} for n, t, record in rows]

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; its text is ours, never input."""
        return list(self.each(query, values))

    def each(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """The same rows one by one, for queries with many."""
        try:
            yield from self._database.execute(query, values)
        except UnicodeEncodeError:
            return  # UTF-8 cannot hold a text made of other bytes on the command line: no row is equal to it
        except sqlite3.Error as error:
            raise _unreadable(self.path, error) from error

    def dump(self) -> list[str]:
        """Everything in it, as SQL: two catalogs of one vault are equal when their dumps are."""
        return list(self._database.iterdump())

    def _points(
        self, where: str, service: str, *values: Any, order: str = "number", limit: int | None = None
    ) -> list[RecoveryPoint]:
        return self._select(f"service = ? AND {where}", (service, *values), order, limit)

    def _select(
        self, where: str, values: tuple[Any, ...], order: str, limit: int | None
    ) -> list[RecoveryPoint]:
        """where, order: our own text, never input."""
        rows = self.rows(
            "SELECT number, record, d.definition FROM points"  # noqa: S608
            " JOIN definitions d ON digest = points.definition"
            f" WHERE {where} ORDER BY {order} LIMIT ?",
            (*values, -1 if limit is None else limit),
        )
        return [point_of(self._database, *row) for row in rows]

    def _meta(self, key: str, default: Any) -> Any:
        rows = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else default


def rebuild(path: Path, vault: VaultLog) -> Catalog:
    """A new catalog from the vault's whole log, in place of the file `path`.

    It is built in another file and renamed, so that an interrupted rebuild leaves the old one.
    """
    aside = path.with_name(f"{path.name}.rebuilt")
    discard(aside)
    fresh = Catalog.open(aside)
    try:
        fresh.follow(vault)
        fresh._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        fresh.close()
    try:
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        aside.replace(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return Catalog.open(path)


def discard(path: Path) -> None:
    """Removes a catalog file and the files that SQLite keeps next to it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _create(database: sqlite3.Connection) -> None:
    """The empty tables, unless another process made them first."""
    with _transaction(database):
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {VERSION}")


class _transaction:
    """BEGIN IMMEDIATE … COMMIT, rolled back by any exception."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def __enter__(self) -> None:
        self.database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        self.database.execute("COMMIT" if kind is None else "ROLLBACK")


def _unreadable(path: Path, error: Exception) -> UndividedError:
    cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
    kind = DamageError if isinstance(error, sqlite3.DatabaseError) else UndividedError
    broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
    return (kind if broken else UndividedError)(cause, doing=f"use the catalog {path}", hint=_REBUILD)
