"""A store on any machine that accepts SFTP logins: no software of ours has to run there.

    sftp://USER@HOST:PORT/PATH?key=FILE        a PATH that begins with /~/ is in the user's home

The steps are those of a local directory (directory.py), over the wire: the object is written to a temporary
file, fsynced, and linked to its name, which fails when the name is taken. Then the file is fsynced again,
which on the usual filesystems makes the new name durable, because SFTP has no fsync for directories. A server
that lacks one of these steps is refused: a rename that overwrites, or bytes that a power loss destroys, would
break the contract of a store.

The login uses the usual keys: ssh-agent, ~/.ssh, or the file that the address names. The host must be known
(~/.ssh/known_hosts); there is no question, and a changed host key is an error.

The client works in an event loop, which runs here in a thread of its own. Only the function `_run` crosses
between the threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...model.errors import UsageError
from .address import Address
from .base import Buffer, ExistsError, FullError, MissingError, StoreError, TransientError
from .names import checked, checked_prefix

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

T = TypeVar("T")
_Names = list[str]
_Found = list[tuple[str, int]]
_TEMPORARY = ".tmp"
_PIECE = 1 << 20
_STALE = 7 * 86400
"""Seconds, by the server's clock. An older temporary file was left by a crashed writer."""
_TIMEOUT = 30
_log = logging.getLogger(__name__)


class SftpStore:
    """Objects as files beneath the address's path. It connects at the first request. One connection serves
    all threads; after it breaks, the next request connects again."""

    parallel = 4

    def __init__(self, address: Address) -> None:
        self.url = address.text
        self._address = address
        self._root = address.path.removeprefix("/~/").rstrip("/") or "."
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connecting: asyncio.Lock | None = None
        self._connection: SSHClientConnection | None = None
        self._client: SFTPClient | None = None
        self._made: set[str] = set()

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self._run(self._create(checked(name), parts), f"create {name} in {self.url}")

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._run(self._read(checked(name), start, length), f"read {name} in {self.url}")

    def size(self, name: str) -> int:
        return self._run(self._size(checked(name)), f"look at {name} in {self.url}")

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        found = self._run(self._walk(folder, prefix), f"list {prefix or 'all objects'} in {self.url}")
        yield from sorted(found)

    def delete(self, name: str) -> None:
        with contextlib.suppress(MissingError):
            self._run(self._delete(checked(name)), f"delete {name} in {self.url}")

    def close(self) -> None:
        """Disconnects. The store can still be used: it connects again."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop and self._thread:
                asyncio.run_coroutine_threadsafe(self._disconnect(), loop).result()
                loop.call_soon_threadsafe(loop.stop)
                self._thread.join()
                loop.close()

    # ── in the loop ─────────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, name: str, parts: Sequence[Buffer]) -> None:
        from asyncssh import SFTPError

        client, target = await self._connected(), f"{self._root}/{name}"
        await self._make(client, target.rpartition("/")[0])
        temporary = f"{self._root}/{_TEMPORARY}/{os.urandom(12).hex()}"
        try:
            async with client.open(temporary, "xb") as file:
                for piece in _pieces(parts):
                    await file.write(piece)
                await file.fsync()
                try:
                    await client.link(temporary, target)
                except SFTPError:
                    # The protocol has no error code for an existing name.
                    if await client.exists(target):
                        raise ExistsError("the object exists already") from None
                    raise
                await file.fsync()
        finally:
            with contextlib.suppress(SFTPError, OSError):
                await client.remove(temporary)

    async def _read(self, name: str, start: int, length: int | None) -> bytes:
        client = await self._connected()
        async with client.open(f"{self._root}/{name}", "rb") as file:
            wanted = int((await file.stat()).size or 0) - start if length is None else length
            data = bytes(await file.read(wanted, start)) if wanted > 0 else b""  # type: ignore[arg-type]
        if len(data) != wanted:
            raise StoreError("the object is shorter than the requested range")
        return data

    async def _size(self, name: str) -> int:
        client = await self._connected()
        return int((await client.stat(f"{self._root}/{name}")).size or 0)

    async def _delete(self, name: str) -> None:
        await (await self._connected()).remove(f"{self._root}/{name}")

    async def _walk(self, folder: str, prefix: str) -> _Found:
        """Lists the folders in parallel: each costs a round trip."""
        from asyncssh import SFTPNoSuchFile

        client = await self._connected()
        found: _Found = []
        folders: _Names = []
        try:
            async for entry in _entries(client, f"{self._root}/{folder}" if folder else self._root):
                name = f"{folder}/{entry.filename}" if folder else str(entry.filename)
                if str(entry.filename).startswith(".") or not (
                    name.startswith(prefix) or prefix.startswith(name + "/")
                ):
                    continue
                if stat.S_ISDIR(entry.attrs.permissions or 0):
                    folders.append(name)
                else:
                    found.append((name, int(entry.attrs.size or 0)))
        except SFTPNoSuchFile:
            return []
        for more in await asyncio.gather(*(self._walk(name, prefix) for name in folders)):
            found += more
        return found

    async def _make(self, client: SFTPClient, folder: str) -> None:
        if not self._made:
            await client.makedirs(f"{self._root}/{_TEMPORARY}", exist_ok=True)
            await self._sweep(client)
        if folder not in self._made:
            await client.makedirs(folder, exist_ok=True)
            self._made.add(folder)

    async def _sweep(self, client: SFTPClient) -> None:
        """Removes the temporary files of crashed writers. A new file shows the server's time."""
        now = f"{self._root}/{_TEMPORARY}/{os.urandom(12).hex()}"
        async with client.open(now, "xb"):
            pass
        fresh = int((await client.stat(now)).mtime or 0)
        async for entry in _entries(client, f"{self._root}/{_TEMPORARY}"):
            old = str(entry.filename)
            if not old.startswith(".") and int(entry.attrs.mtime or fresh) < fresh - _STALE:
                await client.remove(f"{self._root}/{_TEMPORARY}/{old}")
                _log.debug("%s: removed %s, which a crashed writer left", self.url, old)
        await client.remove(now)

    async def _connected(self) -> SFTPClient:
        """The client with an open connection."""
        assert self._connecting
        async with self._connecting:
            if self._client is None or self._connection is None or self._connection.is_closed():
                import asyncssh

                if self._connection is not None:
                    _log.info("%s: the connection was lost; connecting again", self.url)
                address, given = self._address, self._address.options
                options: dict[str, Any] = {"connect_timeout": _TIMEOUT, "keepalive_interval": _TIMEOUT}
                if address.port:
                    options["port"] = address.port
                if address.user:
                    options["username"] = address.user
                if "key" in given:
                    options["client_keys"] = [given["key"]]
                if "known_hosts" in given:
                    options["known_hosts"] = given["known_hosts"]
                self._connection = await asyncssh.connect(address.host, **options)
                self._client = await self._connection.start_sftp_client()
                _log.debug("%s: connected", self.url)
            return self._client

    async def _disconnect(self) -> None:
        if self._connection:
            self._connection.abort()
            await self._connection.wait_closed()
        self._connection = self._client = None

    # ── between the threads ─────────────────────────────────────────────────────────────────────────────────

    def _run(self, work: Coroutine[Any, Any, T], doing: str) -> T:
        try:
            import asyncssh
        except ImportError as error:
            work.close()
            hint = "Install it: pip install 'undivided[sftp]'."
            raise UsageError("the client for SFTP is not installed", doing=doing, hint=hint) from error
        try:
            return asyncio.run_coroutine_threadsafe(work, self._running()).result()
        except StoreError as error:
            raise type(error)(error.cause, doing=doing, hint=error.hint) from None
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise MissingError("the object does not exist", doing=doing) from None
        except (asyncssh.Error, OSError, ValueError) as error:
            raise _store_error(error, doing) from None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                self._connecting = asyncio.Lock()
                self._thread = threading.Thread(target=loop.run_forever, name="undivided-sftp", daemon=True)
                self._thread.start()
            return self._loop


