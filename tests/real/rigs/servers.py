"""Real database servers in directories of their own, on free ports, as values.

A recovered service starts the same kinds of server elsewhere, so each value lists all there is: data
directory, socket, port, configuration. `family` ends whatever came out of a test: as a child subreaper we
inherit every process whose parent exits, so exactly our own descendants are ended, daemons too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pymysql
import pytest
import valkey

PR_SET_CHILD_SUBREAPER = 36
POSTGRESQL = Path("/usr/lib/postgresql/15/bin")


def needs(*programs: str, root: bool = True) -> None:
    """Leaves the test out, saying why, where it cannot run."""
    if root and os.geteuid() != 0:
        pytest.skip("needs root: servers run under accounts of their own")
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that the servers' accounts can reach, and an end to all that ran in it. pytest's own is not
    one: each session that starts closes it to all others but its user."""
    with tempfile.TemporaryDirectory(prefix="undivided-test-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o711)
        with family():
            yield place


@contextlib.contextmanager
def family() -> Iterator[None]:
    """Every process that descends from this one by the end of the block, and did not before, is ended."""
    us = psutil.Process()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(us.children(recursive=True))
    try:
        yield
    finally:
        for seconds, number in ((10.0, signal.SIGTERM), (5.0, signal.SIGKILL)):
            left = [p for p in us.children(recursive=True) if p not in before]
            _end(left, number, seconds)


def end_below(directory: Path) -> None:
    """Ends, without ceremony, those of our descendants that work in a directory or have it as an argument."""
    below = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            words = [process.cwd(), *process.cmdline()]
            if any(str(directory) in word for word in words):
                below.append(process)
    _end([p for p in below if _keeps_memory(p)], signal.SIGQUIT, 10)
    _end(below, signal.SIGKILL, 10)


def _end(processes: Sequence[psutil.Process], number: signal.Signals, seconds: float) -> None:
    """Sends each a signal, wakes it to hear it, and waits until they are gone or `seconds` have passed."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            process.resume()
    psutil.wait_procs(processes, timeout=seconds)


def _keeps_memory(process: psutil.Process) -> bool:
    """Whether it is a postmaster: killed, it would leave its segments in /dev/shm forever. SIGQUIT ends it
    at once as well, and those it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        above = process.parent()
        return process.name() == "postgres" and (above is None or above.name() != "postgres")
    return False


def stop(pid: int) -> None:
    """Asks a server to end, and waits."""
    process = psutil.Process(pid)
    process.terminate()
    process.wait(60)


NOT_YET = (OSError, pymysql.MySQLError, psycopg2.Error, valkey.ValkeyError)
"""What a server that is still starting answers with."""


def until(ready: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Polls until `ready` is true and does not raise."""
    deadline = time.monotonic() + seconds
    while True:
        error: Exception | None = None
        try:
            if ready():
                return
        except NOT_YET as problem:
            error = problem
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}") from error
        time.sleep(0.02)


def run(command: Sequence[str | Path], account: str | None = None, **more: Any) -> str:
    """Runs a program to its end, or fails with what it said. Its output goes through a file, because a server
    that it leaves behind would keep a pipe open."""
    who: dict[str, Any] = {}
    if account is not None:
        entry = pwd.getpwnam(account)
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            cwd="/",
            **who,
            **more,
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with code {done.returncode}:\n{said}")
    return said


@dataclass(frozen=True)
class MariaDB:
    """home: data/, my.cnf, the socket and the log. Answers root without a password, on the socket alone."""

    home: Path
    port: int
    settings: str = "innodb_flush_log_at_trx_commit=1\nsync_binlog=1\n"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def socket(self) -> Path:
        return self.home / "mysqld.sock"

    @property
    def defaults(self) -> Path:
        return self.home / "my.cnf"

    def configure(self) -> None:
        """Everything but the data."""
        self.home.mkdir(parents=True, exist_ok=True)
        shutil.chown(self.home, "mysql", "mysql")
        self.defaults.write_text(
            f"[mysqld]\nuser=mysql\ndatadir={self.data}\nsocket={self.socket}\nport={self.port}\n"
            f"bind-address=127.0.0.1\npid-file={self.home}/mysqld.pid\nlog-error={self.home}/error.log\n"
            "log-bin=binlog\nserver-id=1\nbinlog-format=ROW\nskip-name-resolve\n"
            f"innodb_buffer_pool_size=64M\ninnodb_log_file_size=16M\n{self.settings}"
        )

    def create(self) -> None:
        self.configure()
        run(
            [
                "mariadb-install-db",
                f"--defaults-file={self.defaults}",
                "--user=mysql",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
        )

    def start(self) -> None:
        run(["setsid", "-f", "mariadbd", f"--defaults-file={self.defaults}"])
        until(lambda: self.connect().close() or True, f"MariaDB on {self.socket}")

    def connect(self, database: str | None = None) -> Any:
        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, autocommit=True, connect_timeout=5
        )


@dataclass(frozen=True)
class PostgreSQL:
    """home: data/ and the socket directory run/. Trusts everyone, on the socket alone."""

    home: Path
    port: int

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def run(self) -> Path:
        return self.home / "run"

    def configure(self) -> None:
        for directory in (self.home, self.run):
            directory.mkdir(parents=True, exist_ok=True)
            shutil.chown(directory, "postgres", "postgres")

    def create(self) -> None:
        self.configure()
        run([POSTGRESQL / "initdb", "-D", self.data, "-A", "trust", "-U", "postgres"], "postgres")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(
                f"port = {self.port}\nunix_socket_directories = '{self.run}'\nlisten_addresses = ''\n"
                "shared_buffers = 32MB\n"
            )

    def start(self) -> None:
        run([POSTGRESQL / "pg_ctl", "-D", self.data, "-l", self.home / "log", "-w", "start"], "postgres")

    def connect(self, database: str = "postgres") -> Any:
        connection = psycopg2.connect(
            host=str(self.run), port=self.port, user="postgres", dbname=database, connect_timeout=5
        )
        connection.autocommit = True
        return connection


@dataclass(frozen=True)
class Redis:
    """home: data/ and redis.conf. Every write is on disk before it is acknowledged."""

    home: Path
    port: int

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def config(self) -> Path:
        return self.home / "redis.conf"

    def configure(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.data}\npidfile {self.home}/redis.pid\n"
            f"logfile {self.home}/log\ndaemonize yes\nappendonly yes\nappendfsync always\n"
            "repl-diskless-sync-delay 0\n"
        )

    def create(self) -> None:
        self.configure()
        self.data.mkdir()

    def start(self) -> None:
        run(["redis-server", self.config])
        until(lambda: bool(self.connect().ping()), f"Redis on port {self.port}")

    def connect(self) -> Any:
        return valkey.Valkey(host="127.0.0.1", port=self.port, socket_timeout=30, decode_responses=True)
