"""A real PostgreSQL, captured and recovered to exactly the mark, next to its running original."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.drivers.postgresql import PostgreSQLDriver
from undivided.model.errors import DamageError, SourceError
from undivided.testing.capturing import capture
from undivided.testing.memory import MemorySink, MemorySource
from undivided.testing.postgresql import (
    TestServer,
    account,
    installations,
    recovered,
    running_server,
    scratch,
)

pytestmark = pytest.mark.real


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as root:
        yield root


@pytest.fixture
def server(place: Path) -> Iterator[TestServer]:
    with running_server(place / "original") as running:
        yield running


class Counter:
    """Inserts 1, 2, 3, … each in a transaction of its own. started and acked: the last ones."""

    def __init__(self, server: TestServer) -> None:
        server.sql("CREATE TABLE counted (n int)")
        self.started = self.acked = 0
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Counter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def await_commit_after(self, number: int) -> None:
        """Until a later number is committed, as far as a starved thread gets in 60 s."""
        until = time.monotonic() + 60
        while self.acked <= number and time.monotonic() < until:
            time.sleep(0.01)

    def _run(self) -> None:
        with contextlib.closing(self._server.connect()) as made, made.cursor() as cursor:
            while not self._stop.is_set():
                self.started += 1
                cursor.execute("INSERT INTO counted VALUES (%s)", (self.started,))
                self.acked = self.started


@pytest.mark.parametrize("version", sorted(installations()))
def test_a_point_holds_what_was_committed_before_its_mark_and_nothing_after(
    place: Path, version: str
) -> None:
    with running_server(place / "original", version) as server:
        driver, sink = PostgreSQLDriver(server.component()), MemorySink()
        seen: dict[str, int] = {}
        with Counter(server) as counter:
            point = capture(
                driver,
                sink,
                must_hold=False,
                held=lambda: seen.update(before=counter.acked),
                released=lambda: seen.update(after=counter.started),
            )
            counter.await_commit_after(seen["after"])
        assert counter.acked > seen["after"]
        with recovered(sink, point, place / "twin") as twin:
            rows = [n for (n,) in twin.sql("SELECT n FROM counted ORDER BY n")]
            assert rows == list(range(1, len(rows) + 1))
            assert seen["before"] <= len(rows) <= seen["after"]
            assert server.sql("SELECT max(n) FROM counted") == [(counter.acked,)]
            assert twin.sql("SELECT pg_is_in_recovery()") == [(False,)]


def test_the_next_point_moves_only_the_log_that_is_new(server: TestServer, place: Path) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 100000) n")
    first = capture(driver, sink, must_hold=False)
    assert sink.settle() > 20_000_000
    server.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    second = capture(driver, sink, first, must_hold=False)
    assert sink.settle() < 300_000
    third = capture(driver, sink, second, must_hold=False)
    assert sink.settle() < 10_000, "an unchanged server costs its mark"
    assert third.position.order > second.position.order > first.position.order
    assert not sink.notes
    with recovered(sink, third, place / "twin") as twin:
        assert twin.sql("SELECT count(*) FROM t") == [(101_000,)]


def test_an_earlier_point_is_recovered_without_what_came_later(server: TestServer, place: Path) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    server.sql("CREATE TABLE t (n int)")
    server.sql("INSERT INTO t VALUES (1)")
    first = capture(driver, sink, must_hold=False)
    kept = MemorySink()
    kept.rows, kept.data = dict(sink.rows), dict(sink.data)
    server.sql("INSERT INTO t VALUES (2)")
    capture(driver, sink, first, must_hold=False)
    with recovered(kept, first, place / "twin") as twin:
        assert twin.sql("SELECT n FROM t") == [(1,)]


def test_a_log_over_many_small_segments_is_followed_whole(place: Path) -> None:
    with running_server(place / "original", options=["--wal-segsize=1"]) as server:
        driver, sink = PostgreSQLDriver(server.component()), MemorySink()
        server.sql("CREATE TABLE t (n int)")
        point = capture(driver, sink, must_hold=False)
        for _ in range(3):
            server.sql("INSERT INTO t SELECT generate_series(1, 30000)")
            point = capture(driver, sink, point, must_hold=False)
        assert not sink.notes
        assert len([p for p in sink.rows if p.startswith(b"log/")]) > 4
        with recovered(sink, point, place / "twin") as twin:
            assert twin.sql("SELECT count(*) FROM t") == [(90_000,)]


def test_log_that_the_server_has_recycled_makes_a_new_image_and_a_note(
    server: TestServer, place: Path
) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    first = capture(driver, sink, must_hold=False)
    sink.settle()
    old = {p for p in sink.rows if p.startswith(b"log/")}
    server.sql("CREATE TABLE t (n int)")
    for n in range(4):
        server.sql("INSERT INTO t VALUES (%s)", (n,))
        server.sql("SELECT pg_switch_wal()")
        server.sql("CHECKPOINT")
    second = capture(driver, sink, first, must_hold=False)
    sink.settle()
    assert "no longer has the log" in sink.notes[0]
    assert not old & set(sink.rows), "the log of the old image is dropped"
    with recovered(sink, second, place / "twin") as twin:
        assert twin.sql("SELECT count(*) FROM t") == [(4,)]


def test_a_recovered_server_is_protected_again_with_a_new_image(server: TestServer, place: Path) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    first = capture(driver, sink, must_hold=False)
    sink.settle()
    with recovered(sink, first, place / "twin") as twin:
        twin.sql("CREATE TABLE t (n int)")
        second = capture(PostgreSQLDriver(twin.component()), sink, first, must_hold=False)
        sink.settle()
    assert "timeline" in sink.notes[0]
    with recovered(sink, second, place / "again") as again:
        assert again.sql("SELECT count(*) FROM t") == [(0,)]


def test_a_server_that_went_back_in_time_is_not_taken_for_its_old_self(
    server: TestServer, place: Path
) -> None:
    server.stop()
    shutil.copytree(server.data, place / "kept", symlinks=True)
    server.start()
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    server.sql("CREATE TABLE before AS SELECT generate_series(1, 10) n")
    first = capture(driver, sink, must_hold=False)
    server.stop()
    shutil.rmtree(server.data)
    shutil.copytree(place / "kept", server.data, symlinks=True)
    give_to_servers(server.data)
    server.start()
    server.sql("CREATE TABLE after AS SELECT generate_series(1, 500000) n")
    server.sql("SELECT pg_switch_wal()")
    server.sql("CREATE TABLE later (n int)")
    capture(driver, sink, first, must_hold=False)
    assert "new image" in sink.notes[0]


def test_tablespaces_come_back_inside_the_data_directory(server: TestServer, place: Path) -> None:
    elsewhere = place / "tablespace"
    elsewhere.mkdir()
    give_to_servers(elsewhere)
    server.sql(f"CREATE TABLESPACE fast LOCATION '{elsewhere}'")
    server.sql("CREATE TABLE t TABLESPACE fast AS SELECT generate_series(1, 1000) n")
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    point = capture(driver, sink, must_hold=False)
    with recovered(sink, point, place / "twin") as twin:
        assert twin.sql("SELECT count(*) FROM t") == [(1000,)]
        again = MemorySink()
        second = capture(PostgreSQLDriver(twin.component()), again, must_hold=False)
        assert not [p for p in again.rows if p.startswith(b"data/tablespaces/16384/")], "captured once"
    assert server.sql("SELECT count(*) FROM t") == [(1000,)]
    with recovered(again, second, place / "third") as third:
        assert third.sql("SELECT count(*) FROM t") == [(1000,)]


def test_installing_a_restored_cluster_moves_its_tablespaces_along(server: TestServer, place: Path) -> None:
    elsewhere = place / "tablespace"
    elsewhere.mkdir()
    give_to_servers(elsewhere)
    server.sql(f"CREATE TABLESPACE fast LOCATION '{elsewhere}'")
    server.sql("CREATE TABLE t TABLESPACE fast AS SELECT 1 n")
    driver, sink = PostgreSQLDriver(server.component(path=str(server.data))), MemorySink()
    point = capture(driver, sink, must_hold=False)
    server.sql("INSERT INTO t VALUES (2)")
    driver.restore(MemorySource(sink, point), server.root / "built")
    driver.stop()
    aside = driver.install(server.root / "built", ".before")
    assert aside is not None and driver.install(server.root / "built", ".before") == aside
    driver.start()
    assert server.sql("SELECT n FROM t") == [(1,)]


def test_a_tablespace_made_since_the_image_makes_a_new_image(server: TestServer, place: Path) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    first = capture(driver, sink, must_hold=False)
    elsewhere = place / "tablespace"
    elsewhere.mkdir()
    give_to_servers(elsewhere)
    server.sql(f"CREATE TABLESPACE fast LOCATION '{elsewhere}'")
    server.sql("CREATE TABLE t TABLESPACE fast AS SELECT generate_series(1, 1000) n")
    second = capture(driver, sink, first, must_hold=False)
    assert "tablespaces" in sink.notes[0]
    with recovered(sink, second, place / "twin") as twin:
        assert twin.sql("SELECT count(*) FROM t") == [(1000,)]
    assert server.sql("SELECT count(*) FROM t") == [(1000,)]


def test_configuration_outside_the_data_directory_is_captured_and_adapted(place: Path) -> None:
    root = place / "original"
    etc = place / "etc"
    (etc / "conf.d").mkdir(parents=True)
    settings = {"config_file": str(etc / "postgresql.conf")}
    found = installations()
    root.mkdir()
    give_to_servers(root)
    server = TestServer(root, found[min(found)], settings=settings)
    server.create()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        shutil.move(server.data / name, etc / name)
    with open(etc / "postgresql.conf", "a") as file:
        file.write(f"data_directory = '{server.data}'\nhba_file = '{etc}/pg_hba.conf'\n")
        file.write(f"ident_file = '{etc}/pg_ident.conf'\ninclude_dir = 'conf.d'\n")
        file.write("archive_mode = on\narchive_command = 'cp %p /nowhere/%f'\n")
    (etc / "conf.d" / "own.conf").write_text("application_name = 'included'\nwork_mem = '7MB'\n")
    give_to_servers(etc)
    server.start()
    try:
        driver, sink = PostgreSQLDriver(server.component()), MemorySink()
        first = capture(driver, sink, must_hold=False)
        sink.settle()
        server.sql("ALTER SYSTEM SET maintenance_work_mem = '77MB'")
        point = capture(driver, sink, first, must_hold=False)
        with recovered(sink, point, place / "twin") as twin:
            assert twin.sql("SHOW work_mem") == [("7MB",)]
            assert twin.sql("SHOW maintenance_work_mem") == [("77MB",)], "changed without any log"
            assert twin.sql("SHOW data_directory") == [(str(twin.data),)]
            assert twin.sql("SHOW hba_file") == [(str(twin.data / "pg_hba.conf"),)]
            assert twin.sql("SHOW archive_mode") == [("off",)]
    finally:
        server.stop()


def test_a_slot_stays_only_where_the_server_limits_it(server: TestServer) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    first = capture(driver, sink, must_hold=False)
    slots = "SELECT slot_name, restart_lsn::text FROM pg_replication_slots WHERE NOT temporary"
    assert server.sql(slots) == []
    server.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
    server.sql("SELECT pg_reload_conf()")
    second = capture(driver, sink, first, must_hold=False)
    [(name, position)] = server.sql(slots)
    assert name.startswith("undivided_db_")
    assert position == second.position.text, "what is in the vault is let go"
    third = capture(driver, sink, second, must_hold=False)
    assert server.sql(slots) == [(name, third.position.text)]
    server.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
    server.sql("SELECT pg_reload_conf()")
    capture(driver, sink, third, must_hold=False)
    assert server.sql(slots) == []


def test_a_wrong_password_is_one_clear_line_without_the_password(server: TestServer, tmp_path: Path) -> None:
    server.sql("CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'right'")
    hba = server.data / "pg_hba.conf"
    hba.write_text("host all keeper 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    server.sql("SELECT pg_reload_conf()")
    wrong = tmp_path / "password"
    wrong.write_text("hunter2\n")
    component = server.component(user="keeper", socket=None, password={"file": str(wrong)})
    driver = PostgreSQLDriver(component)
    with pytest.raises(SourceError, match="password authentication failed") as caught:
        driver.session(None, must_hold=False).prepare(MemorySink())
    assert "\n" not in caught.value.cause
    assert "hunter2" not in str(caught.value)
    assert not driver.health().ok
    assert "hunter2" not in driver.health().reason


def test_the_documented_grants_suffice(server: TestServer, place: Path) -> None:
    for statement in documented_grants():
        server.sql(statement)
    server.sql("CREATE TABLE t AS SELECT 1 n")
    driver, sink = PostgreSQLDriver(server.component(user="undivided")), MemorySink()
    first = capture(driver, sink, must_hold=False)
    second = capture(driver, sink, first, must_hold=True)
    assert not sink.notes
    assert driver.describe().version.startswith(("15", "18"))
    with recovered(sink, second, place / "twin") as twin:
        assert twin.sql("SELECT n FROM t") == [(1,)]


def test_a_standby_and_a_minimal_log_are_refused_with_what_to_do(place: Path) -> None:
    minimal = {"wal_level": "minimal", "max_wal_senders": "0"}
    with running_server(place / "original", settings=minimal) as server:
        session = PostgreSQLDriver(server.component()).session(None, must_hold=False)
        with pytest.raises(SourceError) as caught:
            session.prepare(MemorySink())
        session.close()
    assert "wal_level" in caught.value.hint


@pytest.mark.parametrize("must_hold", [False, True])
def test_missing_grants_are_found_before_anything_is_held(server: TestServer, must_hold: bool) -> None:
    for statement in documented_grants():
        server.sql(statement)
    if must_hold:
        server.sql("REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM undivided")
    else:
        server.sql("REVOKE EXECUTE ON FUNCTION pg_create_restore_point(text) FROM undivided")
    session = PostgreSQLDriver(server.component(user="undivided")).session(None, must_hold=must_hold)
    with pytest.raises(SourceError, match="the role has no permission") as caught:
        session.prepare(MemorySink())
    session.close()
    assert "docs/drivers/postgresql.md" in caught.value.hint


def test_a_running_server_is_found_and_describes_itself(server: TestServer) -> None:
    found = {f.options["path"]: f for f in PostgreSQLDriver.find()}[str(server.data)]
    assert found.options["port"] == server.port
    assert found.options["socket"] == str(server.root)
    facts = PostgreSQLDriver(server.component()).describe()
    assert facts.directory == str(server.data)
    assert facts.size > 1_000_000
    assert " on " in facts.filesystem


def test_start_and_stop_do_nothing_when_nothing_is_to_be_done(server: TestServer) -> None:
    driver = PostgreSQLDriver(server.component(path=str(server.data)))
    driver.start()
    assert driver.health().ok
    driver.stop()
    driver.stop()
    assert not driver.health().ok
    driver.start()
    assert driver.health().ok


def test_a_log_with_a_hole_is_refused(server: TestServer, place: Path) -> None:
    driver, sink = PostgreSQLDriver(server.component()), MemorySink()
    first = capture(driver, sink, must_hold=False)
    server.sql("CREATE TABLE t (n int)")
    server.sql("SELECT pg_switch_wal()")
    point = capture(driver, sink, first, must_hold=False)
    sink.drop([min(p for p in sink.rows if p.startswith(b"log/"))])
    with pytest.raises(DamageError, match="log is not whole"):
        driver.restore(MemorySource(sink, point), place / "twin")


def documented_grants() -> list[str]:
    """The statements of docs/drivers/postgresql.md, for this database."""
    text = (Path(__file__).parents[2] / "docs/drivers/postgresql.md").read_text()
    block = text.split("```sql\n", 1)[1].split("```", 1)[0]
    lines = [line.split("--")[0] for line in block.splitlines()]
    return [s.strip() for s in "\n".join(lines).split(";") if s.strip()]


def give_to_servers(path: Path) -> None:
    owner = account()
    for each in [path, *path.rglob("*")]:
        shutil.chown(each, owner.uid, owner.gid)
