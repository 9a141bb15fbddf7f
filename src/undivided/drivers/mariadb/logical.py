"""The method without a binary log: a dump whose snapshot is opened inside the hold.

`prepare` starts the dump, which runs until it opens its snapshot; there the proxy (proxy.py) stops it. `mark`
lets the snapshot be opened while every commit waits. The dump is read after the release and still shows the
instant of the mark. Tables outside InnoDB (MyISAM, Aria, MEMORY) are in no snapshot: they are read after the
release, and the point names them.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

from ...model.entries import Entry, Layout
from ...model.errors import SourceError
from ...model.point import Position
from ...model.service import Component
from ..base import Sink
from .client import Login, MariaDBConnection
from .programs import Child, program
from .proxy import Proxy
from .server_facts import MariaDBFacts

METHOD = "dump"
PATH = b"dump.sql"
END = b"-- Dump completed"
_SNAPSHOT_TIMEOUT = 60.0
"""Seconds that the dump may take until it opens its snapshot."""
_READ = 1 << 20
_NAMED = 5


class Logical:
    """One point by a dump."""

    def __init__(self, component: Component, login: Login, facts: MariaDBFacts) -> None:
        self._component, self._login, self._facts = component, login, facts
        self._doing = f"dump {component.name}"
        self._proxy: Proxy | None = None
        self._child: Child | None = None

    def prepare(self, sink: Sink) -> None:
        with MariaDBConnection(self._login, self._doing) as connection:
            self._note_other_engines(sink, connection)
        proxy = self._proxy = Proxy(self._login, self._doing)
        with self._login.option_file(socket=proxy.path) as options:
            self._child = Child(
                [
                    program(self._component, "mariadb-dump"),
                    f"--defaults-file={options}",
                    "--single-transaction",
                    "--skip-lock-tables",
                    "--all-databases",
                    "--routines",
                    "--events",
                    "--triggers",
                    "--hex-blob",
                    "--skip-dump-date",
                    "--max-allowed-packet=1G",
                    "--default-character-set=utf8mb4",
                    "--skip-ssl",
                ],
                doing=self._doing,
                stdout=subprocess.PIPE,
            )
            deadline = time.monotonic() + _SNAPSHOT_TIMEOUT
            while not self._arrived(proxy):
                if not self._child.running:
                    self._child.done()
                if time.monotonic() > deadline:
                    raise SourceError(
                        f"mariadb-dump did not open its snapshot within {_SNAPSHOT_TIMEOUT:g} s",
                        doing=self._doing,
                    )

    def mark(self, session: MariaDBConnection) -> Position:
        assert self._proxy is not None
        self._proxy.open()
        # The session that holds asks: an answer shows that it still held when the snapshot was opened.
        _, value = session.one("SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'")
        return Position(f"lsn {value}", (int(value),))

    def finish(self, sink: Sink) -> dict[str, Any]:
        assert self._child is not None
        sink.replace(b"data")
        sink.replace(b"log")
        end = bytearray()
        size = sink.put(Entry(PATH, mode=0o600), self._pieces(sink, end), Layout.CONTENT)
        self._child.done()
        if END not in end:
            raise SourceError(
                "mariadb-dump ended without its last line, which reports that the dump is complete",
                doing=self._doing,
            )
        return {"image_size": size}

    def close(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        if self._child is not None:
            self._child.end()

    def _arrived(self, proxy: Proxy) -> bool:
        try:
            return proxy.arrived(0.05)
        except SourceError:
            # The dump's own error names the reason.
            assert self._child is not None
            self._child.done(_SNAPSHOT_TIMEOUT)
            raise

    def _pieces(self, sink: Sink, end: bytearray) -> Iterator[bytes]:
        """The dump as it arrives; its last bytes are left in `end`."""
        assert self._child is not None
        done = 0
        while piece := self._child.stdout.read(_READ):
            end[:] = (bytes(end) + piece)[-200:]
            done += len(piece)
            sink.progress(done)
            yield piece

    def _note_other_engines(self, sink: Sink, connection: MariaDBConnection) -> None:
        rows = connection.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' "
            "AND ENGINE NOT IN ('InnoDB', 'SEQUENCE') AND TABLE_SCHEMA NOT IN "
            "('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1, 2"
        )
        if rows:
            names = [f"{schema}.{table}" for schema, table in rows]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            sink.note(
                f"tables without snapshots were read after the mark: {', '.join(names[:_NAMED])}{more}. "
                "Convert them to InnoDB, or turn on the binary log."
            )
