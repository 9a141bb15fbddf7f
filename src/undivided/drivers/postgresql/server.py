"""A PostgreSQL server as we talk to it: connections, what it says of itself, and its errors in our words.

Two kinds of connection, both through psycopg2, because it alone speaks the replication protocol: SQL in
autocommit, and physical replication. The password lives in memory only and travels as a libpq parameter.

Our own sessions commit with `synchronous_commit = local`: a restore point must never wait for somebody's
standby, least of all for ourselves while we withhold acknowledgements.
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
GRANTS = "Grant the role what docs/drivers/postgresql.md lists, in the database that the option names."

_PATIENT = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
_SESSION = f"{_PATIENT} -c client_min_messages=error"
_WAITS_FOR_NOBODY = "-c synchronous_commit=local"


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
def translated(doing: str, hint: str = "") -> Iterator[None]:
    """Turns an error of the client or the server into a SourceError of one line."""
    library = psycopg2()
    try:
        yield
    except library.errors.InsufficientPrivilege as error:
        raise SourceError(line(error), doing=doing, hint=hint or GRANTS) from None
    except library.Error as error:
        raise SourceError(line(error), doing=doing, hint=hint) from None


def line(error: BaseException) -> str:
    """An error's text as one line, in lower case where PostgreSQL shouts."""
    text = " ".join(str(error).split()).partition(" Is the server running")[0]
    for loud in ("FATAL: ", "ERROR: "):
        text = text.replace(loud, "").replace("  ", " ")
    return text.strip() or type(error).__name__


@dataclass(frozen=True, slots=True)
class PostgreSQLFacts:
    """What a server says of itself. settings: name → value, in pg_settings' units."""

    version_num: int
    version: str
    in_recovery: bool
    settings: dict[str, str]
    sources: tuple[str, ...]
    """The configuration files that its settings come from."""
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
    """Which history of which cluster: WAL continues only within one."""

    system: str
    timeline: int


class PostgreSQLServer:
    """Where a component's server is and who we are to it. Connects only when asked."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self.doing = f"protect {component.name}"

    @cached_property
    def _password(self) -> str | None:
        return secret(self.component.get("password"), f"connect to {self.component.name}")

    def parameters(self, application: str, *, waits: bool = False) -> dict[str, str]:
        """libpq's parameters; the password among them. waits: our commits wait for standbys."""
        get = self.component.get
        found = {
            "host": str(get("socket") or get("address", "127.0.0.1")),
            "port": str(get("port", 5432)),
            "user": str(get("user", "postgres")),
            "dbname": str(get("database", "postgres")),
            "application_name": application,
            "connect_timeout": str(CONNECT_SECONDS),
            "options": _SESSION if waits else f"{_SESSION} {_WAITS_FOR_NOBODY}",
        }
        if self._password is not None:
            found["password"] = self._password
        return found

    def dsn(self, application: str) -> str:
        """For the watchdog: it may hold the password, so it is never printed and never an argument."""
        return str(psycopg2().extensions.make_dsn(**self.parameters(application)))

    def sql(self, application: str = "undivided", *, waits: bool = False) -> connection:
        """A connection in autocommit. Raises SourceError."""
        library = psycopg2()
        with translated(f"connect to {self.component.name}", _CONNECT_HINT):
            made: connection = library.connect(**self.parameters(application, waits=waits))
            made.autocommit = True
        return made

    def replication(self, application: str = "undivided") -> PhysicalReplicationConnection:
        """A connection that speaks the replication protocol. Raises SourceError."""
        library = psycopg2()
        kind = library.extras.PhysicalReplicationConnection
        with translated(f"replicate from {self.component.name}", _REPLICATION_HINT):
            made: PhysicalReplicationConnection = library.connect(
                **self.parameters(application), connection_factory=kind
            )
        return made

    def identity(self) -> Identity:
        walsender = self.replication()
        try:
            with translated(self.doing), walsender.cursor() as cursor:
                cursor.execute("IDENTIFY_SYSTEM")
                system, timeline, *_ = cursor.fetchone() or ()
                return Identity(str(system), int(timeline))
        finally:
            walsender.close()


_CONNECT_HINT = "Is the server up, and are socket, address, port, user, database and password right?"
_REPLICATION_HINT = (
    "The role needs REPLICATION, pg_hba.conf a line for the database 'replication', and max_wal_senders room."
)


def facts(control: connection, doing: str) -> PostgreSQLFacts:
    """Asks the server. Raises SourceError when the role may not see enough of it."""
    with translated(doing), control.cursor() as cursor:
        cursor.execute("SELECT name, coalesce(setting, ''), sourcefile FROM pg_settings")
        rows = cursor.fetchall()
        settings = {name: setting for name, setting, _source in rows}
        if "data_directory" not in settings:
            cause = "the role may not see the server's settings"
            raise SourceError(cause, doing=doing, hint="GRANT pg_monitor to the role.")
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
    """Bytes of all databases. The server looks at every file for it, so not at every point."""
    with translated(doing), control.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database")
        (total,) = cursor.fetchone() or (0,)
    return int(total)


def system_identifier(control: connection, doing: str) -> str:
    """What names this cluster for good, as `identity` does, for those who may not replicate."""
    with translated(doing), control.cursor() as cursor:
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
    """Refuses, with what to do, a server that cannot be captured by backup and log."""
    if found.version_num < OLDEST:
        raise SourceError(
            f"PostgreSQL {found.version} is older than 15", doing=doing, hint="Upgrade the server."
        )
    if found.in_recovery:
        raise SourceError(
            "the server is a standby: a restore point can be made on a primary only",
            doing=doing,
            hint="Protect its primary.",
        )
    if found.settings["wal_level"] == "minimal":
        raise SourceError(
            "wal_level is minimal: the log does not hold enough to recover from",
            doing=doing,
            hint="Set wal_level = replica and restart the server.",
        )
    with translated(doing), control.cursor() as cursor:
        cursor.execute("SELECT has_function_privilege('pg_create_restore_point(text)', 'EXECUTE')")
        if cursor.fetchone() != (True,):
            raise SourceError("the role may not make restore points", doing=doing, hint=GRANTS)


def lsn(text: str) -> int:
    """'0/16B3740' → bytes from the beginning of the log."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(value: int) -> str:
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"
