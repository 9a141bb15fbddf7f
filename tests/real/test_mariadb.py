"""MariaDB by its image and binary log: what a point holds, what moves for it, and what comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pymysql
import pytest

from undivided.drivers.mariadb import MariaDBDriver
from undivided.model.point import Consistency
from undivided.testing.capturing import capture
from undivided.testing.mariadb import MariaDBServer, answer, missing, running
from undivided.testing.memory import MemorySink

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer() as started:
        started.run(
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(100))",
            "INSERT INTO shop.orders (what) VALUES ('first')",
        )
        yield started


class Customers:
    """Sessions that commit one row after another, as fast as they are answered."""

    def __init__(self, server: MariaDBServer, count: int = 4) -> None:
        self.acknowledged: set[str] = set()
        self._ending = threading.Event()
        self._server = server
        self._threads = [threading.Thread(target=self._order, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def standing_still(self) -> set[str]:
        """What had been acknowledged when nothing more was: for use while the server is held."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            before = len(self.acknowledged)
            time.sleep(0.05)
            if len(self.acknowledged) == before:
                return set(self.acknowledged)
        raise AssertionError("commits went on during the hold")

    def wait_for(self, more: int) -> None:
        goal, until = len(self.acknowledged) + more, time.monotonic() + 30
        while len(self.acknowledged) < goal:
            assert time.monotonic() < until, "the server takes no orders"
            time.sleep(0.005)

    def close(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    def _order(self, customer: int) -> None:
        with self._server.connect() as connection, connection.cursor() as cursor:
            number = 0
            while not self._ending.is_set():
                number += 1
                token = f"{customer}.{number}"
                cursor.execute("INSERT INTO shop.orders (what) VALUES (%s)", (token,))
                self.acknowledged.add(token)


def test_a_point_is_exactly_what_was_acknowledged_before_the_mark(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    customers = Customers(server)
    seen: list[set[str]] = []
    try:
        point = None
        for _ in range(2):
            customers.wait_for(20)
            point = capture(
                driver,
                sink,
                point,
                prepared=lambda: customers.wait_for(20),
                held=lambda: seen.append(customers.standing_still()),
                released=lambda: customers.wait_for(20),
            )
            server.run("FLUSH BINARY LOGS")
    finally:
        customers.close()

    assert point is not None
    assert point.consistency is Consistency.APPLICATION
    with running(server.restored(sink, point)) as copy:
        rows = {what for (what,) in answer(copy, "SELECT what FROM shop.orders")}
    assert rows == seen[-1] | {"first"}


def test_the_next_point_moves_only_the_bytes_that_the_server_added_to_its_log(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    first = capture(driver, sink)
    image = sink.settle()
    server.run("INSERT INTO shop.orders (what) VALUES ('second')")
    second = capture(driver, sink, first)

    assert image > 1 << 20
    assert sink.settle() == second.position.order[1] - first.position.order[1]
    assert second.notes == ()


def test_an_unchanged_server_moves_nothing(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    first = capture(driver, sink)
    sink.settle()
    second = capture(driver, sink, first)

    assert sink.settle() == 0
    assert second.position == first.position


def test_the_log_continues_through_several_files_of_the_server(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    point = capture(driver, sink)
    for number in range(3):
        server.run(f"INSERT INTO shop.orders (what) VALUES ('file {number}')", "FLUSH BINARY LOGS")
    point = capture(driver, sink, point)
    server.run("INSERT INTO shop.orders (what) VALUES ('last')")
    point = capture(driver, sink, point)

    assert point.position.order[0] == 4
    with running(server.restored(sink, point)) as copy:
        rows = [what for (what,) in answer(copy, "SELECT what FROM shop.orders ORDER BY id")]
    assert rows == ["first", "file 0", "file 1", "file 2", "last"]


@pytest.mark.parametrize("break_it", ["PURGE BINARY LOGS TO '{last}'", "RESET MASTER"])
def test_a_log_that_cannot_be_continued_makes_a_new_image_and_the_point_notes_it(
    server: MariaDBServer, break_it: str
) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    first = capture(driver, sink)
    sink.settle()
    server.run("INSERT INTO shop.orders (what) VALUES ('second')", "FLUSH BINARY LOGS")
    last = server.rows("SHOW MASTER STATUS")[0][0]
    until = time.monotonic() + 30
    server.run(break_it.format(last=last))
    while break_it.startswith("PURGE") and server.rows("SHOW BINARY LOGS")[0][0] != last:
        # The server keeps a log for as long as it might need it after a crash.
        assert time.monotonic() < until
        time.sleep(0.05)
        server.run(break_it.format(last=last))
    second = capture(driver, sink, first)
    sink.settle()

    assert any("a new image was taken: the binary log" in note for note in second.notes)
    assert [p for p in sink.data if p.startswith(b"log/")] == [
        b"log/" + second.position.text.split(":")[0].encode()
    ]
    with running(server.restored(sink, second)) as copy:
        assert answer(copy, "SELECT what FROM shop.orders") == [("first",), ("second",)]


def test_a_reset_log_is_not_mistaken_for_the_old_one_when_it_has_grown_past_it(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    first = capture(driver, sink)
    server.run("RESET MASTER")
    while server.rows("SHOW MASTER STATUS")[0][1] <= first.position.order[1]:
        server.run("INSERT INTO shop.orders (what) VALUES ('again')")
    second = capture(driver, sink, first)

    assert any("is not the one in which the last point ended" in note for note in second.notes)


def test_definitions_accounts_and_routines_in_the_log_come_back(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    point = capture(driver, sink)
    server.run(
        "CREATE USER bob@localhost IDENTIFIED BY 'swordfish'",
        "GRANT SELECT ON shop.* TO bob@localhost",
        "ALTER TABLE shop.orders ADD paid BOOL NOT NULL DEFAULT FALSE",
        "CREATE TABLE shop.notes (t TEXT) ENGINE=MyISAM",
        "INSERT INTO shop.notes VALUES ('kept by MyISAM')",
        "CREATE PROCEDURE shop.count_orders() SELECT COUNT(*) FROM shop.orders",
        "CREATE TRIGGER shop.paid BEFORE INSERT ON shop.orders FOR EACH ROW SET NEW.paid = TRUE",
        "INSERT INTO shop.orders (what) VALUES ('second')",
    )
    point = capture(driver, sink, point)
    copy = server.restored(sink, point)

    with running(copy) as session:
        assert answer(session, "SELECT what, paid FROM shop.orders") == [("first", 0), ("second", 1)]
        assert answer(session, "SELECT t FROM shop.notes") == [("kept by MyISAM",)]
        assert answer(session, "CALL shop.count_orders()") == [(2,)]
        socket = str(copy.parent / "copy.s")
        with (
            pymysql.connect(unix_socket=socket, user="bob", password="swordfish") as bob,
            bob.cursor() as cursor,
        ):
            cursor.execute("SELECT COUNT(*) FROM shop.orders")
            assert cursor.fetchone() == (2,)


def test_transaction_numbers_continue_from_the_mark(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    point = capture(driver, sink)
    before = server.rows("SELECT @@gtid_binlog_pos")[0][0]
    domain, server_id, number = before.split("-")
    copy = server.restored(sink, point)

    with running(copy, "--log-bin=mysql-bin", "--server-id=7") as session:
        answer(session, "INSERT INTO shop.orders (what) VALUES ('next')")
        assert answer(session, "SELECT @@gtid_binlog_pos") == [(f"{domain}-{server_id}-{int(number) + 1}",)]


def test_a_restored_directory_holds_only_the_servers_own_files(server: MariaDBServer) -> None:
    sink = MemorySink()
    copy = server.restored(sink, capture(MariaDBDriver(server.component()), sink))

    names = {path.name for path in copy.iterdir()}
    assert not {n for n in names if n.startswith(("xtrabackup", "mariadb_backup", ".undivided", "backup-my"))}
    owners = {path.stat().st_uid for path in copy.rglob("*")} | {copy.stat().st_uid}
    assert owners == {server.owner.uid}
    assert copy.stat().st_mode & 0o777 == server.data.stat().st_mode & 0o777


def test_tables_outside_the_data_directory_come_back_inside_and_leave_the_originals_alone(
    server: MariaDBServer,
) -> None:
    elsewhere = server.directory / "elsewhere"
    elsewhere.mkdir()
    server.owner.take(elsewhere)
    server.run(
        f"CREATE TABLE shop.far (n INT) DATA DIRECTORY='{elsewhere}'", "INSERT INTO shop.far VALUES (1)"
    )
    sink = MemorySink()
    point = capture(MariaDBDriver(server.component()), sink)

    with running(server.restored(sink, point)) as copy:
        assert answer(copy, "SELECT n FROM shop.far") == [(1,)]
        answer(copy, "INSERT INTO shop.far VALUES (2)")
    assert server.rows("SELECT n FROM shop.far") == [(1,)]


def test_a_server_whose_log_leaves_databases_out_is_dumped_instead() -> None:
    with MariaDBServer("binlog_ignore_db=secret") as other:
        sink = MemorySink()
        point = capture(MariaDBDriver(other.component()), sink)

    assert any("leaves databases out" in note for note in point.notes)
    assert b"dump.sql" in sink.data
