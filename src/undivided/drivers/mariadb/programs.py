"""MariaDB's own programs: how they are found, and run as the owner of the data with their success checked.

A program may fail silently, be killed, or be missing. So a child counts as successful only when its exit
status is 0 and, for a program that ends with a line of success, when that line is the last one. The end of
its stderr is kept for the error, a limited number of lines.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from ...model.errors import SourceError, UndividedError, error_context
from ...model.service import Component

_PACKAGES = {
    "mariadb-backup": "mariadb-backup",
    "mariadb-binlog": "mariadb-client",
    "mariadb": "mariadb-client",
}
_OLD_NAMES = {
    "mariadbd": "mysqld",
    "mariadb-backup": "mariabackup",
    "mariadb-binlog": "mysqlbinlog",
    "mariadb-dump": "mysqldump",
    "mariadb-install-db": "mysql_install_db",
    "mariadb": "mysql",
}
_KEPT_LINES = 60
_ERRORS = re.compile(r"error|fail|denied|cannot|can't|unable|refus", re.IGNORECASE)


def program(component: Component, name: str) -> str:
    """The path of one of MariaDB's programs. Raises UndividedError when it is not installed."""
    own = component.get("binaries")
    if own is not None:
        parent = os.path.dirname(os.path.normpath(own))
        path = os.pathsep.join([own, *(os.path.join(parent, d) for d in ("bin", "sbin", "scripts"))])
    else:
        path = os.pathsep.join(
            [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/usr/libexec"]
        )
    for candidate in (name, _OLD_NAMES[name]):
        found = shutil.which(candidate, path=path)
        if found:
            return found
    package = _PACKAGES.get(name, "mariadb-server")
    raise UndividedError(
        f"{name} is not installed"
        if own is None
        else f"{name} is neither in {own} nor in a directory next to it",
        doing=f"look for MariaDB's programs for {component.name}",
        hint=f"Install {package} of the server's own version, or set `binaries` to its directory.",
    )


@dataclass(frozen=True, slots=True)
class MariaDBOwner:
    """The owner of the data, which is the account that its server runs as."""

    uid: int
    gid: int

    @staticmethod
    def of(path: str | os.PathLike[str]) -> MariaDBOwner:
        """The owner of the file or directory at `path`; when that is root, MariaDB's own account."""
        found = os.stat(path)
        return MariaDBOwner.fit(found.st_uid, found.st_gid)

    @staticmethod
    def fit(uid: int, gid: int) -> MariaDBOwner:
        """(uid, gid), or the account `mysql` in place of root. When this process is not root, its own
        account. Raises UndividedError when the account `mysql` does not exist."""
        if os.geteuid() != 0:
            return MariaDBOwner(os.geteuid(), os.getegid())
        if uid != 0:
            return MariaDBOwner(uid, gid)
        try:
            account = pwd.getpwnam("mysql")
        except KeyError:
            raise UndividedError(
                "there is no account `mysql` to run a server as",
                doing="run MariaDB on data that root owns",
                hint="Install mariadb-server, or give the data directory to the account that should run it.",
            ) from None
        return MariaDBOwner(account.pw_uid, account.pw_gid)

    def popen(self) -> dict[str, Any]:
        """Arguments for subprocess that run the child as this account."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: str | os.PathLike[str]) -> None:
        """Gives the account everything at and beneath `path`. Does nothing when this process is not root."""
        if os.geteuid() != 0:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), self.uid, self.gid, follow_symlinks=False)


class Child:
    """One run of a program. A context manager: leaving it ends a child that still runs.

    last_line: the text of the last line on stderr with which the program reports success; None for a program
    without one.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        doing: str,
        last_line: str | None = None,
        owner: MariaDBOwner | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        with_us: bool = False,
    ) -> None:
        """with_us: the child is killed when this process dies (a private server must not outlive it)."""
        self._name, self._doing, self._last_line = os.path.basename(argv[0]), doing, last_line
        if with_us and shutil.which("setpriv"):
            argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        with error_context(doing):
            self._process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                **(owner.popen() if owner else {}),
            )
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(target=self._read, name=f"stderr of {self._name}", daemon=True)
        self._reader.start()

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def done(self, timeout: float | None = None) -> None:
        """Waits for the end. Raises SourceError when it failed or did not report success."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{self._name} did not end within {timeout:g} s", doing=self._doing) from error
        self._reader.join(_STDERR_TIMEOUT)
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
            raise SourceError(f"{self._name} {how}{self.last_errors()}", doing=self._doing)
        if self._last_line and not (self._lines and self._last_line in self._lines[-1]):
            cause = f"{self._name} ended without its last line {self._last_line!r}{self.last_errors()}"
            raise SourceError(cause, doing=self._doing)

    def last_errors(self) -> str:
        """The last errors on its stderr, else the last lines, to be appended to a message."""
        lines = [line for line in self._lines if line]
        errors = [line for line in lines if _ERRORS.search(line)][-3:] or lines[-3:]
        return f": {' / '.join(errors)}" if errors else ""

    def terminate(self) -> None:
        """Asks it to end (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *failure: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends it if it still runs, and closes its pipes. Never raises."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self.running:
            self.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(_STDERR_TIMEOUT)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while line := pipe.readline(4096):
                self._lines.append(line.decode("utf-8", "replace").strip())


_STDERR_TIMEOUT = 5.0
"""Seconds to wait for the end of stderr after the program has ended: a grandchild may keep it open."""
