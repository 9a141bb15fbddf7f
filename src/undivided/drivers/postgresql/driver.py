"""The driver of PostgreSQL: describing, finding, starting, stopping and restoring clusters."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ...host.mounts import mount_of
from ...model.errors import SourceError, UndividedError, reason
from ...model.point import ComponentPoint
from ...model.service import Component
from ..base import Description, Found, Health, Source
from ..support.service_control import start_by_options, stop_by_options
from ..support.swap import exchange
from . import programs
from .restore import link_tablespaces, restore_cluster
from .server import PostgreSQLServer, line, psycopg2, read_facts, size, system_identifier
from .session import PostgreSQLSession

_log = logging.getLogger(__name__)

TIMEOUT = 120.0
"""Seconds that a start or a stop may take."""


class PostgreSQLDriver:
    """See drivers/base.py."""

    kind = "postgresql"
    markable = True
    cache: Path | None = None

    def __init__(self, component: Component) -> None:
        self.component = component
        self._server = PostgreSQLServer(component)
        self._directory: Path | None = None

    @classmethod
    def find(cls) -> list[Found]:
        found = []
        for pid, directory, postmaster in programs.postmasters():
            options = {"port": postmaster.port, "path": str(directory)}
            if postmaster.socket:
                options["socket"] = postmaster.socket
            if postmaster.address not in ("", "*", "localhost"):
                options["address"] = postmaster.address
            found.append(
                Found(cls.kind, options, pid, f"PostgreSQL on port {postmaster.port}, data in {directory}")
            )
        return found

    def describe(self) -> Description:
        control = self._server.sql()
        try:
            doing = f"describe {self.component.name}"
            found, total = read_facts(control, doing), size(control, doing)
            system = system_identifier(control, doing)
        finally:
            control.close()
        directory = found.settings["data_directory"]
        filesystem = "not on this host"
        if Path(directory).exists():
            kind, mount, _device = mount_of(Path(directory))
            filesystem = f"{kind} on {mount}"
        details = {
            "system": system,
            "wal_level": found.settings["wal_level"],
            "configuration": found.settings["config_file"],
            "max_slot_wal_keep_size": found.settings["max_slot_wal_keep_size"],
        }
        return Description(found.version, directory, total, filesystem, details)

    def health(self) -> Health:
        library = psycopg2()
        try:
            control = self._server.sql()
        except SourceError as error:
            return Health(False, error.cause)
        try:
            with control.cursor() as cursor:
                cursor.execute("SELECT pg_is_in_recovery(), current_setting('server_version')")
                in_recovery, version = cursor.fetchone() or (True, "?")
        except library.Error as error:
            return Health(False, line(error))
        finally:
            control.close()
        if in_recovery:
            return Health(False, f"PostgreSQL {version} answers, but is in recovery")
        return Health(True, f"PostgreSQL {version} answers")

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> PostgreSQLSession:
        return PostgreSQLSession(self._server, previous, must_hold=must_hold)

    def directory(self) -> Path:
        """The option `path`, else the data directory of the running server."""
        if self._directory is None:
            named = self.component.get("path")
            try:
                self._directory = Path(named or self.describe().directory)
            except SourceError as error:
                hint = "Start the server, or set the component's `path` to its data directory."
                raise SourceError(error.cause, doing=error.doing, hint=hint) from None
        return self._directory

    def restore(self, source: Source, into: Path) -> None:
        restore_cluster(self.component, source, into)

    def install(self, built: Path, aside: str) -> Path | None:
        before = exchange(built, self.directory(), aside)
        link_tablespaces(self.directory())
        return before

    def start(self) -> None:
        doing = f"start {self.component.name}"
        if self.health().ok or start_by_options(self.component):
            self._await(doing)
            return
        directory = self.directory()
        try:
            major = (directory / "PG_VERSION").read_text().strip()
            found = directory.stat()
        except OSError as error:
            raise UndividedError(f"no cluster in {directory}: {reason(error)}", doing=doing) from error
        owner = programs.owner_for(found.st_uid, found.st_gid)
        settings = [("port", str(self.component.get("port", 5432)))]
        if socket := self.component.get("socket"):
            settings.append(("unix_socket_directories", str(socket)))
        log = directory / "startup.log"
        _log.info("%s: starting a server on %s", doing, directory)
        process = programs.launch(programs.programs(self.component, major), directory, settings, owner, log)
        if not programs.wait_ready(process, directory, TIMEOUT):
            raise UndividedError(f"the server ended: {programs.last_error(log)}", doing=doing)
        self._await(doing)

    def _await(self, doing: str) -> None:
        """Waits until the server answers. Raises UndividedError with the reason why it does not."""
        limit = time.monotonic() + TIMEOUT
        while not (health := self.health()).ok:
            if time.monotonic() > limit:
                raise UndividedError(health.reason, doing=doing)
            time.sleep(0.05)

    def stop(self) -> None:
        if programs.running(self.directory()) is None:
            return
        if not stop_by_options(self.component):
            programs.stop_running(self.directory(), TIMEOUT)
