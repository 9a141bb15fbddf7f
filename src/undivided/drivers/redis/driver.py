"""The driver of Redis and Valkey: finding, describing, starting and stopping servers.

A server is started as the owner of its directory, never as root on the data of another user. Its
configuration is the file that the service names, or the redis.conf that a restore wrote into the directory.
The component's options (addresses, directory, password) are added on standard input, so that no password is
ever in a command line and none is stored.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil

from ...config.secrets import secret
from ...host.mounts import mount_of
from ...model.errors import SourceError, UndividedError
from ...model.point import ComponentPoint
from ...model.service import Component
from ..base import Description, Found, Health, Source
from ..support.service_control import start_by_options, stop_by_options
from ..support.swap import exchange
from .resp import AbsentError, RedisAddress, RedisConnection, RefusedError, info
from .restore import DEFAULT_PORT, configuration, quoted, restore_directory
from .session import RedisSession

_log = logging.getLogger(__name__)

_PROGRAMS = ("redis-server", "valkey-server")
_START_STOP_TIMEOUT = 120.0
"""Seconds that a server may take to load or to save its data."""
_POLL = 0.02


class RedisDriver:
    """See drivers/base.py: Driver."""

    kind = "redis"
    markable = False
    cache: Path | None = None

    def __init__(self, component: Component) -> None:
        self.component = component
        self.server = RedisAddress(
            address=component.get("address", "127.0.0.1"),
            port=component.get("port", 6379),
            socket=component.get("socket"),
            user=component.get("user"),
        )

    @classmethod
    def find(cls) -> list[Found]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.name() in _PROGRAMS:
                    found += _listening(process)
        return found

    def describe(self) -> Description:
        connection = self._connect()
        try:
            about, memory = info(connection, "server"), info(connection, "memory")
            directory = self._directory(connection)
        finally:
            connection.close()
        return Description(
            version=about.get("valkey_version") or about["redis_version"],
            directory=str(directory),
            size=int(memory["used_memory"]),
            filesystem=_filesystem(directory),
            details={"mode": about.get("redis_mode"), "pid": int(about["process_id"])},
        )

    def health(self) -> Health:
        try:
            return Health(True, self._ping())
        except UndividedError as error:
            return Health(False, error.cause)

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> RedisSession:
        return RedisSession(self.server, self._password(), previous)

    def directory(self) -> Path:
        path = self.component.get("path")
        if path is not None:
            return Path(path)
        connection = self._connect()
        try:
            return self._directory(connection)
        finally:
            connection.close()

    def restore(self, source: Source, into: Path) -> None:
        restore_directory(source, into, self._program())
        text = configuration(source.point.state, self.component)
        place = into / "redis.conf"
        place.write_text(text)
        owner = os.stat(into)
        os.chown(place, owner.st_uid, owner.st_gid)

    def install(self, built: Path, aside: str) -> Path | None:
        return exchange(built, self.directory(), aside)

    def start(self) -> None:
        if not self._is_absent():
            self._await(None)
            return
        if start_by_options(self.component):
            self._await(None)
            return
        directory = self.directory()
        config = Path(self.component.get("config") or directory / "redis.conf")
        owner = os.stat(directory)
        root = os.geteuid() == 0
        _log.info("starting Redis at %s on %s", self.server, directory)
        with open(directory / "redis.log", "wb") as log:
            process = subprocess.Popen(
                [self._program(), *([str(config)] if config.exists() else []), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=directory,
                start_new_session=True,
                user=owner.st_uid if root else None,
                group=owner.st_gid if root else None,
                extra_groups=[] if root else None,
            )
        assert process.stdin is not None, "opened as a pipe"
        process.stdin.write(self._options(directory, config).encode())
        process.stdin.close()
        self._await(process)

    def stop(self) -> None:
        try:
            connection = self._connect()
        except AbsentError:
            return
        try:
            pid = int(info(connection, "server")["process_id"])
            if not stop_by_options(self.component):
                self._shut_down(connection)
        finally:
            connection.close()
        _await_end(pid, self.server)

    def _connect(self) -> RedisConnection:
        return RedisConnection(self.server, self._password())

    def _is_absent(self) -> bool:
        try:
            self._connect().close()
        except AbsentError:
            return True
        except RefusedError:
            pass  # it answers, even if only with an error
        return False

    def _ping(self) -> str:
        connection = self._connect()
        try:
            connection.call("PING")
            used = info(connection, "keyspace")
        finally:
            connection.close()
        return f"answers at {self.server}, {len(used)} databases in use"

    def _password(self) -> str | None:
        return secret(self.component.get("password"), f"log in to Redis at {self.server}")

    def _directory(self, connection: RedisConnection) -> Path:
        path = self.component.get("path")
        if path is not None:
            return Path(path)
        try:
            answer = connection.call("CONFIG", "GET", "dir")
        except RefusedError as error:
            raise SourceError(
                f"the server does not report its directory: {error.cause}",
                doing=f"find the data of {self.component.name}",
                hint="Set `path` in the service file, or permit config|get to the backup's user.",
            ) from error
        assert isinstance(answer, list) and isinstance(answer[1], bytes), "CONFIG GET answers with pairs"
        return Path(os.fsdecode(answer[1]))

    def _program(self) -> str:
        """The first of the programs that is installed; else a plain name, for the error message."""
        where = self.component.get("binaries")
        return next((p for name in _PROGRAMS if (p := shutil.which(name, path=where))), _PROGRAMS[0])

    def _options(self, directory: Path, config: Path) -> str:
        """The settings that come from the service file: directory, addresses, password. Never stored."""
        lines = [f"dir {quoted(str(directory))}", "daemonize no"]
        if self.server.socket:
            lines.append(f"unixsocket {quoted(self.server.socket)}")
            if not config.exists() or self.server.socket not in config.read_text(errors="replace"):
                # The configuration was made for another place: its port belongs to another server.
                lines.append(f"port {self.server.port if self.server.port != DEFAULT_PORT else 0}")
        else:
            lines += [f"port {self.server.port}", f"bind {self.server.address}"]
        password = self._password()
        if password is not None and self.server.user is None:
            lines.append(f"requirepass {quoted(password)}")
        elif password is not None and not self.component.get("config"):
            # Users are not part of a point: only this user may log in until the others are created again.
            lines += ["user default off", f"user {self.server.user} on {quoted('>' + password)} ~* &* +@all"]
        return "\n".join(lines) + "\n"

    def _await(self, process: subprocess.Popen[bytes] | None) -> None:
        """Waits until the server answers. A refused login will not change, so it is an error; loading data
        ends."""
        until = time.monotonic() + _START_STOP_TIMEOUT
        while True:
            try:
                self._ping()
                return
            except SourceError as error:
                ended = process is not None and process.poll() is not None
                refused = isinstance(error, RefusedError) and error.code not in ("LOADING", "BUSY")
                if ended or refused or time.monotonic() > until:
                    raise UndividedError(
                        f"the server does not answer: {error.cause}",
                        doing=f"start {self.component.name}",
                        hint=(refused and error.hint)
                        or "Look at redis.log, or at the server's own log, in its directory.",
                    ) from error
            time.sleep(_POLL)

    def _shut_down(self, connection: RedisConnection) -> None:
        connection.timeout(_START_STOP_TIMEOUT)
        try:
            # SAVE: the data that moves aside must hold the last state even without save points.
            connection.call("SHUTDOWN", "SAVE")
        except RefusedError as error:
            raise UndividedError(
                f"the server refuses to shut down: {error.cause}", doing=f"stop {self.component.name}"
            ) from error
        except SourceError:
            return


def _filesystem(directory: Path) -> str:
    try:
        mount = mount_of(directory)
    except OSError:
        return "not on this host"
    return f"{mount.fstype} on {mount.mountpoint}"


def _listening(process: psutil.Process) -> list[Found]:
    """The address of a server process in service-file keys: its first TCP port, else its socket."""
    summary = f"{process.name()} in {process.cwd()}"
    for listener in process.net_connections("inet"):
        if listener.status == psutil.CONN_LISTEN:
            address = listener.laddr.ip if listener.laddr.ip not in ("0.0.0.0", "::", "*") else "127.0.0.1"  # noqa: S104
            return [Found("redis", {"address": address, "port": listener.laddr.port}, process.pid, summary)]
    sockets = [s.laddr for s in process.net_connections("unix") if s.laddr]
    return [Found("redis", {"socket": sockets[0]}, process.pid, summary)] if sockets else []


def _await_end(pid: int, server: RedisAddress) -> None:
    until = time.monotonic() + _START_STOP_TIMEOUT
    while True:
        try:
            process = psutil.Process(pid)
            if process.name() not in _PROGRAMS or process.status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.Error:
            return
        if time.monotonic() > until:
            raise UndividedError(
                f"the server at {server} (pid {pid}) is still running",
                hint="Look at its log to see why it does not stop.",
            )
        time.sleep(_POLL)
