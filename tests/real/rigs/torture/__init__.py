"""Tokens that cross five kinds of component in random directions, and the law they keep.

A token is a number with a cause: another token, in another component, that was acknowledged before this one
was begun. So at any one instant the cause of whatever exists, exists. `broken` lists where a state of the
five breaks that law; the parts of a state that are of different instants break it almost surely.

Every component is written to by its own kind of client and is to be held by its own means. Files are written
by a process of their own, the scribe, with a pid file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..servers import MariaDB, PostgreSQL, Redis

COMPONENTS = ("rows", "tables", "keys", "book", "tree")
"""PostgreSQL, MariaDB, Redis, SQLite, files."""

Tokens = Mapping[str, Mapping[int, tuple[str, int] | None]]
"""Component → token → its cause: component and token, or None for the first of all."""


@dataclass(frozen=True)
class Ground:
    """One place where the five live. The ports are PostgreSQL's, MariaDB's and Redis's."""

    home: Path
    ports: tuple[int, int, int]

    @property
    def postgresql(self) -> PostgreSQL:
        return PostgreSQL(self.home / "rows", self.ports[0])

    @property
    def mariadb(self) -> MariaDB:
        return MariaDB(self.home / "tables", self.ports[1])

    @property
    def redis(self) -> Redis:
        return Redis(self.home / "keys", self.ports[2])

    @property
    def sqlite(self) -> Path:
        return self.home / "book/tokens.db"

    @property
    def tree(self) -> Path:
        return self.home / "tree"

    @property
    def scribe_pid(self) -> Path:
        return self.home / "scribe.pid"

    @property
    def scribe_socket(self) -> Path:
        return self.home / "scribe.sock"

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    def configure(self) -> None:
        """Everything but the data."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o755)
        self.postgresql.configure()
        self.mariadb.configure()
        self.redis.configure()

    def create(self) -> None:
        """Five empty components, running."""
        self.configure()
        for server in (self.postgresql, self.mariadb, self.redis):
            server.create()
            server.start()
        self.sqlite.parent.mkdir()
        self.tree.mkdir()
        with self.postgresql.connect() as connection, connection.cursor() as sql:
            sql.execute("CREATE TABLE tokens (token bigint PRIMARY KEY, cause text NOT NULL)")
        with self.mariadb.connect() as connection, connection.cursor() as sql:
            sql.execute("CREATE DATABASE torture")
            sql.execute("CREATE TABLE torture.tokens (token bigint PRIMARY KEY, cause text NOT NULL)")
        book = self.open_book()
        book.execute("CREATE TABLE tokens (token INTEGER PRIMARY KEY, cause TEXT NOT NULL)")
        book.close()

    def open_book(self) -> sqlite3.Connection:
        book = sqlite3.connect(self.sqlite, isolation_level=None, timeout=60)
        book.execute("PRAGMA journal_mode=WAL")
        return book

    def where(self) -> dict[str, dict[str, Any]]:
        """The paths and ports of the five: a service file's and a target's."""
        return {
            "rows": {
                "path": str(self.postgresql.data),
                "socket": str(self.postgresql.run),
                "port": self.postgresql.port,
            },
            "tables": {
                "path": str(self.mariadb.data),
                "socket": str(self.mariadb.socket),
                "port": self.mariadb.port,
                "defaults": str(self.mariadb.defaults),
            },
            "keys": {
                "path": str(self.redis.data),
                "port": self.redis.port,
                "config": str(self.redis.config),
            },
            "book": {"path": str(self.sqlite)},
            "tree": {"path": str(self.tree)},
        }

    def tokens(self) -> Tokens:
        """All there is, read from one component after the other."""
        with self.postgresql.connect() as connection, connection.cursor() as sql:
            sql.execute("SELECT token, cause FROM tokens")
            rows = dict(sql.fetchall())
        with self.mariadb.connect() as connection, connection.cursor() as sql:
            sql.execute("SELECT token, cause FROM torture.tokens")
            tables = dict(sql.fetchall())
        keys = {int(token): cause for token, cause in self.redis.connect().hgetall("tokens").items()}
        book = self.open_book()
        written = dict(book.execute("SELECT token, cause FROM tokens").fetchall())
        book.close()
        found = zip(COMPONENTS, (rows, tables, keys, written, self._tree_tokens()), strict=True)
        return {name: {token: parsed(cause) for token, cause in part.items()} for name, part in found}

    def _tree_tokens(self) -> dict[int, str]:
        """Tokens of both shapes: a file each, and lines of logs that grow."""
        found = {int(path.stem): path.read_text() for path in self.tree.glob("*/*.token")}
        for log in self.tree.glob("*.log"):
            for line in log.read_text().splitlines():
                token, cause = line.split(" ", 1)
                found[int(token)] = cause
        return found


def parsed(cause: str) -> tuple[str, int] | None:
    if cause == "none":
        return None
    component, token = cause.split(":")
    return component, int(token)


def broken(tokens: Tokens) -> list[str]:
    """Effects without their cause."""
    return [
        f"token {token} of {name} has no cause: token {cause[1]} of {cause[0]} is not there"
        for name, part in tokens.items()
        for token, cause in part.items()
        if cause is not None and cause[1] not in tokens[cause[0]]
    ]


def acknowledged(journal: Path) -> list[tuple[str, int, int]]:
    """Component, token, and when it was acknowledged (nanoseconds since the epoch)."""
    lines = (json.loads(line) for line in journal.read_text().split("\n")[:-1])
    return [(component, token, at) for component, token, at in lines]


def lost(tokens: Tokens, journal: Path, instant: float) -> list[str]:
    """Tokens acknowledged before the instant that are not there."""
    return [
        f"token {token} of {component} was acknowledged and is not there"
        for component, token, at in acknowledged(journal)
        if at < instant and token not in tokens[component]
    ]
