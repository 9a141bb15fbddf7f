"""A shop with a running application, protected by the command line: for faults of the whole product.

The application is a separate process. For each order it writes a row and then a whole file that names the
row. So no state ever has a file without a row, or more than one row without a file. The application works and
pauses on command, and is frozen with SIGSTOP. It never checkpoints its database by itself: on a slow machine
the log of the database would otherwise be restarted between two points, and the second one would need a new
image.
"""

from __future__ import annotations

import select
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from ..config.main_file import read_config
from ..config.service_file import parse_definition
from ..model.log_kinds import LogKind
from ..model.point import RecoveryPoint
from ..recovery.execute import execute
from ..recovery.plan import make_plan
from ..vault.stores.directory import DirectoryStore
from ..vault.vault import Vault
from ..vault.verify import Scope, verify
from .program import PASSPHRASE, Program

_TIMEOUT = 20.0
_APPLICATION = """
import os, select, sqlite3, sys
site, database = sys.argv[1:]
orders = sqlite3.connect(database, timeout=60, isolation_level=None)
orders.execute("PRAGMA wal_autocheckpoint = 0")
number, working = 0, False
while True:
    ready = select.select([0], [], [], 0.005 if working else None)[0]
    word = os.read(0, 1) if ready else b""
    if ready and not word:
        break
    working = {b"w": True, b"r": False}.get(word, working)
    if word == b"o" or not ready:
        number += 1
        orders.execute("INSERT INTO orders VALUES (?)", (number,))
        with open(f"{site}/orders/{number}.part", "w") as file:
            file.write("order %d\\n" % number * 20)
        os.rename(f"{site}/orders/{number}.part", f"{site}/orders/{number}.txt")
    if ready:
        os.write(1, b"%d\\n" % number)
"""


class Kiosk(Program):
    """service: its name; all its files are in `home`. A context manager: ends the application."""

    def __init__(self, home: Path, service: str = "kiosk") -> None:
        super().__init__(home)
        self.service = service
        self.site = home / service / "site"
        self.database = home / service / "orders.db"
        self.file = home / f"{service}.yaml"
        (self.site / "orders").mkdir(parents=True)
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _APPLICATION, str(self.site), str(self.database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        pid = home / service / "pid"
        pid.write_text(str(self._process.pid))
        self.file.write_text(
            f"service: {service}\n"
            "components:\n"
            f"  db:   {{kind: sqlite, path: {self.database}}}\n"
            f"  site: {{kind: files, path: {self.site}, writers: {{pidfile: {pid}, freeze: stop}}}}\n"
            "needs: {site: [db]}\n"
        )

    def protected(self) -> Kiosk:
        """Makes a configuration, a vault and one point with one order."""
        self.initialize()
        self("service", "apply", self.file)
        self.order()
        self.protect()
        return self

    def order(self) -> int:
        """Adds an order. Returns its number once the row and the file exist. Fails when the application does
        not answer."""
        return self._command(b"o")

    def work(self) -> None:
        """Lets the application add orders without a pause."""
        self._command(b"w")

    def rest(self) -> int:
        """Pauses the application. Returns the final number of orders."""
        return self._command(b"r")

    def protect(self) -> str:
        """Takes a point and returns its id."""
        return str(self("protect", self.service)["point"])

    def points(self) -> list[str]:
        """Ids, as listed."""
        return [point["id"] for point in self("points", self.service)["points"]]

    def cataloged(self) -> list[str]:
        """Ids of the points in the catalog."""
        with closing(sqlite3.connect(self.config / "state" / "catalog.db")) as catalog:
            return [point for (point,) in catalog.execute("SELECT id FROM points ORDER BY number")]

    def histories(self, component: str) -> set[str]:
        """The component's timelines in the catalog: more than one if it had to start a new one."""
        with closing(sqlite3.connect(self.config / "state" / "catalog.db")) as catalog:
            found = catalog.execute("SELECT DISTINCT timeline FROM components WHERE name = ?", (component,))
            return {timeline for (timeline,) in found}

    def orders(self, directory: Path | None = None) -> set[int]:
        """The orders here, or in a recovered directory. Raises AssertionError for a state that never
        existed."""
        site, database = (directory / "site", directory / "db") if directory else (self.site, self.database)
        files = {int(file.stem) for file in (site / "orders").glob("*.txt")}
        found = next(iter(sorted(database.glob("*.db"))), database) if database.is_dir() else database
        with closing(sqlite3.connect(found)) as connection:
            rows = {number for (number,) in connection.execute("SELECT number FROM orders")}
        assert files <= rows and len(rows - files) <= 1, (files, rows)
        for number in files:
            assert (site / "orders" / f"{number}.txt").read_text() == f"order {number}\n" * 20
        return rows

    def recovered(self, point: str) -> set[int]:
        """The orders in a point: recovers it to a new directory, in this process."""
        vault, into = self._opened(), self.home / f"recovered-{point}"
        records = [entry.body["point"] for entry in vault.log() if entry.kind == LogKind.POINT]
        (found,) = (RecoveryPoint.from_record(record) for record in records if record["id"] == point)
        plan = make_plan(parse_definition(found.definition, self.service), found, to=into)
        assert execute(plan, vault, state=self.home / "recoveries").ok
        return self.orders(into)

    @property
    def vault(self) -> Path:
        return self.config / "vault"

    def damaged(self) -> list[object]:
        """The damage that a verification of every byte finds."""
        return list(verify(self._opened(), Scope(read_data=True)).damaged)

    def _opened(self) -> Vault:
        (url,) = read_config((self.config / "config.yaml").read_text(), "config.yaml").vaults.values()
        return Vault.open(DirectoryStore(url), passphrase=lambda: PASSPHRASE)

    def _command(self, word: bytes) -> int:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(word)
        assert select.select([self._process.stdout], [], [], _TIMEOUT)[0], "the application does not answer"
        return int(self._process.stdout.readline())

    def __enter__(self) -> Kiosk:
        return self

    def __exit__(self, *raised: object) -> None:
        with self._process:
            self._process.kill()