async def _entries(client: SFTPClient, folder: str) -> AsyncIterator[Any]:
    async for entry in client.scandir(folder):
        yield entry


def _pieces(parts: Sequence[Buffer]) -> Iterator[bytes]:
    """The parts in pieces of a megabyte, small ones combined: each piece costs a round trip."""
    collected = bytearray()
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), _PIECE):
            collected += view[start : start + _PIECE]
            if len(collected) >= _PIECE:
                yield bytes(collected)
                collected.clear()
    if collected:
        yield bytes(collected)


def _store_error(error: Exception, doing: str) -> StoreError:
    import asyncssh

    cause = str(getattr(error, "reason", "") or getattr(error, "strerror", "") or error).lower()
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        hint = "Log in once by hand (ssh), and compare the key that ssh shows with the host's own key."
        return StoreError("the host is not known, or its key has changed", doing=doing, hint=hint)
    if isinstance(error, asyncssh.PermissionDenied):
        return StoreError(
            "the login was refused", doing=doing, hint="Check whether `ssh` can log in with the same key."
        )
    if isinstance(error, asyncssh.KeyImportError):
        return StoreError(f"the key cannot be used: {cause}", doing=doing, hint="Add it to ssh-agent.")
    if isinstance(error, asyncssh.SFTPOpUnsupported):
        hint = "The server lacks OpenSSH's hard links or fsync: use another kind of store."
        return StoreError("the server cannot store objects durably", doing=doing, hint=hint)
    if isinstance(error, asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost | asyncssh.DisconnectError):
        return TransientError(
            cause or "the connection was lost", doing=doing, hint="Check that the host is up."
        )
    if isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
        hint = "Make room there, then run the command again. Stored objects are intact."
        return FullError(cause, doing=doing, hint=hint)
    if isinstance(error, asyncssh.SFTPError):
        hint = "Check the free space and the owner of the directory there."
        return StoreError(cause, doing=doing, hint=hint)
    return TransientError(
        cause or "the connection broke",
        doing=doing,
        hint="Check that the host is up and that its name is right.",
    )
