"""A proxy between mariadb-dump and its server: it opens the dump's snapshot inside the hold.

`mariadb-dump --single-transaction` reads all data from one snapshot, and chooses itself when to open it. Its
connection goes through a private socket of this proxy, which forwards its packets until the one that opens
the snapshot arrives, and keeps that one. `open` forwards it and reads the server's answer; after that, bytes
flow freely.

Each packet of the protocol is a length (u24), a number (u8) and a payload. A command's payload begins with a
byte for its type, 3 for a query. The dump's packets are far shorter than the length that would split them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import tempfile
import threading

from ...model.errors import SourceError
from .client import TIMEOUT, Login

_QUERY = 3
_SNAPSHOT = b"START TRANSACTION"
_OK = 0
_READ = 1 << 18


class Proxy:
    """Listens at `path` for one client. Ends with `close`, in whatever state."""

    def __init__(self, login: Login, doing: str) -> None:
        self._login, self._doing = login, doing
        self._directory = tempfile.mkdtemp(prefix="undivided-")
        self.path = os.path.join(self._directory, "proxy")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._arrived = threading.Event()
        self._closing = False
        self._client: socket.socket | None = None
        self._server: socket.socket | None = None
        self._kept: bytes | None = None
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._forward_to_snapshot, name="proxy", daemon=True)
        self._thread.start()

    def arrived(self, timeout: float) -> bool:
        """Waits until the client asks for its snapshot. Raises SourceError when the connection broke
        before."""
        if not self._arrived.wait(timeout):
            return False
        if self._failure is not None:
            raise SourceError(self._failure, doing=self._doing)
        return True

    def open(self) -> None:
        """Opens the snapshot and returns when it is open. Raises SourceError when the server refuses."""
        assert self._server is not None and self._client is not None and self._kept is not None
        try:
            self._server.sendall(self._kept)
            answer = _packet(self._server)
            if answer[4] != _OK:
                raise SourceError("the server did not open the dump's snapshot", doing=self._doing)
            self._client.sendall(answer)
        except (OSError, EOFError) as error:
            raise SourceError(f"the dump's connection broke: {error}", doing=self._doing) from error
        self._thread = threading.Thread(target=self._flow, name="proxy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the connection if there is one. Idempotent; never raises."""
        self._closing = True
        ends = [end for end in (self._listener, self._client, self._server) if end is not None]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        for end in ends:
            end.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _forward_to_snapshot(self) -> None:
        """Up to the snapshot: forwards packet by packet from the client, and all bytes from the server."""
        try:
            client, _ = self._listener.accept()
            self._client = client
            server = self._server = self._connect()
            with selectors.DefaultSelector() as ready:
                ready.register(client, selectors.EVENT_READ)
                ready.register(server, selectors.EVENT_READ)
                while True:
                    for key, _ in ready.select():
                        if key.fileobj is server:
                            client.sendall(_some(server))
                            continue
                        packet = _packet(client)
                        if packet[4:5] == bytes([_QUERY]) and packet[5:].lstrip().upper().startswith(
                            _SNAPSHOT
                        ):
                            self._kept = packet
                            self._extend_idle_limit(server)
                            return
                        server.sendall(packet)
        except (OSError, EOFError) as error:
            self._failure = f"the dump's connection broke before its snapshot: {error}"
        finally:
            self._arrived.set()

    def _extend_idle_limit(self, server: socket.socket) -> None:
        """The dump's session has the server's idle limit, and other components may need hours to prepare."""
        query = bytes([_QUERY]) + b"SET SESSION wait_timeout = 28800"
        server.sendall(len(query).to_bytes(3, "little") + b"\0" + query)
        if _packet(server)[4] != _OK:
            raise EOFError("the server refused a longer idle limit")

    def _connect(self) -> socket.socket:
        if self._login.socket:
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.settimeout(TIMEOUT)
            server.connect(self._login.socket)
            return server
        return socket.create_connection((self._login.address, self._login.port), TIMEOUT)

    def _flow(self) -> None:
        """After the snapshot: forwards bytes both ways until one side ends."""
        assert self._client is not None and self._server is not None
        other = {self._client: self._server, self._server: self._client}
        with contextlib.suppress(OSError, EOFError, ValueError), selectors.DefaultSelector() as ready:
            # An early end also ends the dump, which then reports the error itself.
            for end, far in other.items():
                end.settimeout(None)
                ready.register(end, selectors.EVENT_READ, (end, far))
            while not self._closing:
                for key, _ in ready.select():
                    near, far = key.data
                    far.sendall(_some(near))
        for end in other:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _packet(end: socket.socket) -> bytes:
    head = _exactly(end, 4)
    return head + _exactly(end, int.from_bytes(head[:3], "little"))


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more:
            raise EOFError("the other side closed it")
        data += more
    return data


def _some(end: socket.socket) -> bytes:
    data = end.recv(_READ)
    if not data:
        raise EOFError("the other side closed it")
    return data
