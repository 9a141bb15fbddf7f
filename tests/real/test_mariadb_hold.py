"""Quiescing MariaDB: at once or not at all, never longer than agreed, and never blocking the application."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from undivided.drivers.mariadb import MariaDBDriver
from undivided.drivers.mariadb.client import Login
from undivided.drivers.mariadb.hold import CommitBlock
from undivided.model.errors import SourceError
from undivided.testing.capturing import capture
from undivided.testing.mariadb import MariaDBServer, missing
from undivided.testing.memory import MemorySink, NoWatchdog

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer() as started:
        started.run(
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(100))",
            "CREATE TABLE shop.old (n INT) ENGINE=MyISAM",
            "INSERT INTO shop.orders (what) VALUES ('first')",
            "INSERT INTO shop.old VALUES (1)",
        )
        yield started


@pytest.fixture
def hold(server: MariaDBServer) -> Iterator[CommitBlock]:
    made = CommitBlock(Login.of(server.component()), "db")
    made.open()
    yield made
    made.close()


@contextmanager
def busy(server: MariaDBServer, statement: str) -> Iterator[None]:
    """A session that is in the middle of a statement."""
    with server.connect() as connection:

        def work() -> None:
            with pytest.raises(pymysql.MySQLError), connection.cursor() as cursor:
                cursor.execute(statement)

        thread = threading.Thread(target=work)
        thread.start()
        until = time.monotonic() + 30
        ask = f"SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = {connection.thread_id()}"
        while server.rows(ask) != [("User sleep",)]:
            assert time.monotonic() < until
            time.sleep(0.01)
        try:
            yield
        finally:
            server.run(f"KILL {connection.thread_id()}")
            thread.join()


@contextmanager
def locked(server: MariaDBServer, statement: str) -> Iterator[None]:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        yield


def soon() -> float:
    return time.monotonic() + 5


def backup_sessions(server: MariaDBServer) -> list[tuple[object, ...]]:
    return server.rows("SELECT * FROM information_schema.PROCESSLIST WHERE INFO LIKE 'BACKUP STAGE%'")


def writes(server: MariaDBServer) -> bool:
    """Whether a row in every engine can be written now."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
        try:
            cursor.execute("INSERT INTO shop.orders (what) VALUES ('more')")
        except pymysql.OperationalError:
            return False
        return True


def test_during_the_hold_nothing_commits_and_reads_continue(server: MariaDBServer, hold: CommitBlock) -> None:
    hold.enter(soon())
    done = threading.Event()

    def write() -> None:
        server.run("INSERT INTO shop.old VALUES (2)")
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.3)
    assert not writes(server)
    assert server.rows("SELECT COUNT(*) FROM shop.orders WHERE what = 'first'") == [(1,)]

    hold.leave()
    thread.join(30)
    assert done.is_set()
    assert not hold.lost
    assert writes(server)


@pytest.mark.parametrize(
    ("in_the_way", "stage"),
    [
        ("LOCK TABLES shop.orders WRITE", "LOCK TABLES"),
        ("LOCK TABLES shop.old WRITE", "LOCK TABLES"),
    ],
)
def test_a_blocking_table_lock_is_named_and_our_request_is_withdrawn(
    server: MariaDBServer, hold: CommitBlock, in_the_way: str, stage: str
) -> None:
    with locked(server, in_the_way):
        with pytest.raises(SourceError, match="another session is blocking BACKUP STAGE") as failure:
            hold.enter(soon())
        assert stage in failure.value.hint
        assert "user root" in failure.value.cause
        assert not backup_sessions(server)
        hold.leave()
        server.run("CREATE TABLE shop.free (n INT)", "DROP TABLE shop.free")
    assert writes(server)


def test_a_long_statement_on_myisam_is_named_and_the_application_continues(
    server: MariaDBServer, hold: CommitBlock
) -> None:
    with busy(server, "INSERT INTO shop.old SELECT SLEEP(60)"):
        with pytest.raises(SourceError, match="another session is blocking BACKUP STAGE") as failure:
            hold.enter(soon())
        assert "MyISAM" in failure.value.hint
        assert not backup_sessions(server)
        assert writes(server)
        server.run("CREATE TABLE shop.free (n INT)", "DROP TABLE shop.free")


