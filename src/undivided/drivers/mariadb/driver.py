"""The driver of MariaDB: describing, finding, starting, stopping and restoring servers.

The contract is drivers/base.py; this class only joins the modules of the package.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from ...host.mounts import mount_of
from ...model.errors import SourceError, UndividedError
from ...model.point import ComponentPoint
from ...model.service import Component
from ..base import Description, Found, Health, Session, Source
from ..support.service_control import start_by_options, stop_by_options
from ..support.swap import exchange
from .client import Login, MariaDBConnection, ServerError
from .configuration import LOG, datadir_in, server_command
from .processes import find_servers, launch, serving, terminate
from .restore import restore
from .server_facts import read_facts
from .session import MariaDBSession

_log = logging.getLogger(__name__)

_START = 300.0
_GONE = 2.0
"""Seconds without a process after which the start of a server counts as failed."""


class MariaDBDriver:
    """See drivers/base.py."""

    kind = "mariadb"
    markable = False
    cache: Path | None = None

    def __init__(self, component: Component) -> None:
        self.component = component

    @classmethod
    def find(cls) -> list[Found]:
        return find_servers()

    def describe(self) -> Description:
        with MariaDBConnection(self._login, f"describe {self.component.name}") as connection:
            facts = read_facts(connection)
            rows = connection.one(
                "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES"
            )
        return Description(
            version=facts.version,
            directory=facts.directory,
            size=int(rows[0]),
            filesystem=_filesystem(facts.directory),
            details={"binary_log": facts.without_log is None, "without_log": facts.without_log},
        )

    def health(self) -> Health:
        try:
            with MariaDBConnection(self._login, f"ask {self.component.name}") as connection:
                (version,) = connection.one("SELECT VERSION()")
        except UndividedError as error:
            return Health(False, error.cause)
        return Health(True, f"MariaDB {version} answers")

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> Session:
        return MariaDBSession(self.component, previous)

    def directory(self) -> Path:
        path = self.component.get("path")
        if path is None:
            defaults = self.component.get("defaults")
            path = datadir_in(self.component, defaults) if defaults else None
        if path is None:
            try:
                with MariaDBConnection(self._login, f"find the data of {self.component.name}") as connection:
                    path = read_facts(connection).directory
            except SourceError as error:
                raise SourceError(
                    error.cause,
                    doing=error.doing,
                    hint="Set the component's `path`, so that it is known while the server is down.",
                ) from error
        return Path(path)

    def restore(self, source: Source, into: Path) -> None:
        restore(self.component, source, into)

    def install(self, built: Path, aside: str) -> Path | None:
        return exchange(built, self.directory(), aside)

    def start(self) -> None:
        doing = f"start {self.component.name}"
        if self._answers():
            return
        directory = self.directory()
        if not start_by_options(self.component) and not serving(directory):
            _log.info("%s: starting a server on %s", doing, directory)
            launch(server_command(self.component, directory), directory, doing)
        begun = seen = time.monotonic()
        while not self._answers():
            now = time.monotonic()
            if serving(directory):
                seen = now
            if now - seen > _GONE or now - begun > _START:
                ended = now - seen > _GONE
                cause = "the server ended" if ended else f"the server did not answer within {_START:g} s"
                raise UndividedError(f"{cause}{_last_errors(directory)}", doing=doing)
            time.sleep(0.05)

    def stop(self) -> None:
        if stop_by_options(self.component):
            return
        if self.component.get("path") is None and not self._answers():
            return
        terminate(self.directory(), f"stop {self.component.name}")

    @property
    def _login(self) -> Login:
        return Login.of(self.component)

    def _answers(self) -> bool:
        """Whether a server answers at this component's address, even if it refuses the login."""
        try:
            MariaDBConnection(self._login, f"ask {self.component.name}").close()
        except ServerError as error:
            return error.code in (1040, 1044, 1045, 1130, 1698)
        return True


def _filesystem(directory: str) -> str:
    """The filesystem of a directory, for example 'ext4 on /'."""
    try:
        mount = mount_of(Path(directory))
    except OSError:
        return "not on this host"
    return f"{mount.fstype} on {mount.mountpoint}"


def _last_errors(directory: Path) -> str:
    try:
        with open(directory / LOG, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if "[ERROR]" in line] or lines
    return f": {' / '.join(errors[-3:])}" if errors else ""
