"""A PostgreSQL server: connections, the facts about it, and the translation of its errors.

There are two kinds of connection: SQL in autocommit, and physical replication. Both use psycopg2, the only
client library with the replication protocol. The password is kept in memory only and passed as a libpq
parameter.

Our own sessions commit with `synchronous_commit = local`: a restore point must never wait for a standby,
least of all for our own while it withholds acknowledgements.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...config.secrets import secret
from ...model.errors import SourceError, UndividedError
from ...model.service import Component

if TYPE_CHECKING:
    from psycopg2.extensions import connection, cursor
    from psycopg2.extras import PhysicalReplicationConnection

OLDEST = 150000
"""server_version_num of PostgreSQL 15, the first whose base backup is one stream and whose parameters can be
granted."""

CONNECT_SECONDS = 10
GRANTS = (
    "Grant the role the permissions in docs/drivers/postgresql.md, in the database of the option `database`."
)

_NO_TIMEOUTS = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
_SESSION = f"{_NO_TIMEOUTS} -c client_min_messages=error"
_NO_STANDBY = "-c synchronous_commit=local"


def psycopg2() -> Any:
    """The client library, imported when first needed. Raises UndividedError where it is not installed."""
    try:
        import psycopg2 as library
        import psycopg2.errors
        import psycopg2.extras
    except ImportError:
        raise UndividedError(
            "the PostgreSQL client library psycopg2 is not installed",
            hint="Install the extra: pip install 'undivided[postgresql]'.",
        ) from None
    return library


@contextmanager
def server_errors(doing: str, hint: str = "") -> Iterator[None]:
    """Translates an error of the client library or the server into a SourceError of one line."""
    library = psycopg2()
    try:
        yield
    except library.errors.InsufficientPrivilege as error:
        raise SourceError(line(error), doing=doing, hint=hint or GRANTS) from None
    except library.Error as error:
        raise SourceError(line(error), doing=doing, hint=hint) from None


def line(error: BaseException) -> str:
    """An error's text as one line, without PostgreSQL's severity in capitals."""
    text = " ".join(str(error).split()).partition(" Is the server running")[0]
    for loud in ("FATAL: ", "ERROR: "):
        text = text.replace(loud, "").replace("  ", " ")
    return text.strip() or type(error).__name__


@dataclass(frozen=True, slots=True)
class PostgreSQLFacts:
    """The facts about a server. settings: name → value, in pg_settings' units."""

    version_num: int
    version: str
    in_recovery: bool
    settings: dict[str, str]
    sources: tuple[str, ...]
    """The configuration files from which its settings come."""
    tablespaces: dict[str, str]
    """oid → directory, of those outside the data directory."""

    @property
    def segment_size(self) -> int:
        return int(self.settings["wal_segment_size"])

    @property
    def caps_slots(self) -> bool:
        return int(self.settings["max_slot_wal_keep_size"]) >= 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Cluster and timeline: WAL continues only within one."""

    system: str
    timeline: int


class PostgreSQLServer:
    """The server of a component, with its address and login. Connects only when a method needs it."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self.doing = f"protect {component.name}"

    @cached_property
    def _password(self) -> str | None:
        return secret(self.component.get("password"), f"connect to {self.component.name}")

    def parameters(self, application: str, *, waits: bool = False) -> dict[str, str]:
        """libpq's parameters, including the password. waits: commits of this connection wait for standbys."""
        get = self.component.get
        found = {
            "host": str(get("socket") or get("address", "127.0.0.1")),
            "port": str(get("port", 5432)),
            "user": str(get("user", "postgres")),
            "dbname": str(get("database", "postgres")),
            "application_name": application,
            "connect_timeout": str(CONNECT_SECONDS),
            "options": _SESSION if waits else f"{_SESSION} {_NO_STANDBY}",
        }
        if self._password is not None:
            found["password"] = self._password
        return found

    def dsn(self, application: str) -> str:
        """For the watchdog. It may hold the password, so it is never printed and never an argument."""
        return str(psycopg2().extensions.make_dsn(**self.parameters(application)))

    def sql(self, application: str = "undivided", *, waits: bool = False) -> connection:
        """A connection in autocommit. Raises SourceError."""
        library = psycopg2()
        with server_errors(f"connect to {self.component.name}", _CONNECT_HINT):
            made: connection = library.connect(**self.parameters(application, waits=waits))
            made.autocommit = True
        return made

    def replication(self, application: str = "undivided") -> PhysicalReplicationConnection:
        """A connection that speaks the replication protocol. Raises SourceError."""
        library = psycopg2()
        kind = library.extras.PhysicalReplicationConnection
        with server_errors(f"replicate from {self.component.name}", _REPLICATION_HINT):
            made: PhysicalReplicationConnection = library.connect(
                **self.parameters(application), connection_factory=kind
            )
        return made

    def identity(self) -> Identity:
        walsender = self.replication()
        try:
            with server_errors(self.doing), walsender.cursor() as cursor:
                cursor.execute("IDENTIFY_SYSTEM")
                system, timeline, *_ = cursor.fetchone() or ()
                return Identity(str(system), int(timeline))
        finally:
            walsender.close()


