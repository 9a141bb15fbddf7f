"""A real MariaDB in its own directory, on its own socket and a free port.

As root it runs under the account `mysql`, as MariaDB requires; else under the present account.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pymysql

from ..drivers.mariadb import MariaDBDriver
from ..drivers.mariadb.processes import serving
from ..drivers.mariadb.programs import MariaDBOwner
from ..model.point import ComponentPoint
from ..model.service import Component
from .memory import MemorySink, MemorySource
from .ports import free_port

_TIMEOUT = 60.0


class MariaDBServer:
    """A running mariadbd, by default with a binary log. The end of the context stops it and removes its
    directory.

    settings: further lines of my.cnf. `directory` has room for restored copies that the account can reach.
    """

    def __init__(self, *settings: str, binary_log: bool = True) -> None:
        # Not pytest's tmp_path: a UNIX socket's path must be short, and the account must be able to enter.
        self.directory = Path(tempfile.mkdtemp(prefix="und-mariadb-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.owner = MariaDBOwner.fit(0, 0)
        self.data = self.directory / "data"
        self.socket = str(self.directory / "s")
        self.port = free_port()
        self.defaults = self.directory / "my.cnf"
        log = ["log_bin=mysql-bin", "server_id=7"] if binary_log else ["skip_log_bin"]
        own = [
            f"datadir={self.data}",
            f"socket={self.socket}",
            f"port={self.port}",
            "bind_address=127.0.0.1",
            f"pid_file={self.directory}/pid",
            f"log_error={self.directory}/error.log",
            f"tmpdir={self.directory}",
            "innodb_buffer_pool_size=16M",
            "innodb_log_file_size=8M",
        ]
        self.defaults.write_text("\n".join(["[mariadbd]", *own, *log, *settings]) + "\n")
        self.owner.take(self.directory)
        try:
            self._install()
            self.start()
        except BaseException:
            self.close()
            raise

    def component(self, **options: Any) -> Component:
        return Component("db", "mariadb", {"socket": self.socket, "path": str(self.data), **options})

    def start(self) -> None:
        subprocess.run(
            ["setsid", "--fork", "mariadbd", f"--defaults-file={self.defaults}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            **self.owner.popen(),
        )
        until = time.monotonic() + _TIMEOUT
        while True:
            try:
                self.connect().close()
                return
            except pymysql.Error:
                assert time.monotonic() < until, self.log()
                time.sleep(0.02)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, like a crash."""
        self._end(signal.SIGKILL)

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            **{"unix_socket": self.socket, "user": "root", "autocommit": True, "read_timeout": 60, **options}
        )

    def rows(self, statement: str, **options: Any) -> list[tuple[Any, ...]]:
        """The result of one statement."""
        with self.connect(**options) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def run(self, *statements: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def restored(self, sink: MemorySink, point: ComponentPoint, name: str = "copy") -> Path:
        """A data directory restored from a point, next to the live one."""
        into = self.directory / name
        into.mkdir(mode=0o700)
        MariaDBDriver(self.component()).restore(MemorySource(sink, point), into)
        return into

    def log(self) -> str:
        file = self.directory / "error.log"
        return file.read_text(errors="replace")[-4000:] if file.exists() else ""

    def close(self) -> None:
        """Ends every server with a data directory beneath ours, and removes the whole directory."""
        for place in {self.data, *(p.parent for p in self.directory.glob("**/ibdata1"))}:
            self._end(signal.SIGKILL, place)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> MariaDBServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _install(self) -> None:
        done = subprocess.run(
            [
                "mariadb-install-db",
                f"--defaults-file={self.defaults}",
                f"--datadir={self.data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self.owner.popen(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _end(self, how: signal.Signals, place: Path | None = None) -> None:
        processes = serving(place or self.data)
        for process in processes:
            os.kill(process.pid, how)
        until = time.monotonic() + _TIMEOUT
        while serving(place or self.data):
            assert time.monotonic() < until, "the server does not end"
            time.sleep(0.02)


@contextmanager
def running(copy: Path, *options: str) -> Iterator[pymysql.Connection[Any]]:
    """A session of root on a server that runs on a restored copy, with its own socket."""
    path = str(copy.parent / f"{copy.name}.s")
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--datadir={copy}", f"--socket={path}", "--skip-networking", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **MariaDBOwner.of(copy).popen(),
    )
    try:
        until = time.monotonic() + _TIMEOUT
        while True:
            try:
                connection = pymysql.connect(unix_socket=path, user="root", autocommit=True)
                break
            except pymysql.Error:
                assert time.monotonic() < until and process.poll() is None, "the copy does not answer"
                time.sleep(0.02)
        with connection:
            yield connection
    finally:
        process.kill()
        process.wait()


def answer(connection: pymysql.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    """The result of one statement in an open session."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


NEEDS = ("mariadbd", "mariadb-backup", "mariadb-install-db")
"""Programs that these tests need."""


def missing() -> str:
    """Why these tests cannot run here; empty when they can."""
    absent = [p for p in NEEDS if shutil.which(p) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""
