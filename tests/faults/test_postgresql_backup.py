"""Backups that are not whole are no points, and are refused when one was made of them all the same."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.drivers.postgresql import PostgreSQLDriver
from undivided.model.errors import DamageError, SourceError, UndividedError
from undivided.model.point import ComponentPoint
from undivided.testing.capturing import capture
from undivided.testing.memory import MemorySink, MemorySource
from undivided.testing.postgresql import TestServer, running_server, scratch

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[TestServer]:
    with scratch() as root, running_server(root / "original") as running:
        yield running


@pytest.fixture(scope="module")
def whole(server: TestServer) -> tuple[MemorySink, ComponentPoint]:
    """A point of two marks, so that its log is longer than its image needs."""
    sink = MemorySink()
    first = capture(PostgreSQLDriver(server.component()), sink, must_hold=False)
    server.sql("CREATE TABLE IF NOT EXISTS t AS SELECT generate_series(1, 10000) n")
    return sink, capture(PostgreSQLDriver(server.component()), sink, first, must_hold=False)


def copy_of(sink: MemorySink) -> MemorySink:
    copied = MemorySink()
    copied.rows, copied.data = dict(sink.rows), dict(sink.data)
    return copied


def eventually_none(server: TestServer, view: str) -> None:
    """The server notices the end of a connection by itself, a moment later."""
    limit = time.monotonic() + 30
    while server.sql(f"SELECT count(*) FROM {view}") != [(0,)]:
        assert time.monotonic() < limit, f"something stayed in {view}"
        time.sleep(0.01)


@pytest.mark.parametrize("path", [b"data/backup_label", b"data/global/pg_control", b"data/PG_VERSION"])
def test_an_image_without_what_makes_it_one_is_refused(
    server: TestServer, whole: tuple[MemorySink, ComponentPoint], path: bytes, tmp_path: Path
) -> None:
    sink = copy_of(whole[0])
    sink.drop([path])
    with pytest.raises(DamageError, match=path.decode()):
        PostgreSQLDriver(server.component()).restore(MemorySource(sink, whole[1]), tmp_path / "twin")
    assert not (tmp_path / "twin").exists(), "refused before anything is written"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root restores for another user")
def test_a_place_that_the_server_may_not_enter_is_refused_before_any_work(
    server: TestServer, whole: tuple[MemorySink, ComponentPoint], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(UndividedError, match="no permission to enter"):
        PostgreSQLDriver(server.component()).restore(MemorySource(*whole), tmp_path / "twin")
    assert not list((tmp_path / "twin").iterdir())


def test_a_log_whose_end_is_zeroed_is_found_while_recovering(
    server: TestServer, whole: tuple[MemorySink, ComponentPoint]
) -> None:
    sink, point = copy_of(whole[0]), whole[1]
    last = max(p for p in sink.rows if p.startswith(b"log/"))
    sink.data[last] = sink.data[last][:-200] + bytes(200)
    with scratch() as root, pytest.raises(DamageError, match="does not reach"):
        PostgreSQLDriver(server.component()).restore(MemorySource(sink, point), root / "twin")


def test_a_backup_whose_server_side_dies_is_no_image(server: TestServer) -> None:
    """The walsender is killed at the first bytes: the session fails in one line, and leaves nothing there."""

    class Killing(MemorySink):
        def progress(self, done: int, total: int | None = None) -> None:
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'"
            )

    server.sql("CREATE TABLE wide AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 200000) n")
    session = PostgreSQLDriver(server.component()).session(None, must_hold=False)
    with pytest.raises(SourceError) as caught:
        session.prepare(Killing())
    session.close()
    assert "\n" not in caught.value.cause
    eventually_none(server, "pg_replication_slots")


def test_a_sink_that_fails_ends_the_backup_on_the_server(server: TestServer) -> None:
    class Failing(MemorySink):
        def progress(self, done: int, total: int | None = None) -> None:
            raise UndividedError("no space")

    session = PostgreSQLDriver(server.component()).session(None, must_hold=False)
    with pytest.raises(UndividedError, match="no space"):
        session.prepare(Failing())
    session.close()
    eventually_none(server, "pg_stat_progress_basebackup")
    eventually_none(server, "pg_replication_slots")
