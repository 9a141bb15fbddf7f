"""A store on any machine that takes SFTP logins: nothing of ours has to run there.

    sftp://USER@HOST:PORT/PATH?key=FILE        PATH begins with /~/ to lie in the user's home

The same steps as in a local directory (directory.py), asked for over the wire: written beside, fsynced,
linked to its name, which fails when the name is taken; then fsynced again, which on the usual filesystems
makes the new name durable, because SFTP has no fsync for directories. Where the server can do neither,
nothing is stored: a rename that overwrites and bytes that are lost with the power would break what a store
promises.

Who logs in is proven by the usual keys: ssh-agent, ~/.ssh, or the file that the address names. The host
must be known (~/.ssh/known_hosts); nobody is asked, and a changed host key is an error.

The client works in an event loop; it has one here, in a thread of its own, and is met at one function,
`_wait`.
"""

from __future__ import annotations

import asyncio
import contextlib
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
"""Seconds after which what lies in the temporary directory is a dead writer's, by the server's clock."""
_PATIENCE = 30


class SftpStore:
    """Objects as files beneath the address's path. Nobody is called before the first request; one connection
    serves all threads, and a new one is made when it broke."""

    parallel = 4

    def __init__(self, address: Address) -> None:
        self.url = address.text
        self._address = address
        self._root = address.path.removeprefix("/~/").rstrip("/") or "."
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calling: asyncio.Lock | None = None
        self._connection: SSHClientConnection | None = None
        self._client: SFTPClient | None = None
        self._made: set[str] = set()

    def create(self, name: str, parts: Sequence[Buffer]) -> None:
        self._wait(self._create(checked(name), parts), f"create {name} in {self.url}")

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._wait(self._read(checked(name), start, length), f"read {name} in {self.url}")

    def size(self, name: str) -> int:
        return self._wait(self._size(checked(name)), f"look at {name} in {self.url}")

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        found = self._wait(self._walk(folder, prefix), f"list {prefix or 'all objects'} in {self.url}")
        yield from sorted(found)

    def delete(self, name: str) -> None:
        with contextlib.suppress(MissingError):
            self._wait(self._delete(checked(name)), f"delete {name} in {self.url}")

    def close(self) -> None:
        """Hangs up. The store may be used again."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop and self._thread:
                asyncio.run_coroutine_threadsafe(self._hang_up(), loop).result()
                loop.call_soon_threadsafe(loop.stop)
                self._thread.join()
                loop.close()

    # ── in the loop ─────────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, name: str, parts: Sequence[Buffer]) -> None:
        from asyncssh import SFTPError

        client, target = await self._called(), f"{self._root}/{name}"
        await self._make(client, target.rpartition("/")[0])
        aside = f"{self._root}/{_TEMPORARY}/{os.urandom(12).hex()}"
        try:
            async with client.open(aside, "xb") as file:
                for piece in _pieces(parts):
                    await file.write(piece)
                await file.fsync()
                try:
                    await client.link(aside, target)
                except SFTPError:
                    # The protocol has no word for "it is there".
                    if await client.exists(target):
                        raise ExistsError("it is there already") from None
                    raise
                await file.fsync()
        finally:
            with contextlib.suppress(SFTPError, OSError):
                await client.remove(aside)

    async def _read(self, name: str, start: int, length: int | None) -> bytes:
        client = await self._called()
        async with client.open(f"{self._root}/{name}", "rb") as file:
            wanted = int((await file.stat()).size or 0) - start if length is None else length
            data = bytes(await file.read(wanted, start)) if wanted > 0 else b""  # type: ignore[arg-type]
        if len(data) != wanted:
            raise StoreError("the object ends before the bytes that were asked for")
        return data

    async def _size(self, name: str) -> int:
        client = await self._called()
        return int((await client.stat(f"{self._root}/{name}")).size or 0)

    async def _delete(self, name: str) -> None:
        await (await self._called()).remove(f"{self._root}/{name}")

    async def _walk(self, folder: str, prefix: str) -> _Found:
        """Folders side by side: each costs a way there and back."""
        from asyncssh import SFTPNoSuchFile

        client = await self._called()
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
        """Removes what dead writers left behind, by the time of the server, which a fresh file tells."""
        now = f"{self._root}/{_TEMPORARY}/{os.urandom(12).hex()}"
        async with client.open(now, "xb"):
            pass
        fresh = int((await client.stat(now)).mtime or 0)
        async for entry in _entries(client, f"{self._root}/{_TEMPORARY}"):
            old = str(entry.filename)
            if not old.startswith(".") and int(entry.attrs.mtime or fresh) < fresh - _STALE:
                await client.remove(f"{self._root}/{_TEMPORARY}/{old}")
        await client.remove(now)

    async def _called(self) -> SFTPClient:
        """The client, connected."""
        assert self._calling
        async with self._calling:
            if self._client is None or self._connection is None or self._connection.is_closed():
                import asyncssh

                said, address = self._address.options, self._address
                options: dict[str, Any] = {"connect_timeout": _PATIENCE, "keepalive_interval": _PATIENCE}
                if address.port:
                    options["port"] = address.port
                if address.user:
                    options["username"] = address.user
                if "key" in said:
                    options["client_keys"] = [said["key"]]
                if "known_hosts" in said:
                    options["known_hosts"] = said["known_hosts"]
                self._connection = await asyncssh.connect(address.host, **options)
                self._client = await self._connection.start_sftp_client()
            return self._client

    async def _hang_up(self) -> None:
        if self._connection:
            self._connection.abort()
            await self._connection.wait_closed()
        self._connection = self._client = None

    # ── the one crossing ────────────────────────────────────────────────────────────────────────────────────

    def _wait(self, work: Coroutine[Any, Any, T], doing: str) -> T:
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
            raise MissingError("there is no such object", doing=doing) from None
        except (asyncssh.Error, OSError, ValueError) as error:
            raise _translated(error, doing) from None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                self._calling = asyncio.Lock()
                self._thread = threading.Thread(target=loop.run_forever, name="undivided-sftp", daemon=True)
                self._thread.start()
            return self._loop


async def _entries(client: SFTPClient, folder: str) -> AsyncIterator[Any]:
    async for entry in client.scandir(folder):
        yield entry


def _pieces(parts: Sequence[Buffer]) -> Iterator[bytes]:
    """The parts in pieces of a megabyte, small ones put together: each piece costs a way there and back."""
    gathered = bytearray()
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), _PIECE):
            gathered += view[start : start + _PIECE]
            if len(gathered) >= _PIECE:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)


def _translated(error: Exception, doing: str) -> StoreError:
    import asyncssh

    cause = str(getattr(error, "reason", "") or getattr(error, "strerror", "") or error).lower()
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        hint = "Log in once by hand (ssh), and compare what it shows with the host's own key."
        return StoreError("the host is not known, or has another key than before", doing=doing, hint=hint)
    if isinstance(error, asyncssh.PermissionDenied):
        return StoreError("the login was refused", doing=doing, hint="Does `ssh` log in with the same key?")
    if isinstance(error, asyncssh.KeyImportError):
        return StoreError(f"the key cannot be used: {cause}", doing=doing, hint="Give it to ssh-agent.")
    if isinstance(error, asyncssh.SFTPOpUnsupported):
        hint = "The server lacks OpenSSH's hard links or fsync: use another kind of store."
        return StoreError("the server cannot store anything for good", doing=doing, hint=hint)
    if isinstance(error, asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost | asyncssh.DisconnectError):
        return TransientError(cause or "the connection was lost", doing=doing, hint="Is the host up?")
    if isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
        hint = "What is stored already is intact; make room there, then run it again."
        return FullError(cause, doing=doing, hint=hint)
    if isinstance(error, asyncssh.SFTPError):
        hint = "Look at the free space, and at who owns the directory there."
        return StoreError(cause, doing=doing, hint=hint)
    return TransientError(
        cause or "the connection broke", doing=doing, hint="Is the host up, and its name right?"
    )
