"""MariaDB's own programs: found, run under the owner of the data, and believed only after they said so.

A program may fail quietly, be killed, or be missing. So a child counts as done when its exit status is 0, and
where the program has a last line by which it says that it finished, when that line is there too. The end of
what it wrote to stderr is kept for the error; a chatty program cannot fill our memory.
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

from ...model.errors import SourceError, UndividedError
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
_TELLING = re.compile(r"error|fail|denied|cannot|can't|unable|refus", re.IGNORECASE)


def program(component: Component, name: str) -> str:
    """The path of one of MariaDB's programs. Raises UndividedError when it is not there."""
    own = component.get("binaries")
    if own is not None:
        beside = os.path.dirname(os.path.normpath(own))
        path = os.pathsep.join([own, *(os.path.join(beside, d) for d in ("bin", "sbin", "scripts"))])
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
        f"{name} is not installed" if own is None else f"{name} is not in {own} nor beside it",
        doing=f"look for MariaDB's programs for {component.name}",
        hint=f"Install {package}, of the server's own version, or name its directory as `binaries`.",
    )


@dataclass(frozen=True, slots=True)
class MariaDBOwner:
    """Whose the data is: the account a server shall run under."""

    uid: int
    gid: int

    @staticmethod
    def of(path: str | os.PathLike[str]) -> MariaDBOwner:
        """The owner of what is at `path`; when that is root, MariaDB's own account."""
        found = os.stat(path)
        return MariaDBOwner.fit(found.st_uid, found.st_gid)

    @staticmethod
    def fit(uid: int, gid: int) -> MariaDBOwner:
        """(uid, gid), or the account `mysql` where that would be root. Ourselves when we are not root, for
        then nothing else is possible. Raises UndividedError where there is no such account."""
        if os.geteuid() != 0:
            return MariaDBOwner(os.geteuid(), os.getegid())
        if uid != 0:
            return MariaDBOwner(uid, gid)
        try:
            account = pwd.getpwnam("mysql")
        except KeyError:
            raise UndividedError(
                "there is no account `mysql` to run a server under",
                doing="run MariaDB on data of root",
                hint="Install mariadb-server, or give the data directory to the account that shall run it.",
            ) from None
        return MariaDBOwner(account.pw_uid, account.pw_gid)

    def popen(self) -> dict[str, Any]:
        """Arguments for subprocess that make the child this account's."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: str | os.PathLike[str]) -> None:
        """Gives the account everything at and beneath `path`. Does nothing when we are not root."""
        if os.geteuid() != 0:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), self.uid, self.gid, follow_symlinks=False)


class Child:
    """One run of a program. A context manager: leaving it ends a child that still runs.

    says: the line by which the program tells that it finished; it must be the last on stderr.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        doing: str,
        says: str | None = None,
        owner: MariaDBOwner | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        with_us: bool = False,
    ) -> None:
        """with_us: the child is killed when we die (a server of our own must not outlive us)."""
        self._name, self._doing, self._says = os.path.basename(argv[0]), doing, says
        if with_us and shutil.which("setpriv"):
            argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                **(owner.popen() if owner else {}),
            )
        except OSError as error:
            raise UndividedError(
                f"{argv[0]}: {(error.strerror or str(error)).lower()}", doing=doing
            ) from error
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
        """Waits for the end. Raises SourceError when it failed, or did not say that it finished."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{self._name} did not end within {timeout:g} s", doing=self._doing) from error
        self._reader.join(PATIENCE_FOR_STDERR)
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
            raise SourceError(f"{self._name} {how}{self.last_words()}", doing=self._doing)
        if self._says and not (self._lines and self._says in self._lines[-1]):
            raise SourceError(
                f"{self._name} ended without saying {self._says!r}{self.last_words()}", doing=self._doing
            )

    def last_words(self) -> str:
        """The end of what it wrote to stderr, for an error."""
        lines = [line for line in self._lines if line]
        telling = [line for line in lines if _TELLING.search(line)][-3:] or lines[-3:]
        return f": {' / '.join(telling)}" if telling else ""

    def terminate(self) -> None:
        """Asks it to end (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *failure: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends it if it still runs, and frees its pipes. Never raises."""
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
        self._reader.join(PATIENCE_FOR_STDERR)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while line := pipe.readline(4096):
                self._lines.append(line.decode("utf-8", "replace").strip())


PATIENCE_FOR_STDERR = 5.0
"""Seconds to wait for the end of stderr after the program ended: a grandchild may keep it open."""
