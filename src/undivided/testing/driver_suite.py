"""The contract of drivers/base.py as tests that every driver must pass, whatever its application.

A test module derives from `DriverSuite` and provides two fixtures: `instance`, which tests share and leave
running, and `disposable`, which a test may destroy. The tests assert promises, never times: a write that
waits is not there during the hold, and is there afterwards.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ..drivers.base import Driver
from ..drivers.registry import driver_for
from ..model.errors import SourceError
from ..model.point import ComponentPoint
from ..model.service import Component
from .capturing import capture
from .instances import Instance
from .memory import MemorySink, MemorySource, NoWatchdog

_NAMES = (f"copy{number}" for number in itertools.count())
_SMALL = 200_000
"""Bytes that a point with next to no changes may move: the padding of a log, a page or two."""
_MOMENT = 0.3


class Writing:
    """A client that writes token after token. begun, acknowledged: in order; the second is behind the
    first."""

    def __init__(self, instance: Instance, name: str) -> None:
        self._instance = instance
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.begun: list[str] = []
        self.acknowledged: list[str] = []
        self.failure: Exception | None = None

    def _run(self) -> None:
        try:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                token = f"{self._name}-{number}"
                self.begun.append(token)
                self._instance.write(token)
                self.acknowledged.append(token)
        except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
            self.failure = error

    def wait_for_more(self, count: int = 3) -> None:
        goal, until = len(self.acknowledged) + count, time.monotonic() + 60
        while len(self.acknowledged) < goal:
            assert self.failure is None, self.failure
            assert time.monotonic() < until, "the writer does not continue"
            time.sleep(0.002)

    def __enter__(self) -> Writing:
        self._thread.start()
        self.wait_for_more(1)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()


class DriverSuite:
    @pytest.fixture
    def driver(self, instance: Instance, tmp_path: Path) -> Driver:
        return self.open(instance.component, tmp_path)

    @staticmethod
    def open(component: Component, tmp_path: Path) -> Driver:
        """The driver with its own cache, as capture sets it."""
        driver = driver_for(component)
        driver.cache = tmp_path / "cache"
        driver.cache.mkdir(exist_ok=True)
        return driver

    @contextmanager
    def recovered(self, instance: Instance, sink: MemorySink, point: ComponentPoint) -> Iterator[Component]:
        """The point, built next to its place, moved there and started, while the original runs."""
        name = next(_NAMES)
        component = instance.elsewhere(name)
        driver = driver_for(component)
        built = instance.root / f"{name}.built"
        built.mkdir(mode=0o700)
        driver.restore(MemorySource(sink, point), built)
        assert driver.install(built, ".aside") is None
        driver.start()
        try:
            driver.start()
            assert driver.health().ok, driver.health().reason
            yield component
        finally:
            driver.stop()
        driver.stop()

    def test_the_mark_holds_what_was_acknowledged_before_the_hold_and_nothing_begun_after(
        self, instance: Instance, driver: Driver
    ) -> None:
        sink, name = MemorySink(), next(_NAMES)
        points = []
        with Writing(instance, name) as client:
            previous = None
            for _ in range(2):
                before: list[set[str]] = []
                begun: list[set[str]] = []

                def prepared(before: list[set[str]] = before) -> None:
                    client.wait_for_more()
                    before.append(set(client.acknowledged))

                def released(begun: list[set[str]] = begun) -> None:
                    begun.append(set(client.begun))
                    client.wait_for_more()

                previous = capture(driver, sink, previous, prepared=prepared, released=released)
                sink.settle()
                points.append((sink.copy(), previous, before[0], begun[0]))
        for kept, point, least, most in points:
            with self.recovered(instance, kept, point) as component:
                found = {token for token in instance.read_all(component) if token.startswith(f"{name}-")}
            assert least <= found, f"acknowledged and lost: {sorted(least - found)}"
            assert found <= most, f"begun after the release: {sorted(found - most)}"

    def test_a_write_waits_while_held_and_continues_after_the_release(
        self, instance: Instance, driver: Driver
    ) -> None:
        token = next(_NAMES)
        session = driver.session(None, must_hold=True)
        write = threading.Thread(target=instance.write, args=(token,))
        try:
            session.prepare(MemorySink())
            assert session.holds
            session.arm(NoWatchdog(), time.monotonic() + 10)
            session.hold(NoWatchdog(), time.monotonic() + 20)
            write.start()
            write.join(_MOMENT)
            assert write.is_alive(), "acknowledged while held"
            session.mark("point")
            session.release()
            write.join(60)
            assert not write.is_alive(), "still waiting after the release"
        finally:
            session.release()
            session.close()
        assert token in instance.read_all(instance.component)

    def test_release_and_close_may_come_at_any_time_and_twice(
        self, instance: Instance, driver: Driver
    ) -> None:
        for steps in range(3):
            session = driver.session(None, must_hold=True)
            if steps > 0:
                session.prepare(MemorySink())
            if steps > 1:
                session.arm(NoWatchdog(), time.monotonic() + 10)
                session.hold(NoWatchdog(), time.monotonic() + 20)
            for _ in range(2):
                session.release()
            for _ in range(2):
                session.close()
            session.release()
            instance.write(next(_NAMES))

    def test_an_unchanged_instance_moves_next_to_nothing(self, instance: Instance, driver: Driver) -> None:
        sink = MemorySink()
        first = capture(driver, sink)
        whole = sink.settle()
        second = capture(driver, sink, first)
        moved = sink.settle()
        assert moved < min(_SMALL, whole // 2)
        assert second.position.order >= first.position.order

    def test_a_small_change_moves_little(self, instance: Instance, driver: Driver) -> None:
        sink, token = MemorySink(), next(_NAMES)
        first = capture(driver, sink)
        whole = sink.settle()
        instance.write(token)
        second = capture(driver, sink, first)
        assert 0 < sink.settle() < min(_SMALL, whole // 2)
        # A tree of files has no log and so no order of its own.
        assert not second.position.order or second.position.order > first.position.order
        with self.recovered(instance, sink, second) as component:
            assert token in instance.read_all(component)

    def test_without_the_state_of_the_last_point_everything_is_read_again(
        self, instance: Instance, driver: Driver
    ) -> None:
        sink, token = MemorySink(), next(_NAMES)
        instance.write(token)
        first = capture(driver, sink)
        whole = sink.settle()
        second = capture(driver, sink, replace(first, state={}))
        assert sink.settle() > whole // 2
        assert second.position.order >= first.position.order
        with self.recovered(instance, sink, second) as component:
            assert token in instance.read_all(component)

    def test_a_recovered_copy_runs_next_to_its_original_and_neither_sees_the_other(
        self, instance: Instance, driver: Driver
    ) -> None:
        sink, early, late = MemorySink(), next(_NAMES), next(_NAMES)
        instance.write(early)
        point = capture(driver, sink)
        sink.settle()
        with self.recovered(instance, sink, point) as component:
            instance.write(late)
            assert early in instance.read_all(component)
            assert late not in instance.read_all(component)
        assert {early, late} <= instance.read_all(instance.component)
        assert driver.health().ok

    def test_installing_again_moves_the_old_data_aside_and_repeating_converges(
        self, instance: Instance, driver: Driver
    ) -> None:
        sink = MemorySink()
        point = capture(driver, sink)
        sink.settle()
        with self.recovered(instance, sink, point) as component:
            pass
        there = driver_for(component)
        built = instance.root / f"{next(_NAMES)}.built"
        built.mkdir(mode=0o700)
        there.restore(MemorySource(sink, point), built)
        for _ in range(2):
            old = there.install(built, ".aside")
            assert old is not None
            assert old.name.endswith(".aside")
            assert old.exists()
        assert not built.exists()

    def test_it_describes_itself_and_is_healthy(self, driver: Driver) -> None:
        description = driver.describe()
        assert Path(description.directory).is_dir()
        assert description.size > 0
        assert description.filesystem
        assert driver.health().ok
        assert driver.health().reason
        assert driver.directory().exists()

    def test_one_that_is_gone_fails_the_point_with_a_hint_and_is_unhealthy(
        self, disposable: Instance, tmp_path: Path
    ) -> None:
        driver = self.open(disposable.component, tmp_path)
        disposable.kill()
        assert not driver.health().ok
        assert driver.health().reason
        with pytest.raises(SourceError):
            driver.describe()
        session = driver.session(None, must_hold=True)
        try:
            with pytest.raises(SourceError) as failure:
                session.prepare(MemorySink())
        finally:
            session.release()
            session.close()
        assert failure.value.hint
