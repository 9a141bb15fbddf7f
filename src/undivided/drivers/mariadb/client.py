"""The client of a MariaDB server: login, connection, and the hints for its errors.

PyMySQL is imported for the first connection: it is an extra, and its import would slow down every other
command. Its exceptions are translated here into errors with a hint. The password is passed to the library, or
to MariaDB's own programs in an option file that only this user can read; never in an argument, which `ps`
shows.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ...config.secrets import secret
from ...model.errors import SourceError, UndividedError
from ...model.service import Component

TIMEOUT = 10.0
"""Seconds to wait for a silent server: for its greeting, and for the answer to a statement."""

_HINTS = {
    1044: "Grant the privileges that docs/drivers/mariadb.md lists.",
    1045: "Check `user` and `password` of this component.",
    1142: "Grant the privileges that docs/drivers/mariadb.md lists.",
    1227: "Grant the privileges that docs/drivers/mariadb.md lists.",
    1698: "Only the system user of this name can log in: run as that user, or set another `user`.",
    2002: "Is it running? Check `socket` of this component.",
    2003: "Is it running? Check `socket`, or `address` and `port`, of this component.",
}


def pymysql() -> ModuleType:
    """The client library. Raises UndividedError when the extra is not installed."""
    try:
        import pymysql as library
    except ImportError as error:
        raise UndividedError(
            "the MariaDB client library is not installed",
            doing="talk to MariaDB",
            hint="Install the extra: pip install 'undivided[mariadb]'.",
        ) from error
    return library


@dataclass(frozen=True, slots=True)
class Login:
    """The address of a server and the account to log in with. socket takes precedence over address and
    port."""

    user: str
    socket: str | None = None
    address: str = "127.0.0.1"
    port: int = 3306
    password: str | None = field(default=None, repr=False)

    @staticmethod
    def of(component: Component) -> Login:
        """Reads the component's password. Raises UndividedError when it cannot be read."""
        return Login(
            user=str(component.get("user", "root")),
            socket=component.get("socket"),
            address=str(component.get("address", "127.0.0.1")),
            port=int(component.get("port", 3306)),
            password=secret(component.get("password"), f"log in to {component.name}"),
        )

    @property
    def place(self) -> str:
        return self.socket or f"{self.address}:{self.port}"

    @contextlib.contextmanager
    def option_file(self, *, socket: str | None = None) -> Iterator[str]:
        """The path of an option file with the login for MariaDB's own programs; removed when the block ends.

        socket: connect through this socket instead. Pass the path as `--defaults-file`, so that it is the
        only option file the programs read: the system's own could name another server.
        """
        lines = ["[client]", f"user={_quoted(self.user)}"]
        through = socket or self.socket
        if through:
            lines.append(f"socket={_quoted(through)}")
        else:
            lines += [f"host={_quoted(self.address)}", f"port={self.port}", "protocol=tcp"]
        if self.password is not None:
            lines.append(f"password={_quoted(self.password)}")
        fd, path = tempfile.mkstemp(prefix="undivided-", suffix=".cnf")
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            yield path
        finally:
            os.unlink(path)


class MariaDBConnection:
    """One session on a server. Not thread-safe. A context manager.

    Every method raises SourceError when the server cannot be reached, refuses, or does not answer in time.
    """

    def __init__(self, login: Login, doing: str) -> None:
        self._doing = doing
        self._library = pymysql()
        where: dict[str, Any] = (
            {"unix_socket": login.socket} if login.socket else {"host": login.address, "port": login.port}
        )
        with self._server_errors(login.place):
            self._connection = self._library.connect(
                user=login.user,
                password=login.password or "",
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=TIMEOUT,
                read_timeout=TIMEOUT,
                write_timeout=TIMEOUT,
                **where,
            )
        self.id: int = self._connection.thread_id()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._server_errors(statement), self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def one(self, statement: str) -> tuple[Any, ...]:
        """The first row."""
        rows = self.rows(statement)
        if not rows:
            raise SourceError(f"the server returned no row for {statement}", doing=self._doing)
        return rows[0]

    def run(self, statement: str) -> None:
        self.rows(statement)

    def close(self) -> None:
        """Disconnects, which ends all that the session holds. Never raises."""
        with contextlib.suppress(OSError, self._library.err.Error):
            self._connection.close()

    def __enter__(self) -> MariaDBConnection:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _server_errors(self, about: str) -> Iterator[None]:
        try:
            yield
        except self._library.err.Error as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            text = str(error.args[-1]) if error.args else str(error)
            raise ServerError(text[:1].lower() + text[1:], code, about, doing=self._doing) from error
        except OSError as error:
            raise ServerError(f"the connection broke: {error}", 0, about, doing=self._doing) from error


class ServerError(SourceError):
    """An error of the server or of the connection to it. code: MariaDB's error number, 0 when there is
    none."""

    def __init__(self, text: str, code: int, about: str, *, doing: str) -> None:
        self.code = code
        super().__init__(f"{text} ({about})", doing=doing, hint=_HINTS.get(code, ""))


def _quoted(value: str) -> str:
    """A value for an option file: quoted, so that '#' and spaces are its own."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