_CONNECT_HINT = (
    "Check that the server runs, and the options socket, address, port, user, database and password."
)
_REPLICATION_HINT = (
    "Check that the role has REPLICATION, that pg_hba.conf has a line for the database 'replication', "
    "and that max_wal_senders is not used up."
)


def read_facts(control: connection, doing: str) -> PostgreSQLFacts:
    """Reads the facts. Raises SourceError when the role has no permission to see them."""
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute("SELECT name, coalesce(setting, ''), sourcefile FROM pg_settings")
        rows = cursor.fetchall()
        settings = {name: setting for name, setting, _source in rows}
        if "data_directory" not in settings:
            cause = "the role has no permission to see the server's settings"
            raise SourceError(cause, doing=doing, hint="GRANT pg_monitor TO the role.")
        cursor.execute("SELECT pg_is_in_recovery()")
        return PostgreSQLFacts(
            version_num=int(settings["server_version_num"]),
            version=settings["server_version"],
            in_recovery=cursor.fetchone() == (True,),
            settings=settings,
            sources=tuple(sorted({source for _name, _setting, source in rows if source})),
            tablespaces=tablespace_places(cursor),
        )


def size(control: connection, doing: str) -> int:
    """The bytes of all databases. The server looks at every file for it, so it is not called at every
    point."""
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database")
        (total,) = cursor.fetchone() or (0,)
    return int(total)


def system_identifier(control: connection, doing: str) -> str:
    """The permanent identifier of this cluster, as in `identity`, without the permission to replicate."""
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute("SELECT system_identifier FROM pg_control_system()")
        (system,) = cursor.fetchone() or ("",)
    return str(system)


def tablespace_places(cursor: cursor) -> dict[str, str]:
    """oid → directory."""
    cursor.execute(
        "SELECT oid::text, place FROM pg_tablespace, pg_tablespace_location(oid) place WHERE place <> ''"
    )
    return dict(cursor.fetchall())


def require_protectable(control: connection, found: PostgreSQLFacts, doing: str) -> None:
    """Raises SourceError for a server that cannot be captured by backup and log."""
    if found.version_num < OLDEST:
        raise SourceError(
            f"PostgreSQL {found.version} is older than 15", doing=doing, hint="Upgrade the server."
        )
    if found.in_recovery:
        raise SourceError(
            "the server is a standby: a restore point can be created only on a primary",
            doing=doing,
            hint="Protect its primary.",
        )
    if found.settings["wal_level"] == "minimal":
        raise SourceError(
            "wal_level is minimal: its log is not enough for a recovery",
            doing=doing,
            hint="Set wal_level = replica and restart the server.",
        )
    with server_errors(doing), control.cursor() as cursor:
        cursor.execute("SELECT has_function_privilege('pg_create_restore_point(text)', 'EXECUTE')")
        if cursor.fetchone() != (True,):
            raise SourceError("the role has no permission to create restore points", doing=doing, hint=GRANTS)


def lsn(text: str) -> int:
    """'0/16B3740' → bytes from the beginning of the log."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(value: int) -> str:
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"
