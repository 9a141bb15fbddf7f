"""The facts about a server that capture needs: read once, kept in one value.

The settings that are kept are those without which its data files do not open, or without which its log would
have another effect when it is replayed elsewhere (the engine of a table that names none, the comparison of
names). They are part of a point's state, and become options of the restored server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ...model.errors import SourceError
from .client import MariaDBConnection
from .programs import MariaDBOwner

SETTINGS = (
    "innodb_page_size",
    "innodb_data_file_path",
    "innodb_undo_tablespaces",
    "innodb_file_per_table",
    "innodb_default_row_format",
    "innodb_strict_mode",
    "innodb_log_file_size",
    "lower_case_table_names",
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "sql_mode",
    "explicit_defaults_for_timestamp",
    "default_time_zone",
)
_ALSO_READ = (
    "version",
    "datadir",
    "log_bin",
    "log_bin_basename",
    "binlog_format",
    "server_id",
    "log_slave_updates",
    "encrypt_binlog",
    "event_scheduler",
    "skip_networking",
    "time_zone",
    "port",
)

_OLDEST = (10, 5)
_STARTED = (
    "SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS INT) FROM information_schema.GLOBAL_STATUS "
    "WHERE VARIABLE_NAME = 'UPTIME'"
)


@dataclass(frozen=True, slots=True)
class MariaDBFacts:
    """directory: its data directory. log_base: path and first part of its binary logs' names, None without a
    log. settings: option name → value. without_log: the reason why the binary log is not enough, None when it
    is."""

    version: str
    directory: str
    log_base: str | None
    settings: dict[str, str]
    without_log: str | None
    started: int
    """When this run of the server began, by its own clock: identifies the run."""
    statements: bool
    """Whether the log holds statements rather than rows."""

    @property
    def series(self) -> str:
        """The version series, within which data files and tools are compatible: '10.11'."""
        return ".".join(self.version.split(".")[:2])

    @property
    def owner(self) -> MariaDBOwner:
        return MariaDBOwner.of(self.directory)


def read_facts(connection: MariaDBConnection) -> MariaDBFacts:
    """Raises SourceError when the server does not answer, or is not a supported MariaDB."""
    names = ", ".join(f"'{n}'" for n in (*SETTINGS, *_ALSO_READ))
    rows = connection.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    known: dict[str, Any] = {str(name).lower(): str(value) for name, value in rows}
    _require_supported(known["version"])
    directory = os.path.normpath(known["datadir"])
    settings = {n: known[n] for n in SETTINGS if n in known}
    if known["time_zone"] not in ("SYSTEM", ""):
        settings["default_time_zone"] = known["time_zone"]
    for name in ("event_scheduler", "server_id", "skip_networking", "port"):
        settings[name] = known[name]
    log_base = known["log_bin_basename"] if known["log_bin"] == "ON" else None
    if log_base:
        settings["log_bin"] = os.path.basename(log_base)
        settings["binlog_format"] = known["binlog_format"]
    return MariaDBFacts(
        version=known["version"],
        directory=directory,
        log_base=log_base,
        settings=settings,
        started=int(connection.one(_STARTED)[0]),
        without_log=_without_log(connection, known),
        statements=known["binlog_format"] == "STATEMENT",
    )


def _require_supported(version: str) -> None:
    numbers = version.split("-")[0].split(".")
    if "MariaDB" in version and tuple(int(n) for n in numbers[:2]) >= _OLDEST:
        return
    raise SourceError(
        f"the server is {version}: MariaDB {'.'.join(map(str, _OLDEST))} or newer is needed",
        doing="read the settings of a MariaDB server",
        hint="Undivided needs MariaDB's backup stages (BACKUP STAGE) to hold a server.",
    )


def require_readable(facts: MariaDBFacts) -> None:
    """Raises SourceError unless this process can read the server's files."""
    places = [facts.directory] + ([os.path.dirname(facts.log_base)] if facts.log_base else [])
    for place in places:
        if not os.path.isdir(place):
            raise SourceError(
                f"the server's directory {place} is not on this host",
                doing="read the files of a MariaDB server",
                hint="Run Undivided on the server's own host, in the same mount namespace.",
            )
        if not os.access(place, os.R_OK | os.X_OK):
            raise SourceError(
                f"no permission to read the server's directory {place}",
                doing="read the files of a MariaDB server",
                hint="Run as the server's account or as root: the image is copied from its data files.",
            )


def _without_log(connection: MariaDBConnection, known: dict[str, Any]) -> str | None:
    if known["log_bin"] != "ON":
        return "the server keeps no binary log (log_bin is OFF)"
    status = connection.rows("SHOW MASTER STATUS")
    if not status:
        return "the server keeps no binary log"
    if any(status[0][2:4]):
        return "the binary log leaves databases out (binlog_do_db or binlog_ignore_db)"
    if known["log_slave_updates"] != "ON":
        running = connection.rows("SHOW GLOBAL STATUS LIKE 'Slaves_running'")
        if running and str(running[0][1]) not in ("0", "OFF"):
            return (
                "the server is a replica whose binary log lacks what it replicates (log_slave_updates is OFF)"
            )
    if known.get("encrypt_binlog") == "ON":
        return "the binary log is encrypted"
    plugins = (
        "SELECT 1 FROM information_schema.PLUGINS "
        "WHERE PLUGIN_TYPE = 'ENCRYPTION' AND PLUGIN_STATUS = 'ACTIVE'"
    )
    if connection.rows(plugins):
        return "the server encrypts its files (a physical image would need its keys)"
    return None
