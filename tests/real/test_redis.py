"""The Redis driver against a real server: a restore has exactly the keys of the mark."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from undivided.drivers.redis import RedisDriver
from undivided.drivers.redis.resp import RedisAddress, RedisConnection, RefusedError
from undivided.model.errors import SourceError, UndividedError
from undivided.model.point import ComponentPoint
from undivided.model.service import Component
from undivided.testing.capturing import capture
from undivided.testing.memory import MemorySink, MemorySource, NoWatchdog
from undivided.testing.redis import RedisServer, everything, expiry

pytestmark = pytest.mark.real
SETTINGS = {"databases": "40", "save": "900 1", "maxmemory": "100mb"}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@contextlib.contextmanager
def restored(
    server: RedisServer, sink: MemorySink, point: ComponentPoint, **more: Any
) -> Iterator[RedisDriver]:
    """The point, running next to its original on a socket of its own."""
    into = server.directory / "restored"
    into.mkdir()
    driver = RedisDriver(server.component.at({"socket": f"{server.directory}/r", "path": str(into), **more}))
    driver.restore(MemorySource(sink, point), into)
    driver.start()
    try:
        yield driver
    finally:
        driver.stop()


def note(held: list[int], acknowledged: list[int]) -> None:
    held.append(len(acknowledged))


def processes() -> list[list[str]]:
    """Every command line on this host."""
    return [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]


def content(driver: RedisDriver, password: str | None = None, databases: int = 16) -> dict[Any, Any]:
    with contextlib.closing(RedisConnection(driver.server, password)) as connection:
        return everything(connection, databases)


def test_every_kind_of_value_comes_back_as_it_was_at_the_mark(server: RedisServer) -> None:
    client, sink, driver = server.connect(), MemorySink(), RedisDriver(server.component)
    client.call("SET", "text", b"\r\n\x00$*")
    client.call("RPUSH", "list", *range(300))
    expected: dict[Any, Any] = {}

    def while_prepared() -> None:
        client.call("ZADD", "ranks", 1, "a", "2.5", "b")
        client.call("HSET", "hash", "field", "value")
        client.call("SELECT", 3)
        client.call("XADD", "log", "1-1", "what", "happened")
        client.call("MULTI")
        client.call("INCR", "counter")
        client.call("SADD", "set", "x", "y")
        client.call("EXEC")
        client.call("EVAL", "redis.call('SET', KEYS[1], 'scripted')", 1, "by-script")
        expected.update(everything(client))
        client.call("SELECT", 3)

    def afterwards() -> None:
        client.call("SET", "late", "1")

    point = capture(driver, sink, prepared=while_prepared, released=afterwards)
    with restored(server, sink, point) as copy:
        assert content(copy) == expected
    client.close()


def test_acknowledged_before_the_hold_is_in_and_begun_after_it_is_out(server: RedisServer) -> None:
    sink, driver = MemorySink(), RedisDriver(server.component)
    acknowledged: list[int] = []
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(server.connect()) as client:
            while not stop.is_set():
                client.call("SADD", "tokens", len(acknowledged))
                acknowledged.append(len(acknowledged))

    writer = threading.Thread(target=write)
    writer.start()
    bounds: list[tuple[int, int]] = []
    points = []
    try:
        previous = None
        for _ in range(5):
            held: list[int] = []
            previous = capture(driver, sink, previous, held=partial(note, held, acknowledged))
            # One command may have been executed whose answer was under way when the pause began.
            bounds.append((held[0], held[0] + 1))
            points.append((previous, sink.copy()))
    finally:
        stop.set()
        writer.join()
    for number, (point, kept) in enumerate(points):
        into = server.directory / f"at-{number}"
        into.mkdir()
        there = RedisDriver(server.component.at({"socket": str(into / "s"), "path": str(into)}))
        there.restore(MemorySource(kept, point), into)
        there.start()
        try:
            tokens = {int(token) for token in next(iter(content(there).values()))[0]}
        finally:
            there.stop()
        low, high = bounds[number]
        assert set(range(low)) <= tokens <= set(range(high))


def test_the_second_point_moves_only_what_was_replicated_since(server: RedisServer) -> None:
    sink, driver = MemorySink(), RedisDriver(server.component)
    server.call("SET", "big", b"x" * 300_000)
    first = capture(driver, sink)
    assert sink.settle() > 1000
    second = capture(driver, sink, first)
    assert sink.settle() < 100
    server.call("SET", "small", "value")
    third = capture(driver, sink, second)
    assert 0 < sink.settle() < 300
    assert first.position.order <= second.position.order < third.position.order


def test_a_backlog_that_was_overrun_makes_a_new_image_and_the_point_notes_it(server: RedisServer) -> None:
    server.call("CONFIG", "SET", "repl-backlog-size", 16384)
    sink, driver = MemorySink(), RedisDriver(server.component)
    first = capture(driver, sink)
    sink.notes.clear()
    for number in range(40):
        server.call("SET", f"key{number}", b"x" * 1000)
    expected = everything(server.connect())
    second = capture(driver, sink, first)
    sink.settle()
    assert "repl-backlog-size" in sink.notes[0]
    assert second.position.order[0] == first.position.order[0] + 1
    with restored(server, sink, second) as copy:
        assert content(copy) == expected


def test_a_server_that_sends_its_image_from_disk_with_a_length_is_understood() -> None:
    with RedisServer({"repl-diskless-sync": "no"}) as server:
        sink, driver = MemorySink(), RedisDriver(server.component)
        client = server.connect()
        client.call("SET", "before", "1")
        point = capture(driver, sink, prepared=lambda: client.call("SET", "between", "2"))
        with restored(server, sink, point) as copy:
            assert content(copy) == everything(client)


def test_a_key_made_permanent_before_the_mark_survives_and_a_mortal_one_dies(server: RedisServer) -> None:
    client, sink, driver = server.connect(), MemorySink(), RedisDriver(server.component)
    client.call("SET", "saved", "1", "PX", 300)
    client.call("SET", "mortal", "1", "PX", 300)
    client.call("SET", "later", "1", "EX", 3600)
    hour = expiry(client, "later")
    point = capture(driver, sink, prepared=lambda: client.call("PERSIST", "saved"))
    until = time.monotonic() + 30
    while client.call("EXISTS", "mortal") and time.monotonic() < until:
        time.sleep(0.02)
    with restored(server, sink, point) as copy, contextlib.closing(RedisConnection(copy.server)) as there:
        assert there.call("GET", "saved") == b"1"
        assert there.call("GET", "mortal") is None
        assert expiry(there, "later") == hour


def test_a_server_that_appends_comes_back_with_its_data_and_continues_to_append() -> None:
    with RedisServer({**SETTINGS, "appendonly": "yes"}) as server:
        client, sink, driver = server.connect(), MemorySink(), RedisDriver(server.component)
        client.call("SELECT", 39)
        client.call("SET", "key", "value")
        point = capture(driver, sink)
        with restored(server, sink, point) as copy:
            assert content(copy, databases=40) == everything(client, 40)
            with contextlib.closing(RedisConnection(copy.server)) as there:
                assert there.call("CONFIG", "GET", "appendonly") == [b"appendonly", b"yes"]
                assert there.call("CONFIG", "GET", "save") == [b"save", b"900 1"]
                assert there.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"104857600"]
                there.call("SET", "more", "1")
            copy.stop()
            copy.start()
            assert (0, b"more") in content(copy, databases=40)


def test_the_password_is_used_and_stored_nowhere(tmp_path: Path) -> None:
    with RedisServer({"requirepass": "hunter2hunter2"}) as server:
        place = tmp_path / "password"
        place.write_text("hunter2hunter2\n")
        given = {**server.component.options, "password": {"file": str(place)}}
        driver, sink = RedisDriver(Component("cache", "redis", given)), MemorySink()
        assert not RedisDriver(server.component).health().ok
        server.call("SET", "key", "value")
        point = capture(driver, sink)
        assert "hunter2" not in repr(point) + repr(sink.data)
        with restored(server, sink, point, password={"file": str(place)}) as copy:
            assert content(copy, "hunter2hunter2") == {(0, b"key"): (b"value", -1)}
            with pytest.raises(RefusedError), contextlib.closing(RedisConnection(copy.server)) as stranger:
                stranger.call("GET", "key")
            assert not any("hunter2" in word for process in processes() for word in process)
            files = [p.read_bytes() for p in copy.directory().rglob("*") if p.is_file()]
            assert not any(b"hunter2" in text for text in files)


def test_without_permission_to_replicate_the_image_is_taken_by_bgsave_inside_the_pause(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.call("ACL", "SETUSER", "default", "-psync")
    client, sink, driver = server.connect(), MemorySink(), RedisDriver(server.component)
    client.call("SET", "before", "1")
    first = capture(driver, sink, released=lambda: client.call("SET", "after", "1"))
    assert "taken by BGSAVE inside the pause" in sink.notes[0]
    assert any("falling back to BGSAVE: the server does not permit" in line for line in caplog.messages)
    with restored(server, sink, first) as copy:
        assert content(copy) == {(0, b"before"): (b"1", -1)}
    second = capture(driver, sink, first)
    assert second.position.order > first.position.order


def test_a_replica_is_refused_and_its_primary_named(server: RedisServer) -> None:
    with RedisServer({"replicaof": f"127.0.0.1 {server.port}"}) as replica:
        with pytest.raises(SourceError) as refusal:
            capture(RedisDriver(replica.component), MemorySink())
        assert f"127.0.0.1:{server.port}" in refusal.value.hint


def test_the_pause_ends_by_itself_without_a_release(server: RedisServer) -> None:
    session = RedisDriver(server.component).session(None, must_hold=True)
    session.prepare(MemorySink())
    session.hold(NoWatchdog(), time.monotonic() + 0.3)
    # As if this process were dead: no release, no close.
    client = server.connect()
    client.timeout(20)
    assert client.call("SET", "key", "value") == b"OK"
    session.close()


def test_a_position_read_after_the_pause_has_ended_is_refused(server: RedisServer) -> None:
    session = RedisDriver(server.component).session(None, must_hold=True)
    session.prepare(MemorySink())
    deadline = time.monotonic() + 0.05
    session.hold(NoWatchdog(), deadline)
    while time.monotonic() <= deadline:
        time.sleep(0.005)
    with pytest.raises(SourceError):
        session.mark("point")
    session.close()


def test_a_server_killed_in_the_middle_fails_the_point(server: RedisServer) -> None:
    with pytest.raises(SourceError) as failure:
        capture(RedisDriver(server.component), MemorySink(), prepared=server.kill)
    assert failure.value.hint


def test_our_replica_never_counts_as_a_copy_of_a_write(server: RedisServer) -> None:
    client = server.connect()
    counted = []

    def wait() -> None:
        client.call("SET", "key", "value")
        counted.append(client.call("WAIT", 1, 1500))

    capture(RedisDriver(server.component), MemorySink(), prepared=wait)
    assert counted == [0]


def test_a_damaged_stream_is_refused_with_the_servers_own_message(server: RedisServer) -> None:
    sink, driver = MemorySink(), RedisDriver(server.component)
    server.call("SET", "key", "value")
    point = capture(driver, sink)
    sink.data[b"data/dump.rdb"] = sink.data[b"data/dump.rdb"][:-20] + b"\0" * 20
    into = server.directory / "restored"
    into.mkdir()
    with pytest.raises(UndividedError) as refusal:
        driver.restore(MemorySource(sink, point), into)
    assert refusal.value.hint


def test_after_a_restart_of_the_server_the_next_point_is_exact_all_the_same() -> None:
    with RedisServer({"save": "3600 1"}) as server:
        sink, driver = MemorySink(), RedisDriver(server.component)
        server.call("SET", "before", "1")
        first = capture(driver, sink)
        driver.stop()
        assert not driver.health().ok
        server.start()
        server.call("SELECT", 5)
        server.call("SET", "after", "2")
        second = capture(driver, sink, first)
        sink.settle()
        with restored(server, sink, second) as copy, contextlib.closing(server.connect()) as client:
            assert content(copy) == everything(client)


def test_a_server_that_does_not_answer_in_time_is_not_held(server: RedisServer) -> None:
    session = RedisDriver(server.component).session(None, must_hold=True)
    session.prepare(MemorySink())
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(SourceError):
            session.hold(NoWatchdog(), time.monotonic() + 0.1)
        session.release()
    finally:
        server.process.send_signal(signal.SIGCONT)
    session.close()
    assert server.call("SET", "key", "value") == b"OK"


def test_running_servers_are_found_and_describe_themselves(server: RedisServer) -> None:
    assert server.port in [found.options.get("port") for found in RedisDriver.find()]
    facts = RedisDriver(server.component).describe()
    assert facts.directory == str(server.data)
    assert facts.version[0].isdigit()
    assert " on /" in facts.filesystem


def test_the_documented_rights_suffice_and_admit_to_the_copy(server: RedisServer, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "drivers" / "redis.md"
    (rule,) = [line for line in page.read_text().splitlines() if line.startswith("ACL SETUSER")]
    server.call(*rule.replace("PASSWORD", "s3cret").split())
    (tmp_path / "secret").write_text("s3cret")
    given = {"user": "undivided", "password": {"file": str(tmp_path / "secret")}}
    driver, sink = RedisDriver(server.component.at(given)), MemorySink()
    server.call("SET", "key", "value")
    first = capture(driver, sink)
    second = capture(driver, sink, first)
    assert [note for note in sink.notes if "new image" not in note] == []
    assert driver.health().ok
    assert driver.describe().directory == str(server.data)
    with restored(server, sink, second, **given) as copy:
        assert content(copy, "s3cret") == {(0, b"key"): (b"value", -1)}
        unnamed = RedisAddress(socket=copy.server.socket)
        with pytest.raises(RefusedError), contextlib.closing(RedisConnection(unnamed)) as stranger:
            stranger.call("GET", "key")


def test_a_server_that_refuses_the_login_is_never_taken_for_one_that_is_down(tmp_path: Path) -> None:
    with RedisServer({"requirepass": "hunter2hunter2"}) as server:
        (tmp_path / "wrong").write_text("guess")
        stranger = RedisDriver(server.component.at({"password": {"file": str(tmp_path / "wrong")}}))
        for step in (stranger.stop, stranger.start, RedisDriver(server.component).stop):
            with pytest.raises(UndividedError) as refusal:
                step()
            assert refusal.value.hint
        assert server.process is not None and server.process.poll() is None
