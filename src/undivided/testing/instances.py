"""One running application of each kind, as the driver contract sees it: it stores tokens.

A token is a word. `write` returns when the application has acknowledged it, `read_all` returns the tokens in
a running instance. The contract suite needs nothing else from an application, so one more class here puts a
new driver through the whole suite.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..drivers.redis.resp import RedisAddress, RedisConnection
from ..model.service import Component
from . import mariadb, postgresql
from .ports import free_port
from .redis import RedisServer
from .sqlite import make

FILLING = 400_000
"""Bytes that are there from the start, so that a test can see how little a later point moves."""


class Instance(Protocol):
    """A running original. `root`: a directory that the application's account can reach, for copies."""

    component: Component
    root: Path

    def write(self, token: str) -> None:
        """Returns once acknowledged. From any thread."""
        ...

    def read_all(self, component: Component) -> set[str]:
        """The tokens in the running instance of `component`."""
        ...

    def elsewhere(self, name: str) -> Component:
        """The component at another place beneath `root`, with other ports and sockets."""
        ...

    def kill(self) -> None:
        """Ends the original like a crash; without a server, removes the data."""
        ...

    def close(self) -> None: ...


class FilesInstance:
    """A tree, and one process that writes into it on command: a file for each token."""

    _WRITER = (
        "import os, sys\n"
        "for line in sys.stdin:\n"
        "    with open(os.path.join(sys.argv[1], line.strip()), 'w') as file:\n"
        "        file.write(line)\n"
        "    print('done', flush=True)\n"
    )

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="und-files-"))
        self._tree = self.root / "live"
        self._tree.mkdir()
        (self._tree / ".filling").write_bytes(os.urandom(FILLING))
        self._writer = subprocess.Popen(
            [sys.executable, "-I", "-c", self._WRITER, str(self._tree)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        (self.root / "pid").write_text(str(self._writer.pid))
        writers = {"pidfile": str(self.root / "pid"), "freeze": "stop"}
        self.component = Component("site", "files", {"path": str(self._tree), "writers": writers})

    def write(self, token: str) -> None:
        assert self._writer.stdin is not None and self._writer.stdout is not None
        self._writer.stdin.write(token.encode() + b"\n")
        self._writer.stdin.flush()
        assert self._writer.stdout.readline() == b"done\n"

    def read_all(self, component: Component) -> set[str]:
        return {name for name in os.listdir(component.options["path"]) if not name.startswith(".")}

    def elsewhere(self, name: str) -> Component:
        return self.component.at({"path": str(self.root / name)})

    def kill(self) -> None:
        shutil.rmtree(self._tree)

    def close(self) -> None:
        with self._writer:
            self._writer.kill()
        shutil.rmtree(self.root)


class PostgreSQLInstance:
    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            self.root = stack.enter_context(postgresql.scratch())
            self._server = stack.enter_context(postgresql.running_server(self.root / "live"))
            self._server.sql("CREATE TABLE tokens (token text)")
            self._owned = stack.pop_all()
        self.component = self._server.component()

    def write(self, token: str) -> None:
        self._server.sql("INSERT INTO tokens VALUES (%s)", [token])

    def read_all(self, component: Component) -> set[str]:
        place = {"host": component.options["socket"], "port": component.options["port"]}
        return {row[0] for row in self._server.sql("SELECT token FROM tokens", **place)}

    def elsewhere(self, name: str) -> Component:
        place = self.root / name
        place.mkdir(mode=0o755)
        owner = postgresql.account()
        os.chown(place, owner.uid, owner.gid)
        there = {"socket": str(place), "port": free_port(), "path": str(place / "data")}
        return self.component.at(there)

    def kill(self) -> None:
        self._server.stop()

    def close(self) -> None:
        self._owned.close()


class MariaDBInstance:
    def __init__(self) -> None:
        self._server = mariadb.MariaDBServer()
        self.root = self._server.directory
        self._server.run("CREATE DATABASE shop", "CREATE TABLE shop.tokens (token VARCHAR(100))")
        self.component = self._server.component(port=self._server.port)

    def write(self, token: str) -> None:
        with self._server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO shop.tokens VALUES (%s)", [token])

    def read_all(self, component: Component) -> set[str]:
        rows = self._server.rows("SELECT token FROM shop.tokens", unix_socket=component.options["socket"])
        return {row[0] for row in rows}

    def elsewhere(self, name: str) -> Component:
        there = {
            "socket": f"{self.root}/{name}.s",
            "port": free_port(),
            "path": str(self.root / name),
        }
        return self.component.at(there)

    def kill(self) -> None:
        self._server.kill()

    def close(self) -> None:
        self._server.close()


class RedisInstance:
    def __init__(self) -> None:
        self._server = RedisServer()
        self.root = self._server.directory
        self._server.call("SET", "filling", os.urandom(FILLING))
        self.component = self._server.component

    def write(self, token: str) -> None:
        with contextlib.closing(self._server.connect()) as connection:
            connection.timeout(60)
            connection.call("SADD", "tokens", token)

    def read_all(self, component: Component) -> set[str]:
        with contextlib.closing(
            RedisConnection(RedisAddress(socket=component.options["socket"]))
        ) as connection:
            members = connection.call("SMEMBERS", "tokens")
        assert isinstance(members, list)
        return {member.decode() for member in members if isinstance(member, bytes)}

    def elsewhere(self, name: str) -> Component:
        return self.component.at({"socket": f"{self.root}/{name}.s", "path": str(self.root / name)})

    def kill(self) -> None:
        self._server.kill()

    def close(self) -> None:
        self._server.close()


class SQLiteInstance:
    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="und-sqlite-"))
        self._path = self.root / "live" / "shop.db"
        self._path.parent.mkdir()
        make(self._path, "wal")
        # Kept open, as by an application, so that the WAL outlives each writer.
        self._open = self._connect(self._path)
        self._open.execute("INSERT INTO tokens VALUES ('.filling', 0, ?)", (os.urandom(FILLING),))
        self.component = Component("db", "sqlite", {"path": str(self._path)})

    def write(self, token: str) -> None:
        with contextlib.closing(self._connect(self._path)) as connection:
            connection.execute("INSERT INTO tokens VALUES (?, 0, '')", (token,))

    def read_all(self, component: Component) -> set[str]:
        with contextlib.closing(self._connect(Path(component.options["path"]))) as connection:
            rows = connection.execute("SELECT writer FROM tokens WHERE writer <> '.filling'")
            return {row[0] for row in rows}

    def elsewhere(self, name: str) -> Component:
        return self.component.at({"path": str(self.root / name / "other.db")})

    def kill(self) -> None:
        self._open.close()
        shutil.rmtree(self._path.parent)

    def close(self) -> None:
        self._open.close()
        shutil.rmtree(self.root)

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)


def missing(kind: str) -> str:
    """Why an instance of this kind cannot be started here; empty if it can."""
    if kind == "mariadb":
        return mariadb.missing()
    if kind == "redis" and shutil.which("redis-server") is None:
        return "not installed: redis-server"
    if kind == "postgresql" and not postgresql.installations():
        return "not installed: postgresql, and no wheel of it"
    return ""


INSTANCES: dict[str, Callable[[], Any]] = {
    "files": FilesInstance,
    "mariadb": MariaDBInstance,
    "postgresql": PostgreSQLInstance,
    "redis": RedisInstance,
    "sqlite": SQLiteInstance,
}
