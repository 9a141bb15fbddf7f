"""MariaDB without a binary log: a dump that shows the instant of the mark, though it is read afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from undivided.drivers.mariadb import MariaDBDriver
from undivided.model.errors import SourceError
from undivided.model.point import Consistency
from undivided.testing.capturing import capture
from undivided.testing.mariadb import MariaDBServer, answer, missing, running
from undivided.testing.memory import MemorySink, NoWatchdog

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer(binary_log=False) as started:
        started.run(
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, what VARBINARY(100))",
            "INSERT INTO shop.orders (what) VALUES (X'00FF27')",
            "CREATE PROCEDURE shop.count_orders() SELECT COUNT(*) FROM shop.orders",
            "CREATE VIEW shop.latest AS SELECT MAX(id) AS id FROM shop.orders",
            "CREATE USER bob@localhost IDENTIFIED BY 'swordfish'",
            "GRANT SELECT ON shop.* TO bob@localhost",
        )
        yield started


def test_the_dump_is_of_the_mark_though_it_is_read_after_the_release(
    server: MariaDBServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sink = MemorySink()
    point = capture(
        MariaDBDriver(server.component()),
        sink,
        prepared=lambda: server.run("INSERT INTO shop.orders (what) VALUES ('before the mark')"),
        released=lambda: server.run("INSERT INTO shop.orders (what) VALUES ('after the mark')"),
    )

    assert point.consistency is Consistency.APPLICATION
    assert any("log_bin is OFF" in note for note in point.notes)
    assert "db: falling back to a dump: the server keeps no binary log (log_bin is OFF)" in caplog.messages
    with running(server.restored(sink, point)) as copy:
        assert answer(copy, "SELECT what FROM shop.orders") == [(b"\x00\xff'",), (b"before the mark",)]
        assert answer(copy, "SELECT id FROM shop.latest") == [(2,)]
        assert answer(copy, "CALL shop.count_orders()") == [(2,)]
        assert ("GRANT SELECT ON `shop`.* TO `bob`@`localhost`",) in answer(
            copy, "SHOW GRANTS FOR bob@localhost"
        )


def test_tables_without_snapshots_are_named_in_the_point(server: MariaDBServer) -> None:
    server.run("CREATE TABLE shop.old (n INT) ENGINE=MyISAM", "CREATE TABLE shop.aria (n INT) ENGINE=Aria")
    sink = MemorySink()
    point = capture(MariaDBDriver(server.component()), sink)

    assert any("shop.aria, shop.old" in note for note in point.notes)


def others(server: MariaDBServer) -> list[int]:
    """The ids of all other sessions."""
    ask = "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND <> 'Daemon'"
    return [number for (number,) in server.rows(ask)]


def test_an_abandoned_cut_ends_the_dump_and_leaves_nothing_on_the_server(server: MariaDBServer) -> None:
    session = MariaDBDriver(server.component()).session(None, must_hold=True)
    session.prepare(MemorySink())
    session.hold(NoWatchdog(), time.monotonic() + 5)
    session.release()
    session.close()

    until = time.monotonic() + 30
    while others(server):
        assert time.monotonic() < until
        time.sleep(0.02)
    server.run("INSERT INTO shop.orders (what) VALUES ('goes on')")


def test_a_dump_cut_short_makes_no_point(server: MariaDBServer) -> None:
    server.run("INSERT INTO shop.orders (what) SELECT REPEAT('x', 100) FROM shop.seq_1_to_50000")

    def cut_it_short() -> None:
        for number in others(server):
            server.run(f"KILL {number}")

    with pytest.raises(SourceError, match="mariadb-dump"):
        capture(MariaDBDriver(server.component()), MemorySink(), released=cut_it_short)


def test_a_log_turned_on_or_off_between_points_changes_the_method_and_keeps_every_row() -> None:
    with MariaDBServer() as server:
        sink, driver = MemorySink(), MariaDBDriver(server.component())
        server.run("CREATE DATABASE shop", "CREATE TABLE shop.orders (what TEXT)")
        logged = capture(driver, sink)
        sink.settle()
        settings = server.defaults.read_text()

        server.stop()
        server.defaults.write_text(settings.replace("log_bin=mysql-bin", "skip_log_bin"))
        server.start()
        server.run("INSERT INTO shop.orders VALUES ('unlogged')")
        dumped = capture(driver, sink, logged)
        sink.settle()
        assert set(sink.data) == {b"dump.sql"}

        server.stop()
        server.defaults.write_text(settings)
        server.start()
        server.run("INSERT INTO shop.orders VALUES ('logged')")
        again = capture(driver, sink, dumped)
        sink.settle()
        assert b"dump.sql" not in sink.data
        with running(server.restored(sink, again)) as copy:
            assert answer(copy, "SELECT what FROM shop.orders") == [("unlogged",), ("logged",)]


def test_rows_written_between_points_while_the_log_was_off_are_not_lost() -> None:
    with MariaDBServer() as server:
        sink, driver = MemorySink(), MariaDBDriver(server.component())
        server.run("CREATE DATABASE shop", "CREATE TABLE shop.orders (what TEXT)")
        first = capture(driver, sink)
        settings = server.defaults.read_text()
        server.stop()
        server.defaults.write_text(settings.replace("log_bin=mysql-bin", "skip_log_bin"))
        server.start()
        server.run("INSERT INTO shop.orders VALUES ('unlogged')")
        server.stop()
        server.defaults.write_text(settings)
        server.start()
        second = capture(driver, sink, first)
        sink.settle()
        assert any("the server was restarted" in note for note in second.notes)
        with running(server.restored(sink, second)) as copy:
            assert answer(copy, "SELECT what FROM shop.orders") == [("unlogged",)]


def test_a_dump_waits_for_the_cut_longer_than_the_server_lets_a_session_idle() -> None:
    with MariaDBServer("wait_timeout=1", binary_log=False) as server:
        server.run("CREATE DATABASE shop", "CREATE TABLE shop.orders (what TEXT)")
        sink = MemorySink()
        point = capture(
            MariaDBDriver(server.component()),
            sink,
            prepared=lambda: server.run("SELECT SLEEP(2.5)", "INSERT INTO shop.orders VALUES ('late')"),
        )
        assert b"'late'" in sink.data[b"dump.sql"]
        assert point.position.text.startswith("lsn ")
