"""Quiescing a PostgreSQL under load: no commit returns during the hold, all do after it, whichever process
dies."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from undivided.drivers.postgresql import PostgreSQLDriver
from undivided.model.errors import SourceError
from undivided.testing.capturing import capture
from undivided.testing.memory import MemorySink, NoWatchdog
from undivided.testing.postgresql import TestServer, installations, recovered, running_server, scratch

pytestmark = pytest.mark.real
WRITERS = 4
CREATE = "CREATE TABLE written (writer int, n int)"


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as root:
        yield root


@pytest.fixture
def server(place: Path) -> Iterator[TestServer]:
    with running_server(place / "original") as running:
        running.sql(CREATE)
        yield running


class Load:
    """Writers that commit as fast as they can. acked: how many commits have returned, by writer."""

    def __init__(self, server: TestServer) -> None:
        self.acked = [0] * WRITERS
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(w,)) for w in range(WRITERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.await_commits()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_commits(self) -> None:
        """Until every writer has committed since."""
        before = list(self.acked)
        eventually(lambda: all(a > b for a, b in zip(self.acked, before, strict=True)))

    def await_held(self) -> None:
        """Until every writer's commit waits."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'writer' AND wait_event = 'SyncRep'"
        )
        eventually(lambda: self._server.sql(waiting) == [(WRITERS,)])

    def _write(self, writer: int) -> None:
        with contextlib.closing(self._server.connect(application_name="writer")) as made:
            while not self._stop.is_set():
                with made.cursor() as cursor:
                    cursor.execute("INSERT INTO written VALUES (%s, %s)", (writer, self.acked[writer] + 1))
                self.acked[writer] += 1


def eventually(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def standbys(server: TestServer) -> str:
    return str(server.sql("SHOW synchronous_standby_names")[0][0])


@pytest.mark.parametrize("version", sorted(installations()))
def test_no_commit_returns_during_the_hold_and_all_flow_after_it(place: Path, version: str) -> None:
    with running_server(place / "original", version) as server:
        server.sql(CREATE)
        check_hold(server, place)


def check_hold(server: TestServer, place: Path) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    seen: list[int] = []

    def held() -> None:
        load.await_held()
        seen.extend(load.acked)
        for _ in range(20):  # a while, in which nothing may happen
            time.sleep(0.01)
            assert load.acked == seen

    with Load(server) as load:
        point = capture(driver, sink, must_hold=True, held=held)
        load.await_commits()
    assert standbys(server) == ""
    with recovered(sink, point, place / "twin") as twin:
        for writer in range(WRITERS):
            [(count, last)] = twin.sql("SELECT count(*), max(n) FROM written WHERE writer = %s", (writer,))
            assert count == last
            assert seen[writer] <= last <= seen[writer] + 1, "at most the one in flight"


def test_an_abandoned_hold_lets_commits_return(server: TestServer) -> None:
    with Load(server) as load:
        session = PostgreSQLDriver(server.component()).session(None, must_hold=True)
        session.prepare(MemorySink())
        session.arm(NoWatchdog(), time.monotonic() + 10)
        session.hold(NoWatchdog(), time.monotonic() + 5)
        session.close()
        load.await_commits()
    assert standbys(server) == ""


def test_a_hold_not_reached_by_its_deadline_raises_and_leaves_nothing(server: TestServer) -> None:
    session = PostgreSQLDriver(server.component()).session(None, must_hold=True)
    session.prepare(MemorySink())
    with pytest.raises(SourceError, match="in time"):
        session.arm(NoWatchdog(), time.monotonic() + 10)
        session.hold(NoWatchdog(), time.monotonic() - 1)
    session.release()
    session.close()
    eventually(lambda: standbys(server) == "")


def test_the_watchdog_lets_commits_return_when_the_holder_is_killed(server: TestServer) -> None:
    with Load(server) as load:
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(server.root), str(server.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert holder.stdout is not None and holder.stderr is not None
            assert holder.stdout.readline() == b"held\n", holder.stderr.read().decode()
            load.await_held()
            os.kill(holder.pid, signal.SIGKILL)
            load.await_commits()
        finally:
            holder.kill()
            holder.communicate()
    eventually(lambda: standbys(server) == "")


_HOLDER = """
import sys, time
from undivided.capture.watchdog_client import WatchdogClient
from undivided.drivers.postgresql import PostgreSQLDriver
from undivided.model.service import Component
from undivided.testing.memory import MemorySink

component = Component("db", "postgresql", {"socket": sys.argv[1], "port": int(sys.argv[2])})
session = PostgreSQLDriver(component).session(None, must_hold=True)
session.prepare(MemorySink())
with WatchdogClient() as watchdog:
    watchdog.arm(60)
    session.arm(watchdog, time.monotonic() + 10)
    session.hold(watchdog, time.monotonic() + 5)
    print("held", flush=True)
    time.sleep(60)
"""


def test_release_works_when_its_connection_is_gone(
    server: TestServer, caplog: pytest.LogCaptureFixture
) -> None:
    with Load(server) as load:
        session = PostgreSQLDriver(server.component()).session(None, must_hold=True)
        session.prepare(MemorySink())
        session.arm(NoWatchdog(), time.monotonic() + 10)
        session.hold(NoWatchdog(), time.monotonic() + 5)
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'undivided%'"
        )
        session.release()
        load.await_commits()
        session.close()
    assert standbys(server) == ""
    assert any("the connection is lost, undoing the hold on another" in line for line in caplog.messages)


def test_existing_standbys_are_waited_for_during_the_hold_and_restored(server: TestServer) -> None:
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'a, b'")
    server.sql("SELECT pg_reload_conf()")
    eventually(lambda: standbys(server) == "a, b")
    session = PostgreSQLDriver(server.component()).session(None, must_hold=True)
    session.prepare(MemorySink())
    session.arm(NoWatchdog(), time.monotonic() + 10)
    session.hold(NoWatchdog(), time.monotonic() + 5)
    assert re.fullmatch(r"FIRST 2 \(undivided_\w+, a, b\)", standbys(server))
    session.release()
    session.close()
    eventually(lambda: standbys(server) == "a, b")


def test_roles_that_do_not_wait_are_refused_by_name(server: TestServer) -> None:
    server.sql("CREATE ROLE hasty LOGIN")
    server.sql("ALTER ROLE hasty SET synchronous_commit = off")
    session = PostgreSQLDriver(server.component()).session(None, must_hold=True)
    with pytest.raises(SourceError, match="hasty in any database"):
        session.prepare(MemorySink())
    session.close()


def test_a_session_that_does_not_wait_makes_the_point_fail(server: TestServer) -> None:
    with contextlib.closing(server.connect()) as hasty, hasty.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        with pytest.raises(SourceError, match="committed during the pause"):
            capture(
                PostgreSQLDriver(server.component()),
                MemorySink(),
                must_hold=True,
                held=lambda: cursor.execute("INSERT INTO written VALUES (9, 9)"),
            )
    server.sql("INSERT INTO written VALUES (1, 1)")
    assert standbys(server) == ""
