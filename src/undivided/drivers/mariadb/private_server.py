"""A private server for recovery: it runs on the restored data directory, and only this process can reach it.

It listens on no port, only on a socket in a directory of its own. It runs as the owner of the data, and dies
with this process. The accounts in the restored data are unknown, so it starts without checking accounts. The
first statement of a session is then FLUSH PRIVILEGES: that session keeps all privileges, and the server has
its accounts again, so that CREATE USER and GRANT in the log work as they did.

It writes no binary log, runs no events and starts no replication. It must end cleanly, with all data on disk;
otherwise the recovery fails.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...model.errors import UndividedError
from ...model.service import Component
from .programs import Child, MariaDBOwner, program

_log = logging.getLogger(__name__)

_START = 300.0
"""Seconds until it answers: crash recovery of a large redo log takes long."""
_STOP = 600.0
_SERVER_SIDE = (
    "innodb_page_size",
    "innodb_data_file_path",
    "innodb_undo_tablespaces",
    "innodb_file_per_table",
    "innodb_default_row_format",
    "innodb_strict_mode",
    "lower_case_table_names",
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "explicit_defaults_for_timestamp",
    "default_time_zone",
)


class PrivateServer:
    """Runs as long as the `with` block. doing: the operation for its errors, which are UndividedErrors."""

    def __init__(
        self,
        component: Component,
        directory: Path,
        owner: MariaDBOwner,
        settings: Mapping[str, Any],
        doing: str,
    ) -> None:
        self._component, self._directory, self._owner, self._doing = component, directory, owner, doing
        self._settings = settings
        self._scratch = ""
        self._child: Child | None = None

    @property
    def socket(self) -> str:
        return os.path.join(self._scratch, "sock")

    def __enter__(self) -> PrivateServer:
        # A short path, whatever the target is called: the path of a socket has at most 107 bytes.
        self._scratch = tempfile.mkdtemp(prefix="undivided-")
        try:
            if os.geteuid() == 0:
                os.chown(self._scratch, self._owner.uid, self._owner.gid)
            self._child = Child(self._argv(), doing=self._doing, owner=self._owner, with_us=True)
            self._wait()
            _log.info("private server started on %s, pid %d", self._directory, self._child.pid)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, failure: object, *rest: object) -> None:
        if failure is not None:
            self._end()
            return
        assert self._child is not None
        try:
            self._child.terminate()
            self._child.done(_STOP)
            _log.info("private server on %s stopped", self._directory)
        finally:
            self._end()

    def load(self, statements: Iterable[bytes]) -> None:
        """Runs SQL text with the command line client. Raises UndividedError at the first statement that
        fails."""
        argv = [
            program(self._component, "mariadb"),
            "--no-defaults",
            f"--socket={self.socket}",
            "--user=root",
            "--batch",
            "--binary-mode",
            "--max-allowed-packet=1G",
            "--default-character-set=utf8mb4",
        ]
        with Child(argv, doing=self._doing, stdin=subprocess.PIPE) as client:
            with contextlib.suppress(BrokenPipeError):  # it failed; `done` below raises with the reason
                client.stdin.write(b"FLUSH PRIVILEGES;\n")
                for piece in statements:
                    client.stdin.write(piece)
                client.stdin.close()
            client.done()

    def _argv(self) -> list[str]:
        kept = {n: self._settings[n] for n in _SERVER_SIDE if self._settings.get(n) not in (None, "")}
        return [
            program(self._component, "mariadbd"),
            "--no-defaults",
            f"--datadir={self._directory}",
            f"--socket={self.socket}",
            f"--pid-file={os.path.join(self._scratch, 'pid')}",
            f"--tmpdir={self._scratch}",
            "--skip-networking",
            "--skip-grant-tables",
            "--skip-log-bin",
            "--skip-slave-start",
            "--event-scheduler=OFF",
            "--max-allowed-packet=1G",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-dump-at-shutdown=OFF",
            "--innodb-buffer-pool-load-at-startup=OFF",
            *(f"--{name.replace('_', '-')}={value}" for name, value in kept.items()),
        ]

    def _wait(self) -> None:
        assert self._child is not None
        deadline = time.monotonic() + _START
        while not answers(self.socket):
            if not self._child.running:
                self._child.done()
                raise UndividedError(
                    f"the private server ended{self._child.last_errors()}", doing=self._doing
                )
            if time.monotonic() > deadline:
                raise UndividedError(
                    f"the private server did not answer within {_START:g} s{self._child.last_errors()}",
                    doing=self._doing,
                )
            time.sleep(0.02)

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None
        shutil.rmtree(self._scratch, ignore_errors=True)


def answers(path: str) -> bool:
    """Whether a server answers at this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(5)
        try:
            end.connect(path)
            return bool(end.recv(1))
        except OSError:
            return False


def output(child: Child) -> Iterator[bytes]:
    """The stdout of a child. Raises as `Child.done` at its end."""
    while piece := child.stdout.read(1 << 20):
        yield piece
    child.done()
