"""Processes that write to a SQLite database as fast as they can, and record each acknowledged commit.

A writer counts: it inserts 0, 1, 2, … each in its own transaction, and appends a byte to a file once the
commit has returned. So the size of that file is the number of acknowledged commits, and a database must hold
a prefix of a writer's numbers, without gaps.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_WRITER = """
import os, sqlite3, sys, time
name, database, acknowledged, setup = sys.argv[1:5]
ledger = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
connection = sqlite3.connect(database, timeout=60, isolation_level=None)
connection.execute(setup)
number = 0
while True:
    filling = "x" * (number * 37 % 3000)
    connection.execute("INSERT INTO tokens VALUES (?, ?, ?)", (name, number, filling))
    os.write(ledger, b".")
    number += 1
    # SQLite has no queue for writers: one that never pauses keeps all others out.
    time.sleep(number % 3 / 1000)
"""
_CHECKPOINTER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=1, isolation_level=None)
kinds = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]
turn = 0
while True:
    try:
        connection.execute(f"PRAGMA wal_checkpoint({kinds[turn % 4]})").fetchall()
    except sqlite3.OperationalError:
        pass
    turn += 1
    time.sleep(0.003)
"""


def make(path: Path, journal_mode: str) -> None:
    """An empty database of tokens."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.execute("CREATE TABLE tokens (writer TEXT, number INTEGER, filling TEXT)")
        connection.execute("CREATE INDEX by_writer ON tokens (writer, number)")


class Writers:
    """Running writer processes. acknowledged: the number of commits of each that have returned."""

    def __init__(self, path: Path, names: str, setup: str) -> None:
        self._ledgers = {name: path.parent / f"acknowledged-{name}" for name in names}
        self.processes = {
            name: _run(_WRITER, name, str(path), str(ledger), setup) for name, ledger in self._ledgers.items()
        }

    def acknowledged(self) -> dict[str, int]:
        return {name: f.stat().st_size if f.exists() else 0 for name, f in self._ledgers.items()}

    def wait_for_more(self, count: int = 5) -> None:
        """Waits until all together have committed `count` more."""
        goal = sum(self.acknowledged().values()) + count
        until = time.monotonic() + 60
        while sum(self.acknowledged().values()) < goal:
            assert time.monotonic() < until, f"writers stand still at {self.acknowledged()}"
            time.sleep(0.002)


@contextlib.contextmanager
def writing(path: Path, names: str, setup: str, *, checkpointing: bool = False) -> Iterator[Writers]:
    """Running writers, one for each letter of `names`; setup: the first statement of each."""
    writers = Writers(path, names, setup)
    others = [_run(_CHECKPOINTER, str(path))] if checkpointing else []
    try:
        until = time.monotonic() + 60
        while not all(writers.acknowledged().values()):
            assert time.monotonic() < until, "a writer does not start"
            time.sleep(0.002)
        yield writers
    finally:
        for process in [*writers.processes.values(), *others]:
            process.kill()
            process.wait()


class MortalWriters(Writers):
    """Writers that are killed at any moment, one or all, and replaced by others."""

    def __init__(self, path: Path, setup: str) -> None:
        super().__init__(path, "", setup)
        self._path, self._setup = path, setup
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        pauses = itertools.cycle([0.05, 0.13, 0.09, 0.2, 0.07])
        alive: list[subprocess.Popen[bytes]] = []
        for number in itertools.count():
            ledger = self._path.parent / f"acknowledged-{number}"
            self._ledgers = {**self._ledgers, str(number): ledger}
            alive.append(_run(_WRITER, str(number), str(self._path), str(ledger), self._setup))
            stop = self._stop.wait(next(pauses))
            for process in alive[: len(alive) if stop or number % 7 == 0 else len(alive) - 2]:
                process.kill()
                process.wait()
                alive.remove(process)
            if stop:
                return

    def __enter__(self) -> MortalWriters:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()


def tokens(path: Path) -> dict[str, list[int]]:
    """The numbers of each writer in a database, after an integrity check."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found: dict[str, list[int]] = {}
        for writer, number in connection.execute("SELECT writer, number FROM tokens ORDER BY writer, number"):
            found.setdefault(writer, []).append(number)
        return found


def _run(program: str, *words: str) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ.get("PATH", "")}
    return subprocess.Popen([sys.executable, "-I", "-c", program, *words], env=environment)
