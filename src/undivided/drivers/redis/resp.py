"""RESP: the part of Redis' wire protocol that a backup needs.

A command is sent as an array of byte strings; a reply has one of five shapes, named by its first byte. One
`RedisConnection` is one ordered conversation, so a later command can undo one whose reply was never read: the
server executes both in order, however late.

The protocol is forty lines, and replication (replication.py) needs the raw bytes that client libraries hide.
Source: the Redis serialization protocol specification, version 2.
"""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import dataclass

from ...model.errors import SourceError, reason

Reply = bytes | int | None | list["Reply"]
_PIECE = 1 << 20


_HINTS = {
    "NOAUTH": "Set `password`, and `user` if it is not the default user, in the service file.",
    "WRONGPASS": "Correct `user` and `password` in the service file.",
    "NOPERM": "Give the user the permissions that docs/drivers/redis.md lists.",
    "LOADING": "Wait until the server has loaded its data.",
    "BUSY": "Wait for the script that runs, or end it with SCRIPT KILL.",
}


class RefusedError(SourceError):
    """The server answered with an error. `code` is its first word: NOPERM, WRONGPASS, LOADING, ERR."""

    def __init__(self, cause: str, *, doing: str = "", hint: str = "") -> None:
        self.code = cause.split(" ", 1)[0]
        super().__init__(cause, doing=doing, hint=hint or _HINTS.get(self.code, ""))


class AbsentError(SourceError):
    """No server listens at the address: it is down. A server that listens but is silent is not absent."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address and user of a server: a UNIX socket if given, else TCP. Holds no password."""

    address: str = "127.0.0.1"
    port: int = 6379
    socket: str | None = None
    user: str | None = None

    def __str__(self) -> str:
        return self.socket or f"{self.address}:{self.port}"


class RedisConnection:
    """One authenticated conversation. timeout: seconds that any single read or write may take.

    Raises SourceError when the server cannot be reached or does not answer in time, RefusedError when it
    answers with an error.
    """

    def __init__(self, server: RedisAddress, password: str | None = None, *, timeout: float = 10.0) -> None:
        self.server = server
        self._buffer = bytearray()
        self._owed = 0
        self._socket = self._connect(timeout)
        try:
            if password is not None:
                self.call("AUTH", *([server.user] if server.user else []), password)
        except BaseException:
            self.close()
            raise

    def _connect(self, timeout: float) -> socket.socket:
        family = socket.AF_UNIX if self.server.socket else socket.AF_INET
        try:
            if family == socket.AF_INET:
                made = socket.create_connection((self.server.address, self.server.port), timeout)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return made
            made = socket.socket(family)
            made.settimeout(timeout)
            try:
                made.connect(self.server.socket or "")
            except BaseException:
                made.close()
                raise
        except OSError as error:
            kind = (
                AbsentError if isinstance(error, ConnectionRefusedError | FileNotFoundError) else SourceError
            )
            raise kind(
                f"no Redis answers at {self.server}: {reason(error)}",
                hint="Start the server, or correct socket, address and port in the service file.",
            ) from error
        return made

    def timeout(self, seconds: float) -> None:
        self._socket.settimeout(max(seconds, 0.001))

    def send(self, *words: str | bytes | int) -> None:
        """Sends a command without waiting for its reply; `reply` collects the replies in order."""
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        head = b"*%d\r\n" % len(parts)
        try:
            self._socket.sendall(head + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
        except OSError as error:
            raise self._lost(error) from error
        self._owed += 1

    def call(self, *words: str | bytes | int) -> Reply:
        """One command and its reply."""
        self.send(*words)
        while self._owed > 1:
            with contextlib.suppress(RefusedError):
                self.reply()
        return self.reply()

    def reply(self) -> Reply:
        answer = self._parse()
        self._owed -= 1
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    def line(self) -> bytes:
        """One line without its line end, for replication, which sends lines that are no replies."""
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill()
        found = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return found

    def ready(self, seconds: float) -> bool:
        """Whether bytes come within `seconds`."""
        return bool(self._buffer or select.select([self._socket], [], [], seconds)[0])

    def some(self, limit: int = _PIECE) -> bytes:
        """The next bytes, at least one, at most `limit`."""
        if not self._buffer:
            self._fill()
        piece = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return piece

    def _parse(self) -> Reply | RefusedError:
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RefusedError(rest.decode(errors="replace"), doing=f"ask Redis at {self.server}")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._exactly(int(rest)) if rest != b"-1" else None
        if kind == b"*":
            items = [self._parse() for _ in range(max(int(rest), 0))]
            return [item for item in items if not isinstance(item, RefusedError)]
        raise SourceError(
            f"{self.server} does not speak the Redis protocol",
            hint="Correct socket, address and port in the service file; TLS is not supported.",
        )

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count + 2:
            self._fill()
        found = bytes(self._buffer[:count])
        del self._buffer[: count + 2]
        return found

    def _fill(self) -> None:
        try:
            piece = self._socket.recv(_PIECE)
        except OSError as error:
            raise self._lost(error) from error
        if not piece:
            raise self._lost("the server closed the connection")
        self._buffer += piece

    def _lost(self, cause: object) -> SourceError:
        return SourceError(
            f"lost Redis at {self.server}: {cause or 'no answer in time'}",
            hint="Look at the server's log: an output buffer limit or a long script may be the reason.",
        )

    def close(self) -> None:
        """Idempotent. Wakes a thread that reads."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def info(connection: RedisConnection, section: str) -> dict[str, str]:
    """One section of INFO, with the values as text."""
    answer = connection.call("INFO", section)
    assert isinstance(answer, bytes), "INFO answers with text"
    lines = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}
