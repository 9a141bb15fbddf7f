"""The SQLite driver against real writers: the restored database is whole and has the commits before the
mark."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from undivided.drivers.sqlite import SQLiteDriver
from undivided.model.errors import DamageError, SourceError
from undivided.model.point import ComponentPoint
from undivided.model.service import Component
from undivided.testing.capturing import capture
from undivided.testing.filesystems import loop_filesystem
from undivided.testing.memory import MemorySink, MemorySource, NoWatchdog
from undivided.testing.sqlite import MortalWriters, Writers, make, tokens, writing

pytestmark = pytest.mark.real
MODES = ("wal", "delete", "truncate", "persist")


def driver_of(path: Path) -> SQLiteDriver:
    return SQLiteDriver(Component("db", "sqlite", {"path": str(path)}))


def restored(sink: MemorySink, point: ComponentPoint, into: Path) -> Path:
    into.mkdir()
    driver_of(into / "copy.db").restore(MemorySource(sink, point), into)
    assert os.listdir(into) == ["copy.db"]
    return into / "copy.db"


@contextlib.contextmanager
def client(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


def note(seen: list[dict[str, int]], writers: Writers) -> None:
    seen.append(writers.acknowledged())


def token(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("INSERT INTO tokens VALUES ('t', ?, '')", (number,))


@pytest.mark.parametrize(
    ("mode", "autocheckpoint"),
    [("wal", 0), ("wal", 4), ("wal", 1000), ("delete", 0), ("truncate", 0), ("persist", 0)],
)
def test_under_writers_and_checkpoints_every_point_holds_what_was_acknowledged(
    tmp_path: Path, mode: str, autocheckpoint: int
) -> None:
    path = tmp_path / "live.db"
    make(path, mode)
    sink, driver, previous = MemorySink(), driver_of(path), None
    setup = f"PRAGMA wal_autocheckpoint={autocheckpoint}"
    with writing(path, "abc", setup, checkpointing=autocheckpoint == 4) as writers:
        for number in range(12 if mode == "wal" else 5):
            seen: list[dict[str, int]] = []
            previous = capture(
                driver,
                sink,
                previous,
                prepared=writers.wait_for_more if mode == "wal" else lambda: None,
                held=partial(note, seen, writers),
                released=writers.wait_for_more,
            )
            sink.settle()
            found = tokens(restored(sink, previous, tmp_path / f"at-{number}"))
            for writer, acknowledged in seen[0].items():
                held = found[writer]
                assert held == list(range(len(held)))
                # A commit may have returned whose writer had not reported it yet when the hold began.
                assert acknowledged <= len(held) <= acknowledged + 1
            shutil.rmtree(tmp_path / f"at-{number}")


@pytest.mark.parametrize(("mode", "points"), [("wal", 25), ("delete", 10)])
def test_writers_killed_at_any_moment_never_make_a_wrong_point(
    tmp_path: Path, mode: str, points: int
) -> None:
    path = tmp_path / "live.db"
    make(path, mode)
    previous, sink = None, MemorySink()
    with MortalWriters(path, "PRAGMA wal_autocheckpoint=3") as writers:
        for number in range(points):
            seen: list[dict[str, int]] = []
            fresh = sink.copy()
            try:
                previous = capture(
                    driver_of(path),
                    fresh,
                    previous,
                    held=partial(note, seen, writers),
                )
            except SourceError as refusal:
                # A death between preparing and holding: no point, and the next one opens the database again.
                assert mode != "wal" and "hot journal" in refusal.cause
                continue
            fresh.settle()
            sink = fresh
            found = tokens(restored(sink, previous, tmp_path / f"at-{number}"))
            for writer, acknowledged in seen[0].items():
                held = found.get(writer, [])
                assert held == list(range(len(held)))
                assert acknowledged <= len(held) <= acknowledged + 1


@pytest.mark.parametrize("mode", MODES)
def test_an_unchanged_database_moves_nothing(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "live.db"
    make(path, mode)
    sink, driver = MemorySink(), driver_of(path)
    first = capture(driver, sink)
    assert sink.settle() > 0
    second = capture(driver, sink, first)
    assert sink.settle() == 0
    assert second.position == first.position
    with client(path) as connection:
        token(connection, 1)
        third = capture(driver, sink, second)
        assert sink.settle() > 0
        fourth = capture(driver, sink, third)
        assert sink.settle() == 0
    assert first.position.order < third.position.order <= fourth.position.order
    assert tokens(restored(sink, fourth, tmp_path / "there")) == {"t": [1]}


def test_commits_move_only_their_frames_even_after_a_checkpoint_wrote_the_database(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    sink, driver = MemorySink(), driver_of(path)
    with client(path) as connection, client(path) as reading:
        connection.execute("INSERT INTO tokens VALUES ('filling', 0, ?)", ("x" * 500_000,))
        first = capture(driver, sink)
        sink.settle()
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM tokens").fetchone()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        token(connection, 1)
        second = capture(driver, sink, first)
        assert sink.settle() < 20_000
    assert tokens(restored(sink, second, tmp_path / "there"))["t"] == [1]


def test_a_wal_that_was_cut_back_and_grew_again_is_not_taken_for_the_one_we_hold(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    sink, driver = MemorySink(), driver_of(path)
    with client(path) as connection:
        token(connection, 1)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", tmp_path / f"early{suffix}")
        token(connection, 2)
        first = capture(driver, sink)
        sink.settle()
    # As after power loss: the last frame never reached the disk, and others took its place.
    for suffix in ("", "-wal"):
        with open(tmp_path / f"early{suffix}", "rb") as early, open(f"{path}{suffix}", "wb") as live:
            shutil.copyfileobj(early, live)
    with client(path) as connection:
        token(connection, 3)
        token(connection, 4)
        second = capture(driver, sink, first)
        sink.settle()
    assert tokens(restored(sink, second, tmp_path / "there")) == {"t": [1, 3, 4]}


@pytest.mark.parametrize("mode", MODES)
def test_a_writer_waits_while_held_and_continues_after(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "live.db"
    make(path, mode)
    with client(path) as connection:

        def refused() -> None:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                token(connection, 1)
            assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (0,)

        capture(driver_of(path), MemorySink(), held=refused, released=lambda: token(connection, 2))


@pytest.mark.parametrize("mode", MODES)
def test_a_long_transaction_makes_the_hold_fail_and_nothing_stays_locked(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "live.db"
    make(path, mode)
    with client(path) as connection, client(path) as other:
        session = driver_of(path).session(None, must_hold=True)
        session.prepare(MemorySink())
        # With a rollback journal EXCLUSIVE keeps readers out as well; in WAL mode it is one writer.
        connection.execute("BEGIN EXCLUSIVE")
        token(connection, 1)
        with pytest.raises(SourceError) as failure:
            session.hold(NoWatchdog(), time.monotonic() + 0.05)
        assert failure.value.hint
        session.release()
        session.close()
        connection.execute("COMMIT")
        other.execute("PRAGMA busy_timeout=20000")
        token(other, 2)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with client(path) as alone:
        other_mode = "delete" if mode == "wal" else "wal"
        assert alone.execute(f"PRAGMA journal_mode={other_mode}").fetchone() == (other_mode,)


def test_the_hold_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    program = (
        "import sys, time; from pathlib import Path;"
        "from undivided.drivers.sqlite.session import SQLiteSession;"
        "from undivided.testing.memory import MemorySink, NoWatchdog;"
        "s = SQLiteSession(Path(sys.argv[1]), None); s.prepare(MemorySink());"
        "s.hold(NoWatchdog(), time.monotonic() + 60); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with client(path) as connection:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    token(connection, 1)
                holder.kill()
                holder.wait()
                token(connection, 2)
        finally:
            holder.kill()


def test_a_hot_journal_is_rolled_back_before_the_image(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "delete")
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size=5'); c.execute('BEGIN');"
        "[c.execute('INSERT INTO tokens VALUES (?, ?, ?)', ('half', n, 'x' * 3000)) for n in range(200)];"
        "os._exit(0)"
    )
    with client(path) as connection:
        token(connection, 1)
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert Path(f"{path}-journal").stat().st_size > 0
    sink = MemorySink()
    point = capture(driver_of(path), sink)
    assert tokens(restored(sink, point, tmp_path / "there")) == {"t": [1]}


def test_an_exclusively_locked_database_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    with client(path) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        token(connection, 1)
        session = driver_of(path).session(None, must_hold=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("undivided.drivers.sqlite.image._BUSY_TIMEOUT", 0.1)
            with pytest.raises(SourceError) as refusal:
                session.prepare(MemorySink())
        session.close()
    assert "EXCLUSIVE" in refusal.value.hint


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_file_that_is_no_database_is_refused_and_unhealthy(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "live.db"
    if content is not None:
        path.write_bytes(content)
    assert not driver_of(path).health().ok
    with pytest.raises(SourceError) as refusal:
        capture(driver_of(path), MemorySink())
    assert refusal.value.hint
    assert path.exists() == (content is not None)


@pytest.mark.parametrize("mode", MODES)
def test_a_database_replaced_by_another_file_fails_the_point(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "live.db"
    make(path, mode)
    make(tmp_path / "other.db", mode)
    with pytest.raises(SourceError, match="replaced"):
        capture(driver_of(path), MemorySink(), prepared=lambda: os.rename(tmp_path / "other.db", path))


def test_a_change_of_journal_mode_between_points_takes_a_new_image(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    sink, driver, previous = MemorySink(), driver_of(path), None
    orders = []
    for number, mode in enumerate(["wal", "delete", "wal", "persist"]):
        with client(path) as connection:
            connection.execute(f"PRAGMA journal_mode={mode}")
            token(connection, number)
        previous = capture(driver, sink, previous)
        sink.settle()
        orders.append(previous.position.order)
        there = restored(sink, previous, tmp_path / f"at-{number}")
        assert tokens(there) == {"t": list(range(number + 1))}
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


def test_frames_that_are_not_whole_are_noticed_by_a_restore(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    sink = MemorySink()
    with client(path) as connection:
        token(connection, 1)
        point = capture(driver_of(path), sink)
    wal = sink.data[b"data/live.db-wal"]
    sink.data[b"data/live.db-wal"] = wal[:-100] + b"\0" * 100
    with pytest.raises(DamageError, match="frames"):
        restored(sink, point, tmp_path / "there")


def test_in_place_exchanges_the_database_and_its_logs_and_nothing_else(tmp_path: Path) -> None:
    path, sink = tmp_path / "live.db", MemorySink()
    make(path, "wal")
    (tmp_path / "neighbour").write_text("stays")
    with client(path) as connection:
        token(connection, 1)
        point = capture(driver_of(path), sink)
        token(connection, 2)
        for suffix in ("", "-wal", "-shm"):
            shutil.copyfile(f"{path}{suffix}", tmp_path / f"kept{suffix}")
    for suffix in ("", "-wal", "-shm"):
        os.rename(tmp_path / f"kept{suffix}", f"{path}{suffix}")
    built = tmp_path / "built"
    built.mkdir()
    driver = driver_of(path)
    driver.restore(MemorySource(sink, point), built)
    for _repeated in range(2):
        assert driver.install(built, ".aside-1") == tmp_path / "live.db.aside-1"
    assert tokens(path) == {"t": [1]}
    assert tokens(tmp_path / "live.db.aside-1") == {"t": [1, 2]}
    assert (tmp_path / "neighbour").read_text() == "stays"


def test_databases_that_processes_have_open_are_found(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    make(path, "wal")
    with writing(path, "a", "SELECT 1"):
        assert str(path) in [found.options["path"] for found in SQLiteDriver.find()]


@pytest.mark.parametrize("name", ["a b?c#d%e.db", "ünïcode.db", "no-suffix"])
def test_odd_names_and_links_to_a_database_are_followed_as_sqlite_does(tmp_path: Path, name: str) -> None:
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / name, tmp_path / "link.db"
    make(path, "wal")
    link.symlink_to(path)
    sink = MemorySink()
    with client(path) as connection:
        token(connection, 1)
        point = capture(driver_of(link), sink)
    assert tokens(restored(sink, point, tmp_path / "there")) == {"t": [1]}
    assert sorted(os.listdir(tmp_path)) == ["link.db", "real", "there"]
    assert os.listdir(tmp_path / "real") == [name]


def test_a_busy_rollback_journal_too_large_for_the_pause_fails_the_point_with_a_hint(
    tmp_path: Path,
) -> None:
    path = tmp_path / "live.db"
    make(path, "delete")
    session = driver_of(path).session(None, must_hold=True)
    with client(path) as connection:
        session.prepare(MemorySink())
        token(connection, 1)
        deadline = time.monotonic() + 0.05
        session.hold(NoWatchdog(), deadline)
        while time.monotonic() <= deadline:
            time.sleep(0.005)
        with pytest.raises(SourceError) as failure:
            session.mark("point")
        session.close()
        assert "journal_mode=WAL" in failure.value.hint
        token(connection, 2)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_busy_rollback_journal_is_cloned_by_reference_where_the_filesystem_can(
    tmp_path: Path, kind: str
) -> None:
    with loop_filesystem(kind, tmp_path) as root:
        path, sink = root / "live.db", MemorySink()
        make(path, "delete")
        with client(path) as connection:
            connection.execute("INSERT INTO tokens VALUES ('filling', 0, ?)", (os.urandom(20 << 20),))

        def while_prepared() -> None:
            with client(path) as connection:
                token(connection, 1)

        with pytest.MonkeyPatch.context() as patch:
            # The way byte by byte is closed: only a clone by reference can succeed.
            patch.delattr(os, "sendfile")
            point = capture(driver_of(path), sink, prepared=while_prepared)
        assert tokens(restored(sink, point, tmp_path / "there"))["t"] == [1]
