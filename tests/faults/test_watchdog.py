"""Nothing stays held when we die or hang: the watchdog releases by the deadline, or at once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.capture.watchdog_client import WatchdogClient
from undivided.model.errors import SourceError
from undivided.testing.filesystems import loop_filesystem
from undivided.testing.sessions import Counter


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    with Counter(tmp_path / "numbers") as running:
        yield running


START = """
from undivided.capture.watchdog_client import WatchdogClient
watchdog = WatchdogClient()
"""


def holder(body: str, *args: object) -> subprocess.Popen[str]:
    """A process that holds something: runs `body` with a `watchdog`, then prints "held"."""
    script = (
        "import os, signal, sys, time\n"
        + START
        + textwrap.dedent(body)
        + "\nprint('held', flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


STOP = """
watchdog.arm(float(sys.argv[2]))
watchdog.resume([int(sys.argv[1])])
os.kill(int(sys.argv[1]), signal.SIGSTOP)
"""


def test_a_killed_holder_leaves_no_writer_stopped(counter: Counter) -> None:
    process = holder(STOP, counter.pid, 60)
    assert not counter.growing()
    process.kill()
    _, printed = process.communicate(timeout=5)
    counter.wait_until_growing(5)
    assert printed.splitlines() == [
        f"undivided watchdog: process {process.pid} ended while it held the service",
        f"undivided watchdog: resume process {counter.pid}: done",
    ]


def test_a_hanging_holder_is_released_at_the_deadline_and_then_killed(counter: Counter) -> None:
    process = holder(STOP, counter.pid, 0.5)
    os.kill(process.pid, signal.SIGSTOP)
    counter.wait_until_growing(5)
    _, printed = process.communicate(timeout=5)
    assert process.returncode == -signal.SIGKILL
    assert printed.splitlines() == [
        f"undivided watchdog: process {process.pid} held the service past its deadline",
        f"undivided watchdog: resume process {counter.pid}: done",
        f"undivided watchdog: kill process {process.pid}, which held the service and did not answer: done",
    ]


def test_a_released_watchdog_does_nothing_and_leaves(counter: Counter) -> None:
    with WatchdogClient() as watchdog:
        watchdog.arm(60)
        watchdog.resume([counter.pid])
        os.kill(counter.pid, signal.SIGSTOP)
        watchdog.released()
        assert not watchdog.fired
        assert not counter.growing()
    os.kill(counter.pid, signal.SIGCONT)


def test_a_watchdog_that_acted_reports_what_it_undid(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    with WatchdogClient() as watchdog:
        watchdog.arm(0.05)
        watchdog.resume([counter.pid])
        os.kill(counter.pid, signal.SIGSTOP)
        counter.wait_until_growing(5)
        watchdog.released()
        assert watchdog.fired
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"the watchdog undid a hold: resume process {counter.pid}: done"


def test_after_a_failure_the_watchdog_undoes_every_hold_and_a_step_that_fails_keeps_no_other(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    gone = subprocess.Popen(["sleep", "600"])
    with caplog.at_level(logging.INFO), pytest.raises(RuntimeError), WatchdogClient() as watchdog:
        watchdog.resume([counter.pid, gone.pid])
        gone.kill()
        gone.wait()
        os.kill(counter.pid, signal.SIGSTOP)
        raise RuntimeError
    counter.wait_until_growing(5)
    assert [record.getMessage() for record in caplog.records] == [
        f"the watchdog undid a hold: resume process {gone.pid}: "
        "ProcessLookupError: [Errno 3] No such process",
        f"the watchdog undid a hold: resume process {counter.pid}: done",
    ]


def test_what_cannot_be_opened_for_release_is_refused_before_the_hold() -> None:
    with (
        WatchdogClient() as watchdog,
        pytest.raises(SourceError, match="could not prepare a release: FileNotFoundError"),
    ):
        watchdog.write("/nowhere/cgroup.freeze", b"0")


def test_a_dead_watchdog_is_noticed(counter: Counter) -> None:
    with WatchdogClient() as watchdog:
        os.kill(watchdog.pid, signal.SIGKILL)
        with pytest.raises(SourceError, match="the watchdog process died"):
            watchdog.resume([counter.pid])


def test_a_written_release_is_written(tmp_path: Path) -> None:
    target = tmp_path / "cgroup.freeze"
    target.write_bytes(b"1")
    process = holder("watchdog.arm(60)\nwatchdog.write(sys.argv[1], b'0')", target)
    process.kill()
    process.wait()
    until = time.monotonic() + 5
    while target.read_bytes() != b"0":
        assert time.monotonic() < until


FREEZE = """
import fcntl
root = os.open(sys.argv[1], os.O_RDONLY)
watchdog.arm(60)
watchdog.thaw(sys.argv[1])
fcntl.ioctl(root, 0xC0045877, 0)
"""


@pytest.mark.real
def test_a_frozen_filesystem_is_thawed_when_its_freezer_dies(tmp_path: Path) -> None:
    with loop_filesystem("xfs", tmp_path) as root, Counter(root / "numbers") as counter:
        process = holder(FREEZE, root)
        assert not counter.growing()
        process.kill()
        process.wait()
        counter.wait_until_growing(10)


@pytest.mark.real
def test_the_watchdog_works_while_the_filesystem_of_its_own_program_is_frozen(tmp_path: Path) -> None:
    with loop_filesystem("xfs", tmp_path) as root, Counter(root / "numbers") as counter:
        program = root / "undivided"
        subprocess.run(
            ["cp", "-r", os.path.dirname(sys.modules["undivided"].__file__ or ""), program], check=True
        )
        script = f"import os, sys, time\nsys.path.insert(0, {str(root)!r})\n" + START + FREEZE
        script += "print('held', flush=True)\ntime.sleep(600)\n"
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True, cwd=root
        )
        assert process.stdout and process.stdout.readline() == "held\n"
        assert not counter.growing()
        process.kill()
        counter.wait_until_growing(10)
        process.wait()


NESTED = """
import fcntl
watchdog.arm(60)
for root in (sys.argv[2], sys.argv[1]):
    descriptor = os.open(root, os.O_RDONLY)
    watchdog.thaw(root)
    fcntl.ioctl(descriptor, 0xC0045877, 0)
"""


@pytest.mark.real
def test_nested_filesystems_frozen_child_first_are_thawed_parent_first(tmp_path: Path) -> None:
    with (
        loop_filesystem("xfs", tmp_path) as parent,
        loop_filesystem("ext4", parent, megabytes=64) as child,
        Counter(parent / "numbers") as outer,
        Counter(child / "numbers") as inner,
    ):
        process = holder(NESTED, parent, child)
        assert not outer.growing()
        assert not inner.growing()
        process.kill()
        process.wait()
        outer.wait_until_growing(10)
        inner.wait_until_growing(10)