def test_a_long_query_blocks_no_hold(server: MariaDBServer, hold: CommitBlock) -> None:
    with busy(server, "SELECT SLEEP(60) FROM shop.orders"):
        hold.enter(soon())
        assert not writes(server)
        hold.leave()
        assert writes(server)


def test_a_blocking_session_fails_the_point_before_an_image_is_taken(
    server: MariaDBServer,
) -> None:
    sink = MemorySink()
    with locked(server, "LOCK TABLES shop.orders WRITE"), pytest.raises(SourceError, match="another session"):
        capture(MariaDBDriver(server.component()), sink)
    assert not sink.rows


def test_a_lock_wait_of_mariadb_backup_is_ended_before_the_application_queues_for_long(
    server: MariaDBServer, caplog: pytest.LogCaptureFixture
) -> None:
    driver = MariaDBDriver(server.component())
    session = driver.session(None, must_hold=True)

    class Blocking(MemorySink):
        """Once the image has begun, another session locks a table."""

        lock: pymysql.Connection[Any] | None = None

        def replace(self, prefix: bytes) -> None:
            super().replace(prefix)
            self.lock = server.connect()
            with self.lock.cursor() as cursor:
                cursor.execute("LOCK TABLES shop.orders WRITE")

    sink = Blocking()
    try:
        with pytest.raises(SourceError, match="kept mariadb-backup waiting"):
            session.prepare(sink)
        assert any("waited for more than 5 s: ended" in line for line in caplog.messages)
        assert not backup_sessions(server)
    finally:
        session.close()
        assert sink.lock is not None
        sink.lock.close()
    assert writes(server)


def test_a_hold_ends_by_itself_at_its_deadline_and_no_point_is_made(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    session = driver.session(None, must_hold=True)
    try:
        session.prepare(sink)
        session.hold(NoWatchdog(), time.monotonic() + 1)
        session.mark("point")
        server.run("INSERT INTO shop.orders (what) VALUES ('waited for the end of the hold')")
        session.release()
        with pytest.raises(SourceError, match="let commits continue before the pause was over"):
            session.finish(sink)
    finally:
        session.close()


def test_a_hold_that_has_no_time_left_is_not_begun(server: MariaDBServer, hold: CommitBlock) -> None:
    with pytest.raises(SourceError, match="deadline passed before commits were blocked"):
        hold.enter(time.monotonic() - 1)
    assert writes(server)


def test_arming_makes_no_session_wait(server: MariaDBServer, hold: CommitBlock) -> None:
    hold.approach(soon())
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION lock_wait_timeout = 1")
        cursor.execute("INSERT INTO shop.old VALUES (3)")
        cursor.execute("CREATE TABLE shop.free (n INT)")
        cursor.execute("DROP TABLE shop.free")
    assert writes(server)
    hold.enter(soon())
    assert not writes(server)


@pytest.mark.parametrize("end", ["release", "close"])
def test_a_cut_abandoned_between_arming_and_the_hold_leaves_no_stage_behind(
    server: MariaDBServer, end: str
) -> None:
    session = MariaDBDriver(server.component()).session(None, must_hold=True)
    try:
        session.prepare(MemorySink())
        session.arm(NoWatchdog(), soon())
        with server.connect() as other, other.cursor() as cursor:
            cursor.execute("SET SESSION lock_wait_timeout = 1")
            with pytest.raises(pymysql.OperationalError, match="timeout"):
                cursor.execute("BACKUP STAGE START")  # there is one backup at a time
            getattr(session, end)()
            cursor.execute("BACKUP STAGE START")
            cursor.execute("BACKUP STAGE END")
    finally:
        session.close()
    assert writes(server)


def test_releasing_twice_and_closing_after_a_failure_are_harmless(server: MariaDBServer) -> None:
    session = MariaDBDriver(server.component()).session(None, must_hold=True)
    session.release()
    session.close()
    session.release()
    session.close()
    assert writes(server)


_HOLDER = """
import sys, time
from undivided.drivers.mariadb.client import Login
from undivided.drivers.mariadb.hold import CommitBlock
hold = CommitBlock(Login("root", sys.argv[1]), "db")
hold.open()
hold.enter(time.monotonic() + 60)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_holder_releases_at_once(server: MariaDBServer) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, server.socket], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        assert not writes(server)
        os.kill(holder.pid, signal.SIGKILL)
        server.run("INSERT INTO shop.orders (what) VALUES ('at once')")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
