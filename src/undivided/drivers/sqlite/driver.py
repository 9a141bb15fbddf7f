"""The driver of SQLite: finds databases, describes one, and exchanges one in place.

There is no server: the application is any process that has the file open. It is started and stopped by the
options of the service file, if they are given; to hold it, SQLite's locks are enough.

A database is one file among others, so recovery in place exchanges the file and the files that belong to it
by name (-wal, -journal, -shm), and touches nothing else in the directory. The old files move out first, the
database before its log; the new database moves in last. So after a crash at any moment the place holds the
old database, or none, or the new one: never a new database with an old log, which SQLite would roll into it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import psutil

from ...host.atomic_files import sync_directory
from ...host.mounts import mount_of
from ...model.errors import SourceError, error_context
from ...model.point import ComponentPoint
from ...model.service import Component
from ..base import Description, Found, Health, Source
from ..support.service_control import start_by_options, stop_by_options
from ..support.swap import exchange
from .image import MAGIC, reader
from .restore import restore_database
from .session import SQLiteSession

_COMPANIONS = ("-wal", "-journal", "-shm")


class SQLiteDriver:
    """See drivers/base.py: Driver."""

    kind = "sqlite"
    markable = False
    cache: Path | None = None

    def __init__(self, component: Component) -> None:
        self.component = component
        # SQLite names a database's -wal and -shm after the real file, not after a link to it.
        self.path = Path(os.path.realpath(component.options["path"]))

    @classmethod
    def find(cls) -> list[Found]:
        """The databases that running processes have open now, as far as this user may look."""
        found: dict[str, Found] = {}
        # Opening a file that we have open ourselves, and closing it, would drop the locks that we hold on it.
        ours = {file.path for file in psutil.Process().open_files()}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                for file in process.open_files():
                    if file.path not in found and file.path not in ours and _is_database(file.path):
                        summary = f"open in {process.name()}"
                        found[file.path] = Found("sqlite", {"path": file.path}, process.pid, summary)
        return list(found.values())

    def describe(self) -> Description:
        with reader(self.path) as mode:
            size = sum(p.stat().st_size for p in (self.path, Path(f"{self.path}-wal")) if p.exists())
            mount = mount_of(self.path)
        return Description(
            version=sqlite3.sqlite_version,
            directory=str(self.path.parent),
            size=size,
            filesystem=f"{mount.fstype} on {mount.mountpoint}",
            details={"journal_mode": mode, "path": str(self.path)},
        )

    def health(self) -> Health:
        try:
            with reader(self.path) as mode:
                return Health(True, f"opens, journal mode {mode}")
        except SourceError as error:
            return Health(False, error.cause)

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> SQLiteSession:
        return SQLiteSession(self.path, previous)

    def directory(self) -> Path:
        return self.path.parent

    def restore(self, source: Source, into: Path) -> None:
        restore_database(source, into, self.path.name)

    def install(self, built: Path, aside: str) -> Path | None:
        old = self.path.with_name(self.path.name + aside)
        if (built / self.path.name).exists():
            with error_context(f"move {self.path} aside", "No data is lost; repeat the recovery."):
                self._move_aside(old)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        moved = exchange(built / self.path.name, self.path, aside)
        with contextlib.suppress(OSError):
            built.rmdir()
        return moved

    def start(self) -> None:
        start_by_options(self.component)

    def stop(self) -> None:
        stop_by_options(self.component)

    def _move_aside(self, old: Path) -> None:
        """Moves the old database first, then its logs: see the head of the module."""
        for suffix in ("", *_COMPANIONS):
            here, there = Path(f"{self.path}{suffix}"), Path(f"{old}{suffix}")
            if here.exists() and not there.exists():
                os.rename(here, there)
        if self.path.parent.exists():
            sync_directory(self.path.parent)


def _is_database(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC
