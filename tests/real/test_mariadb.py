"""MariaDB as it is captured and restored: image, log, mark, and the server that comes back."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from undivided.drivers.mariadb import MariaDBDriver
from undivided.model.point import Coherence, ComponentPoint
from undivided.testing.capturing import capture
from undivided.testing.mariadb import MariaDBServer, running
from undivided.testing.memory import MemorySink, MemorySource

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all(shutil.which(p) for p in ("mariadbd", "mariadb-backup", "mariadb-install-db")),
        reason="MariaDB's server and mariadb-backup are not installed",
    ),
]


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer() as running_server:
        running_server.run(
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, what BLOB)",
            "INSERT INTO shop.orders (what) VALUES ('first')",
        )
        yield running_server


def restored(server: MariaDBServer, sink: MemorySink, point: ComponentPoint, name: str = "copy") -> Path:
    into = server.directory / name
    into.mkdir(mode=0o700)
    MariaDBDriver(server.component()).restore(MemorySource(sink, point), into)
    return into


def answer(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_a_point_holds_what_was_committed_before_and_nothing_that_came_after(server: MariaDBServer) -> None:
    sink = MemorySink()
    driver = MariaDBDriver(server.component())
    point = capture(
        driver,
        sink,
        prepared=lambda: server.run("INSERT INTO shop.orders (what) VALUES ('after the image')"),
        released=lambda: server.run("INSERT INTO shop.orders (what) VALUES ('after the mark')"),
    )

    assert point.coherence is Coherence.APPLICATION
    assert point.position.order[0] == 1
    with running(restored(server, sink, point)) as copy:
        assert answer(copy, "SELECT what FROM shop.orders") == [(b"first",), (b"after the image",)]
