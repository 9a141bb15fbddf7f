"""A real Redis in its own directory, on its own socket and a free port."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..drivers.redis.resp import RedisAddress, RedisConnection, RefusedError, Reply
from ..model.errors import SourceError
from ..model.service import Component
from .ports import free_port

_TIMEOUT = 30.0


class RedisServer:
    """A running redis-server. The end of the context stops it and removes its directory.

    config: further lines of redis.conf, name to value.
    """

    def __init__(self, config: Mapping[str, str] | None = None, *, program: str = "redis-server") -> None:
        # Not pytest's tmp_path: the path of a UNIX socket must be short.
        self.directory = Path(tempfile.mkdtemp(prefix="und-redis-", dir="/tmp"))
        self.data = self.directory / "data"
        self.data.mkdir()
        self.port = free_port()
        self.program = program
        self.config = {"repl-diskless-sync-delay": "0", "save": '""', **(config or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def socket(self) -> str:
        return str(self.directory / "s")

    @property
    def component(self) -> Component:
        return Component("cache", "redis", {"socket": self.socket, "port": 6379, "address": "127.0.0.1"})

    def start(self) -> None:
        lines = [f"port {self.port}", "bind 127.0.0.1", f"unixsocket {self.socket}", f"dir {self.data}"]
        lines += [f"logfile {self.directory}/log", *(f"{k} {v}" for k, v in self.config.items())]
        (self.directory / "redis.conf").write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [self.program, str(self.directory / "redis.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _TIMEOUT
        while True:
            try:
                self.call("PING")
                return
            except SourceError:
                assert time.monotonic() < until and self.process.poll() is None, self.log()
                time.sleep(0.01)

    def connect(self, password: str | None = None) -> RedisConnection:
        return RedisConnection(RedisAddress(socket=self.socket), password or self.config.get("requirepass"))

    def call(self, *words: str | bytes | int) -> Reply:
        with contextlib.closing(self.connect()) as connection:
            return connection.call(*words)

    def log(self) -> str:
        file = self.directory / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def kill(self) -> None:
        """Ends it at once, like a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def everything(connection: RedisConnection, databases: int = 16) -> dict[tuple[int, bytes], Any]:
    """All data of a server: (database, key) to a serialization of the value with its absolute expiry."""
    found: dict[tuple[int, bytes], Any] = {}
    for number in range(databases):
        connection.call("SELECT", number)
        keys = connection.call("KEYS", "*")
        assert isinstance(keys, list)
        for key in keys:
            assert isinstance(key, bytes)
            found[number, key] = (_value(connection, key), expiry(connection, key))
    return found


def expiry(connection: RedisConnection, key: str | bytes) -> Reply:
    """When a key expires, in milliseconds since the epoch; -1 for never. Before Redis 7: 0 if it expires at
    all."""
    try:
        return connection.call("PEXPIRETIME", key)
    except RefusedError:
        return -1 if connection.call("PTTL", key) == -1 else 0


def _value(connection: RedisConnection, key: bytes) -> object:
    kind = connection.call("TYPE", key)
    read: dict[Any, tuple[str | int, ...]] = {
        b"string": ("GET", ""),
        b"list": ("LRANGE", "", 0, -1),
        b"set": ("SMEMBERS", ""),
        b"zset": ("ZRANGE", "", 0, -1, "WITHSCORES"),
        b"hash": ("HGETALL", ""),
        b"stream": ("XRANGE", "", "-", "+"),
    }
    name, _, *rest = read[kind]
    value = connection.call(name, key, *rest)
    if kind == b"set" and isinstance(value, list):
        return sorted(item for item in value if isinstance(item, bytes))
    if kind == b"hash" and isinstance(value, list):
        return sorted(zip(map(repr, value[::2]), map(repr, value[1::2]), strict=True))
    return value
