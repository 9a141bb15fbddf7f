"""Freezing the processes that write a tree: with the freezer of their cgroup, or by stopping each process.

The service file names the writers: {unit: …}, {cgroup: …}, {pidfile: …} or {user: …}. The freezer of cgroup
v2 stops a whole group at once, including processes it forks meanwhile; it is the default for writers that
have a group. Otherwise SIGSTOP is sent to a process tree until every process is seen stopped and no new one
has appeared.

The watchdog learns how to undo the freeze before any process is stopped. This process and its ancestors are
never stopped.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ...model.errors import SourceError, reason
from ..base import Watchdog

_POLL = 0.0005
_MOUNTS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_STOPPED = frozenset(b"TtZX")
"""States in /proc/PID/stat of a process that runs no more: stopped, traced, zombie, dead."""


class Freezer(Protocol):
    """One way to freeze writers. `resume` undoes `stop` at any time, also when `stop` failed."""

    def arm(self, watchdog: Watchdog) -> None:
        """Registers all undo steps that are known now with the watchdog, so that `stop` is short."""
        ...

    def stop(self, watchdog: Watchdog, deadline: float) -> None:
        """Returns when no writer runs any more. Raises SourceError at `deadline` (time.monotonic)."""
        ...

    def resume(self) -> None:
        """Lets the writers continue. Idempotent, never raises."""
        ...

    def pids(self) -> list[int]: ...


def freezer_for(writers: Mapping[str, Any]) -> Freezer:
    """The freezer for the `writers` of a service file. Raises SourceError when they cannot be found."""
    how = writers.get("freeze") or ("cgroup" if "cgroup" in writers or "unit" in writers else "stop")
    if how == "cgroup":
        group = _group_of(writers)
        if not (group / "cgroup.freeze").exists():
            raise _refused(
                f"{group} has no freezer", "Use {freeze: stop}, or give the writers their own cgroup."
            )
        return CgroupFreezer(group)
    return SignalFreezer(writers)


class CgroupFreezer:
    """group: a directory of a cgroup v2 hierarchy."""

    def __init__(self, group: Path) -> None:
        self._group = group
        self._freeze = group / "cgroup.freeze"
        self._armed = False
        self._frozen = False

    def pids(self) -> list[int]:
        found: list[int] = []
        for folder, _, files in os.walk(self._group):
            if "cgroup.procs" in files:
                with suppress(OSError):
                    found += [int(n) for n in Path(folder, "cgroup.procs").read_text().split()]
        return found

    def arm(self, watchdog: Watchdog) -> None:
        _refuse_own_processes(self.pids(), str(self._group))
        watchdog.write(str(self._freeze), b"0")
        self._armed = True

    def stop(self, watchdog: Watchdog, deadline: float) -> None:
        if not self._armed:
            self.arm(watchdog)
        try:
            with open(self._group / "cgroup.events", "rb", buffering=0) as events:
                self._frozen = True
                self._freeze.write_bytes(b"1")
                while b"frozen 1" not in os.pread(events.fileno(), 4096, 0):
                    if time.monotonic() > deadline:
                        raise _refused(
                            f"{self._group} did not freeze in time", "A process in it waits for a disk."
                        )
                    time.sleep(_POLL)
        except OSError as error:
            raise _refused(f"{self._freeze}: {reason(error)}", _PERMISSION) from error

    def resume(self) -> None:
        if self._frozen:
            with suppress(OSError):  # the group is gone, and all its processes with it
                self._freeze.write_bytes(b"0")
            self._frozen = False


class SignalFreezer:
    """Stops every process of a pid file's tree, of a unit or group, or of a user."""

    def __init__(self, writers: Mapping[str, Any]) -> None:
        self._writers = writers
        self._registered: set[int] = set()
        self._stopped: set[int] = set()

    def pids(self) -> list[int]:
        if "pidfile" in self._writers:
            return _tree(_from_pidfile(Path(self._writers["pidfile"])))
        if "user" in self._writers:
            return list(_of_user(self._writers["user"]))
        return CgroupFreezer(_group_of(self._writers)).pids()

    def arm(self, watchdog: Watchdog) -> None:
        self._register(watchdog, self.pids())

    def stop(self, watchdog: Watchdog, deadline: float) -> None:
        while True:
            pids = self.pids()
            new = [pid for pid in pids if pid not in self._stopped]
            if new:
                self._register(watchdog, new)
                self._stopped.update(new)
                for pid in new:
                    self._signal(pid)
                continue
            # A listed process may have forked before it stopped, so the list must be the same afterwards.
            if all(_state(pid) in _STOPPED for pid in pids) and self._stopped.issuperset(self.pids()):
                return
            if time.monotonic() > deadline:
                running = ", ".join(str(pid) for pid in pids if _state(pid) not in _STOPPED)
                raise _refused(f"processes did not stop in time: {running}", "They are waiting for a disk.")
            time.sleep(_POLL)

    def _register(self, watchdog: Watchdog, pids: list[int]) -> None:
        new = [pid for pid in pids if pid not in self._registered]
        if new:
            _refuse_own_processes(new, "the writers")
            watchdog.resume(new)
            self._registered.update(new)

    def resume(self) -> None:
        for pid in self._stopped:
            with suppress(OSError):  # it ended
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    @staticmethod
    def _signal(pid: int) -> None:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise _refused(f"no permission to stop process {pid}", _PERMISSION) from error


