"""MariaDB servers: found, started, stopped, captured with few privileges, their secrets kept."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from undivided.drivers.mariadb import MariaDBDriver
from undivided.drivers.mariadb.processes import serving
from undivided.model.entries import Entry, Kind
from undivided.model.errors import DamageError, SourceError, UndividedError
from undivided.testing.capturing import capture
from undivided.testing.mariadb import MariaDBServer, answer, missing, running
from undivided.testing.memory import MemorySink, MemorySource
from undivided.testing.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(missing()), reason=missing())]

PASSWORD = 'sword"fish # \\ 7'
GRANTS = (
    "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO undivided@localhost",
    "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO undivided@localhost",
)
"""The grants in docs/drivers/mariadb.md: the first for a server with a binary log, both for one without."""


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer() as started:
        started.run("CREATE DATABASE shop", "CREATE TABLE shop.orders (what TEXT)")
        started.run("INSERT INTO shop.orders VALUES ('first')")
        yield started


def limited(server: MariaDBServer, *grants: str) -> MariaDBDriver:
    """A driver that logs in with a password and these rights only."""
    quoted = PASSWORD.replace("\\", "\\\\")
    server.run(f"CREATE USER undivided@localhost IDENTIFIED BY '{quoted}'", *grants)
    secret = server.directory / "password"
    secret.write_text(PASSWORD + "\n")
    return MariaDBDriver(server.component(user="undivided", password={"file": str(secret)}))


class Onlooker:
    """A user that runs `ps` all the time, and looks for a secret."""

    def __init__(self, secret: str) -> None:
        self.seen: set[str] = set()
        self.names: set[str] = set()
        self._secret, self._over = secret, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            for process in psutil.Process().children(recursive=True):
                try:
                    line = " ".join(process.cmdline())
                    self.names.add(process.name())
                except psutil.Error:
                    continue
                if self._secret in line:
                    self.seen.add(line)


def test_the_documented_rights_suffice_with_a_binary_log_and_no_secret_shows(server: MariaDBServer) -> None:
    driver, sink = limited(server, GRANTS[0]), MemorySink()
    with Onlooker(PASSWORD) as onlooker:
        point = capture(driver, sink)
        point = capture(driver, sink, point)

    assert "mariadb-backup" in onlooker.names
    assert not onlooker.seen
    assert PASSWORD not in repr(point)
    with running(server.restored(sink, point)) as copy:
        assert answer(copy, "SELECT what FROM shop.orders") == [("first",)]


def test_the_documented_rights_suffice_for_a_dump_and_no_secret_shows() -> None:
    with MariaDBServer(binary_log=False) as server:
        server.run("CREATE DATABASE shop", "CREATE TABLE shop.orders (what TEXT)")
        driver, sink = limited(server, *GRANTS), MemorySink()
        with Onlooker(PASSWORD) as onlooker:
            point = capture(driver, sink)
        assert "mariadb-dump" in onlooker.names
        assert not onlooker.seen
        assert PASSWORD not in repr(point)


def test_missing_rights_and_a_wrong_password_say_what_to_do(server: MariaDBServer) -> None:
    driver = limited(server, "GRANT PROCESS ON *.* TO undivided@localhost")
    with pytest.raises(SourceError) as failure:
        capture(driver, MemorySink())
    assert "docs/drivers/mariadb.md" in failure.value.hint

    (server.directory / "password").write_text("wrong-secret")
    with pytest.raises(SourceError) as failure:
        capture(driver, MemorySink())
    assert "wrong-secret" not in str(failure.value)
    assert "`password`" in failure.value.hint


def fake(directory: Path, name: str, script: str) -> None:
    """A fake program of that name in a directory with the real other ones."""
    directory.mkdir(exist_ok=True)
    for real in (
        "mariadbd",
        "mariadb-backup",
        "mariadb-binlog",
        "mariadb",
        "mariadb-dump",
        "mariadb-install-db",
    ):
        place = shutil.which(real)
        if place and real != name and not (directory / real).exists():
            (directory / real).symlink_to(place)
    if script:
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("", "mariadb-backup is neither in"),
        ("echo 'something went wrong' >&2; exit 1", "exited with 1: something went wrong"),
        ("exit 0", "ended without its last line 'completed OK!'"),
        ("echo 'completed OK!' >&2", "has no position in the binary log"),
        ("printf 'XBSTCK01\\0P\\3\\0\\0\\0abc'; echo 'completed OK!' >&2", "it ends inside a chunk"),
        ("printf 'what is this, please?'; echo 'completed OK!' >&2", "not in the mbstream format"),
    ],
)
def test_a_tool_that_fails_or_lies_makes_no_point(server: MariaDBServer, script: str, cause: str) -> None:
    programs = server.directory / "programs"
    fake(programs, "mariadb-backup", script)
    driver = MariaDBDriver(server.component(binaries=str(programs)))
    with pytest.raises(UndividedError) as failure:
        capture(driver, MemorySink())
    assert cause in str(failure.value)


def test_an_image_is_not_prepared_by_a_tool_of_another_version(server: MariaDBServer) -> None:
    sink = MemorySink()
    point = capture(MariaDBDriver(server.component()), sink)
    programs = server.directory / "programs"
    fake(programs, "mariadb-backup", "echo 'mariadb-backup based on MariaDB server 11.4.2-MariaDB'")
    into = server.directory / "copy"
    with pytest.raises(UndividedError, match="of another version") as failure:
        MariaDBDriver(server.component(binaries=str(programs))).restore(MemorySource(sink, point), into)
    assert "10.11" in failure.value.hint


def test_a_statement_that_cannot_be_replayed_fails_the_recovery(server: MariaDBServer) -> None:
    sink, driver = MemorySink(), MariaDBDriver(server.component())
    point = capture(driver, sink)
    server.run("INSERT INTO shop.orders VALUES ('flipped')")
    point = capture(driver, sink, point)
    name = max(path for path in sink.data if path.startswith(b"log/"))
    sink.data[name] = sink.data[name].replace(b"flipped", b"fl1pped")

    with pytest.raises(UndividedError, match="mariadb-binlog") as failure:
        server.restored(sink, point)
    assert not isinstance(failure.value, SourceError)
    assert not serving(server.directory / "copy")


def test_an_image_with_a_link_in_it_is_refused(server: MariaDBServer) -> None:
    sink = MemorySink()
    point = capture(MariaDBDriver(server.component()), sink)
    victim = server.directory / "victim"
    victim.write_text("untouched")
    sink.put(Entry(b"data/my.cnf", Kind.SYMLINK, target=os.fsencode(victim)))

    with pytest.raises(DamageError):
        server.restored(sink, point)
    assert victim.read_text() == "untouched"


def test_a_copy_starts_next_to_the_original_at_other_addresses_and_stops_again(server: MariaDBServer) -> None:
    sink = MemorySink()
    original = server.component(defaults=str(server.defaults), port=server.port)
    point = capture(MariaDBDriver(original), sink)
    copy = server.directory / "copy"
    other = MariaDBDriver(
        original.at({"path": str(copy), "socket": str(server.directory / "t"), "port": free_port()})
    )
    other.restore(MemorySource(sink, point), copy)
    assert not other.health().ok
    other.stop()

    other.start()
    other.start()
    assert other.health().ok
    assert [p.uids().real for p in serving(copy)] == [server.owner.uid]
    assert Path(other.describe().directory) == copy
    assert capture(other, MemorySink()).notes == ()
    assert server.rows("SELECT what FROM shop.orders") == [("first",)]

    other.stop()
    other.stop()
    assert not serving(copy)
    assert serving(server.data)


def test_recovery_in_place_puts_the_point_where_the_data_was_and_keeps_what_was_there(
    server: MariaDBServer,
) -> None:
    sink = MemorySink()
    driver = MariaDBDriver(server.component(defaults=str(server.defaults), port=server.port))
    point = capture(driver, sink)
    server.run("DROP TABLE shop.orders")
    built = server.restored(sink, point, "built")
    driver.stop()
    aside = driver.install(built, ".before")
    driver.start()

    assert server.rows("SELECT what FROM shop.orders") == [("first",)]
    assert aside is not None
    assert (aside / "ibdata1").exists()
    second = capture(driver, sink, point)
    assert any("a new image was taken" in note for note in second.notes)


def test_a_server_that_cannot_start_is_reported_with_its_errors(server: MariaDBServer) -> None:
    broken = server.directory / "broken"
    broken.mkdir()
    server.owner.take(broken)
    driver = MariaDBDriver(
        server.component(path=str(broken), socket=str(server.directory / "t"), port=free_port())
    )
    with pytest.raises(UndividedError, match=r"the server ended: .*\[ERROR\]"):
        driver.start()


def test_running_servers_are_found_with_what_a_component_needs(server: MariaDBServer) -> None:
    [found] = [f for f in MariaDBDriver.find() if f.options.get("path") == str(server.data)]

    assert found.options == {
        "path": str(server.data),
        "socket": server.socket,
        "port": server.port,
        "defaults": str(server.defaults),
    }


def test_a_server_describes_itself_and_one_that_is_down_is_unhealthy(server: MariaDBServer) -> None:
    driver = MariaDBDriver(server.component())
    said = driver.describe()
    assert said.version.startswith("1")
    assert Path(said.directory) == server.data
    assert said.size > 0
    assert " on /" in said.filesystem

    server.stop()
    assert not driver.health().ok
    with pytest.raises(SourceError) as failure:
        driver.describe()
    assert "running" in failure.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take the rights of another account")
def test_a_directory_the_servers_account_cannot_enter_is_refused_with_what_to_do(
    server: MariaDBServer, tmp_path: Path
) -> None:
    sink = MemorySink()
    point = capture(MariaDBDriver(server.component()), sink)
    tmp_path.chmod(stat.S_IRWXU)
    with pytest.raises(UndividedError, match="no permission to enter") as failure:
        MariaDBDriver(server.component()).restore(MemorySource(sink, point), tmp_path / "copy")
    assert "chmod" in failure.value.hint
