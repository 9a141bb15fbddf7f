"""The portal's orders: four stores that refer to one another, and the check of every reference.

One order is written in this order, each step durable before the next begins:

    row (begun) ──▶ file ──▶ audit entry ──▶ row (complete) ──▶ cache entry ──▶ reply to the customer

So at any one instant every effect has its cause: a cached order is complete, a complete order is audited, an
audited order has its file, a file has its row. An order cut off in the middle was never acknowledged; it is
`in flight`, and harmless. A backup with parts of different instants breaks these rules, and `examine` finds
that. It needs no pause: it reads effects before their causes, so new orders never look like damage.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import valkey

TABLES = """
CREATE SEQUENCE order_number;
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer text NOT NULL,
    placed timestamptz NOT NULL DEFAULT clock_timestamp(),
    file text NOT NULL,
    sha256 text NOT NULL,
    size integer NOT NULL,
    audit bigint,
    complete boolean NOT NULL DEFAULT false
)
"""
AUDIT = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, "order" INTEGER NOT NULL UNIQUE, file TEXT NOT NULL, sha256 TEXT NOT NULL, at TEXT
    NOT NULL
)
"""


@dataclass(frozen=True)
class Site:
    """The places of the portal's parts: a directory and three ports, kept in etc/site.json."""

    root: Path
    web: int
    db: int
    cache: int

    @staticmethod
    def load(root: Path) -> Site:
        ports = json.loads((root / "etc/site.json").read_text())
        return Site(root, web=ports["web"], db=ports["db"], cache=ports["cache"])

    def save(self) -> None:
        (self.root / "etc/site.json").write_text(
            json.dumps({"web": self.web, "db": self.db, "cache": self.cache})
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    def postgresql(self, database: str = "portal") -> Any:
        connection = psycopg2.connect(
            host=str(self.root / "run"), port=self.db, user="postgres", dbname=database, connect_timeout=5
        )
        connection.autocommit = True
        return connection


class Books:
    """One thread's connections to all four stores."""

    def __init__(self, site: Site) -> None:
        self.uploads = site.root / "uploads"
        self.db = site.postgresql()
        self.cache: Any = valkey.Valkey(host="127.0.0.1", port=site.cache, socket_timeout=10)
        self.audit = sqlite3.connect(site.root / "audit/audit.db", isolation_level=None, timeout=10)
        self.audit.execute("PRAGMA journal_mode=WAL")
        self.audit.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        self.db.close()
        self.cache.close()
        self.audit.close()

    def place(self, customer: str, upload: bytes) -> tuple[int, str]:
        """Writes one order everywhere. Returns its number and its file's hash once all of it is durable."""
        sha256 = hashlib.sha256(upload).hexdigest()
        with self.db.cursor() as sql:
            sql.execute("SELECT nextval('order_number')")
            order: int = sql.fetchone()[0]
            name = f"{order % 100:02d}/order-{order:06d}.bin"
            sql.execute(
                "INSERT INTO orders (id, customer, file, sha256, size) VALUES (%s, %s, %s, %s, %s)",
                (order, customer, name, sha256, len(upload)),
            )
            write_durably(self.uploads / name, upload)
            audit = self.audit.execute(
                """INSERT INTO entries ("order", file, sha256, at) VALUES (?, ?, ?, datetime('now'))""",
                (order, name, sha256),
            ).lastrowid
            sql.execute("UPDATE orders SET complete = true, audit = %s WHERE id = %s", (audit, order))
        with self.cache.pipeline() as pipe:
            pipe.hset("orders", str(order), sha256)
            pipe.lpush("recent", str(order))
            pipe.ltrim("recent", 0, 9)
            pipe.execute()
        return order, sha256

    def fetch(self, order: int) -> tuple[bytes, dict[str, str]]:
        """An order's file, and its hash as each store has it. KeyError when the order is not complete."""
        with self.db.cursor() as sql:
            sql.execute("SELECT file, sha256 FROM orders WHERE id = %s AND complete", (order,))
            row = sql.fetchone()
        if row is None:
            raise KeyError(order)
        entry = self.audit.execute("""SELECT sha256 FROM entries WHERE "order" = ?""", (order,)).fetchone()
        cached = self.cache.hget("orders", str(order))
        hashes = {
            "row": row[1],
            "audit": entry[0] if entry else "",
            "cache": cached.decode() if cached else "",
        }
        return (self.uploads / row[0]).read_bytes(), hashes

    def front_page(self) -> dict[str, Any]:
        recent = [int(order) for order in self.cache.lrange("recent", 0, 9)]
        return {"orders": self.cache.hlen("orders"), "recent": recent}

    def examine(self) -> dict[str, Any]:
        """Every reference, both ways. `broken` is empty for a portal that is whole."""
        broken: list[str] = []
        cached = {int(order): sha.decode() for order, sha in self.cache.hgetall("orders").items()}
        complete = self._rows("WHERE complete", broken)
        audited = {
            order: (file, sha)
            for order, file, sha in self.audit.execute("""SELECT "order", file, sha256 FROM entries""")
        }
        files = {str(path.relative_to(self.uploads)) for path in self.uploads.glob("*/*.bin")}
        rows = self._rows("", broken)

        for order, sha in cached.items():
            if order not in complete or complete[order][1] != sha:
                broken.append(f"cached order {order} is not a complete row with that hash")
        for order, row in complete.items():
            if audited.get(order) != row:
                broken.append(f"complete order {order} has no audit entry that agrees")
        for order, (file, sha) in audited.items():
            if file not in files:
                broken.append(f"audited order {order} has lost its file {file}")
            elif hashlib.sha256((self.uploads / file).read_bytes()).hexdigest() != sha:
                broken.append(f"the file of order {order} has the wrong content")
        known = {file for file, _ in rows.values()}
        broken += [f"upload {file} belongs to no order" for file in sorted(files - known)]
        return {
            "orders": len(complete),
            "uploads": len(files),
            "audited": len(audited),
            "cached": len(cached),
            "in_flight": len(rows.keys() - complete.keys()),
            "broken": broken,
        }

    def _rows(self, where: str, broken: list[str]) -> dict[int, tuple[str, str]]:
        with self.db.cursor() as sql:
            try:
                sql.execute(f"SELECT id, file, sha256 FROM orders {where}")
            except psycopg2.errors.UndefinedTable:
                if "the table orders is gone" not in broken:
                    broken.append("the table orders is gone")
                return {}
            return {order: (file, sha) for order, file, sha in sql.fetchall()}


def write_durably(path: Path, data: bytes) -> None:
    """A whole file or none: written under another name, synced, renamed, and the directory synced."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def opened(site: Site) -> Iterator[Books]:
    books = Books(site)
    try:
        yield books
    finally:
        books.close()
