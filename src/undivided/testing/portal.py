"""A small real service for tests: an upload tree that a web server serves, and a SQLite database.

Each order is a row and an uploaded file that name each other, so a test sees one without the other. Commands
of the service file start and stop the web server.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from ..capture.protect import protect
from ..config.service_file import parse_definition
from ..model.point import RecoveryPoint
from ..model.service import Service
from ..vault.stores.directory import DirectoryStore
from ..vault.vault import Vault
from .ports import free_port

PASSPHRASE = "correct horse battery staple"  # noqa: S105  of vaults made by tests

_START = """
import http.client, os, subprocess, sys, time
port, site, pid = sys.argv[1:]
server = [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", site]
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
process = subprocess.Popen(server, start_new_session=True, **quiet)
with open(pid, "w") as file:
    file.write(str(process.pid))
deadline = time.monotonic() + 20
while True:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=1)
        connection.request("GET", "/")
        connection.getresponse()
        break
    except OSError:
        if time.monotonic() > deadline or process.poll() is not None:
            raise
        time.sleep(0.02)
"""
_STOP = """
import os, signal, sys, time
try:
    pid = int(open(sys.argv[1]).read())
    os.unlink(sys.argv[1])
    os.kill(pid, signal.SIGTERM)
    while open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.01)
except (FileNotFoundError, ProcessLookupError):
    pass
"""


class Portal:
    """The service in its own directory, and its vault. A context manager: ends the web server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.live = root / "live"
        self.site = self.live / "site"
        self.database = self.live / "audit.db"
        self.state = root / "state"
        self.port = free_port()
        self.pid_file = root / "server.pid"
        self.site.mkdir(parents=True)
        self._make_database()
        self.last: RecoveryPoint | None = None
        self._changed: dict[str, Any] = {}
        self.store = DirectoryStore(root / "vault")
        self._keys = Vault.create(self.store, PASSPHRASE).keys

    @property
    def vault(self) -> Vault:
        """Opened again, as by another process."""
        return Vault.open(self.store, keys=self._keys, passphrase=lambda: PASSPHRASE)

    def change(self, **sections: Any) -> None:
        """Replaces these sections of the service file."""
        self._changed.update(sections)

    def definition(self) -> dict[str, Any]:
        """The service file's values."""
        python = [sys.executable, "-I", "-c"]
        site = {
            "kind": "files",
            "path": str(self.site),
            "start": [*python, _START, str(self.port), str(self.site), str(self.pid_file)],
            "stop": [*python, _STOP, str(self.pid_file)],
        }
        plain = {
            "service": "portal",
            "components": {"site": site, "audit": {"kind": "sqlite", "path": str(self.database)}},
            "needs": {"site": ["audit"]},
            "checks": [{"http": f"http://127.0.0.1:{self.port}/", "expect": 200, "timeout": "5s"}],
        }
        return {**plain, **self._changed}

    def service(self) -> Service:
        return parse_definition(self.definition(), "portal.yaml")

    def protect(self) -> RecoveryPoint:
        self.last = protect(self.service(), self.vault, self.state, last=self.last)
        return self.last

    def order(self, number: int, *, size: int = 3000) -> None:
        """One order: a row and a file."""
        (self.site / "orders").mkdir(exist_ok=True)
        (self.site / "orders" / f"{number}.txt").write_bytes(b"%d " % number * (size // 4))
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("INSERT INTO orders VALUES (?)", (number,))

    def orders(self, site: Path | None = None, database: Path | None = None) -> set[int]:
        """The existing orders. Raises AssertionError unless rows and files agree."""
        with closing(sqlite3.connect(database or self.database)) as connection:
            rows = {number for (number,) in connection.execute("SELECT number FROM orders")}
        files = {int(file.stem) for file in (site or self.site).glob("orders/*.txt")}
        assert rows == files
        return rows

    def answers(self) -> bool:
        """Whether the web server listens."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _make_database(self) -> None:
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")

    def __enter__(self) -> Portal:
        return self

    def stop(self) -> None:
        """Ends the web server, even if only its pid file is known."""
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(self.pid_file.read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.answers() and time.monotonic() < deadline:
            time.sleep(0.01)

    def __exit__(self, *raised: object) -> None:
        self.stop()
