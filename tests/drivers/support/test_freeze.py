"""Writers that are held do not write, those that are not named go on, and we never stop ourselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from undivided.drivers.support.freeze import freezer_for
from undivided.model.errors import SourceError
from undivided.testing.memory import NoWatchdog

_FAMILY = """
import os, sys, time
def work(name):
    fd = os.open(os.path.join(sys.argv[1], name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        os.write(fd, b"x"); time.sleep(0.0005)
print(os.getpid(), flush=True)
if os.fork() == 0:
    if os.fork() == 0: work("grandchild")
    work("child")
work("parent")
"""


class Family:
    """A process with a child and a grandchild, each writing its own file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", _FAMILY, str(folder)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdout
        self.pid = int(self.process.stdout.readline())
        deadline = time.monotonic() + 10
        while len(self.sizes()) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(self.sizes()) == 3

    def sizes(self) -> list[int]:
        return [p.stat().st_size for p in sorted(self.folder.iterdir()) if p.name != "pid"]

    def writes(self, seconds: float = 0.1) -> bool:
        before = self.sizes()
        time.sleep(seconds)
        return self.sizes() != before

    def end(self) -> None:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    folder = tmp_path / "data"
    folder.mkdir()
    family = Family(folder)
    (tmp_path / "pid").write_text(f"{family.pid}\n")
    yield family
    family.end()


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of our own."""
    root = next((p for p in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
                 if (p / "cgroup.controllers").exists()), None)  # fmt: skip
    if root is None or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup v2 hierarchy")
    group = root / f"undivided-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "cgroup.freeze").write_text("0")
    deadline = time.monotonic() + 10
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        try:
            group.rmdir()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_whole_process_tree_is_stopped_and_continues(family: Family, tmp_path: Path) -> None:
    watchdog = NoWatchdog()
    freezer = freezer_for({"pidfile": str(tmp_path / "pid"), "freeze": "stop"})
    freezer.stop(watchdog, time.monotonic() + 5)
    assert not family.writes()
    registered = {pid for kind, pids in watchdog.calls if kind == "resume" for pid in pids}  # type: ignore[attr-defined]
    assert registered == set(freezer.pids()) and len(registered) == 3
    freezer.resume()
    freezer.resume()
    assert family.writes(1.0)


def test_a_whole_cgroup_is_frozen_and_continues(family: Family, group: Path) -> None:
    for pid in freezer_for({"pidfile": str(family.folder.parent / "pid")}).pids():
        (group / "cgroup.procs").write_text(str(pid))
    watchdog = NoWatchdog()
    freezer = freezer_for({"cgroup": f"/{group.name}"})
    freezer.stop(watchdog, time.monotonic() + 5)
    assert not family.writes()
    assert watchdog.calls == [("write", (str(group / "cgroup.freeze"), b"0"))]
    assert len(freezer.pids()) == 3
    freezer.resume()
    assert family.writes(1.0)


def test_the_group_of_a_pid_file_is_found(family: Family, group: Path, tmp_path: Path) -> None:
    for pid in freezer_for({"pidfile": str(tmp_path / "pid")}).pids():
        (group / "cgroup.procs").write_text(str(pid))
    freezer = freezer_for({"pidfile": str(tmp_path / "pid"), "freeze": "cgroup"})
    freezer.stop(NoWatchdog(), time.monotonic() + 5)
    assert not family.writes()
    freezer.resume()


def test_we_never_stop_ourselves_or_our_ancestors(tmp_path: Path, group: Path) -> None:
    for pid in (os.getpid(), os.getppid()):
        (tmp_path / "pid").write_text(str(pid))
        watchdog = NoWatchdog()
        with pytest.raises(SourceError, match="this very program"):
            freezer_for({"pidfile": str(tmp_path / "pid")}).stop(watchdog, time.monotonic() + 1)
        assert watchdog.calls == []
    child = subprocess.run(
        [sys.executable, "-c", _INSIDE, str(group)], capture_output=True, text=True, timeout=30, check=False
    )
    assert "this very program" in child.stdout


_INSIDE = """
import os, sys, time
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
from undivided.drivers.support.freeze import freezer_for
from undivided.model.errors import SourceError
from undivided.testing.memory import NoWatchdog
try:
    freezer_for({"cgroup": sys.argv[1]}).stop(NoWatchdog(), time.monotonic() + 1)
except SourceError as error:
    print(error.cause)
"""


def test_all_processes_of_a_user_are_stopped() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to start processes of another user")
    sleepers = [subprocess.Popen(["sleep", "60"], user="games") for _ in range(3)]
    try:
        freezer = freezer_for({"user": "games", "freeze": "stop"})
        freezer.stop(NoWatchdog(), time.monotonic() + 5)
        assert set(freezer.pids()) >= {p.pid for p in sleepers}
        assert {state_of(p.pid) for p in sleepers} == {"T"}
        freezer.resume()
        assert "T" not in {state_of(p.pid) for p in sleepers}
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    "writers",
    [
        {"pidfile": "/nonexistent/pid"},
        {"user": "no-such-user"},
        {"cgroup": "/no/such/group"},
        {"user": "root", "freeze": "cgroup"},
    ],
)
def test_writers_that_cannot_be_found_are_an_error_with_a_hint(writers: dict[str, str]) -> None:
    with pytest.raises(SourceError) as caught:
        freezer_for(writers).stop(NoWatchdog(), time.monotonic() + 1)
    assert caught.value.hint


def test_a_pid_file_of_a_dead_process_is_refused(tmp_path: Path) -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    (tmp_path / "pid").write_text(str(done.pid))
    with pytest.raises(SourceError, match="is not running"):
        freezer_for({"pidfile": str(tmp_path / "pid")}).stop(NoWatchdog(), time.monotonic() + 1)