_PERMISSION = "Run as root, or as the user that these processes belong to."


def _group_of(writers: Mapping[str, Any]) -> Path:
    if "unit" in writers:
        return _mounted(_unit_group(writers["unit"]))
    if "cgroup" in writers:
        return _mounted(writers["cgroup"])
    if "pidfile" in writers:
        pid = _from_pidfile(Path(writers["pidfile"]))
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return _mounted(line[3:])
    raise _refused(
        "the writers have no cgroup of their own", "Use {freeze: stop}, or name their {cgroup: …}."
    )


def _mounted(name: str) -> Path:
    """The directory of a group. name: absolute, or within the v2 hierarchy, wherever that is mounted."""
    for mount in _MOUNTS:
        inside = name if name.startswith(str(mount) + "/") else f"{mount}/{name.lstrip('/')}"
        if (Path(inside) / "cgroup.procs").exists() and (mount / "cgroup.controllers").exists():
            return Path(inside)
    raise _refused(
        f"no such cgroup: {name}", "Name it as /proc/PID/cgroup does on the line that starts with 0::."
    )


def _unit_group(unit: str) -> str:
    try:
        shown = subprocess.run(
            ["systemctl", "show", "--property=ControlGroup", "--value", "--", unit],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused(
            f"systemctl does not answer: {error}", "Name the writers by {cgroup: …} instead."
        ) from error
    group = shown.stdout.strip()
    if shown.returncode != 0 or not group:
        raise _refused(f"unit {unit} is not running", "Start it, or name the writers in another way.")
    return group


def _from_pidfile(path: Path) -> int:
    try:
        pid = int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError) as error:
        raise _refused(f"{path} holds no process id", "Is the application running?") from error
    if not Path(f"/proc/{pid}").exists():
        raise _refused(f"{path} names process {pid}, which is not running", "Is the application running?")
    return pid


def _tree(root: int) -> list[int]:
    """A process and all its descendants."""
    if not os.path.exists("/proc/thread-self/children"):
        raise _refused(
            "this kernel does not list child processes", "Name the writers by {cgroup: …} instead."
        )
    found = [root]
    for pid in found:
        found += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    """As the kernel lists them for each thread: much quicker than reading the parent of every process. The
    list is only reliable when no process of the tree runs, and `stop` relies only on such a list."""
    children: list[int] = []
    with suppress(OSError):  # it ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                children += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return children


def _of_user(user: str) -> Iterator[int]:
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise _refused(f"no such user: {user}", "Check `writers` in the service file.") from error
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    yield int(name)


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _state(pid: int) -> int:
    fields = _stat(pid)
    return fields[0][0] if fields else ord("X")


def _refuse_own_processes(pids: list[int], what: str) -> None:
    own = {os.getpid()}
    pid = os.getppid()
    while pid > 1:
        own.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    if own & set(pids):
        raise _refused(
            f"freezing {what} would stop this very program or a process that started it",
            "Give the writers a cgroup, user or pid file of their own, or run this program from elsewhere.",
        )


def _refused(cause: str, hint: str) -> SourceError:
    return SourceError(cause, doing="freeze the writers", hint=hint)
