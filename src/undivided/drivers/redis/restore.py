"""From an image and a stream back to a directory that a server starts on.

Image and stream joined are an append-only file with an RDB preamble, which every Redis since 4 loads. So the
stream is not piped through a client but loaded, and that also makes it exact: while loading, no key expires
by today's clock. A key that had a minute to live in the image and was made permanent in the stream is there,
as it was at the mark. Keys whose time has passed since expire after loading.

A private server loads the file. It listens on a UNIX socket in a directory of its own, never on a port. Then
it saves, and the directory holds the RDB file and, if the original kept an append-only file, that file as
well: a server with `appendonly yes` would start empty from an RDB file alone.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.errors import SourceError, UndividedError, error_context
from ...model.service import Component
from ..base import Source
from .resp import RedisAddress, RedisConnection, RefusedError
from .session import IMAGE, STREAM

_log = logging.getLogger(__name__)

_POLL = 0.02
_KEPT = (
    "appenddirname",
    "appendfilename",
    "appendfsync",
    "appendonly",
    "databases",
    "dbfilename",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
)
DEFAULT_PORT = 6379


def restore_directory(source: Source, into: Path, program: str) -> None:
    """Fills `into`. program: redis-server, of the original's version or newer. Raises UndividedError."""
    settings: Mapping[str, str] = source.point.state.get("settings", {})
    work = into / ".restore"
    work.mkdir(mode=0o700)
    _change_owner(into, source)
    appends = settings.get("appendfilename", "appendonly.aof")
    _join(source, work / appends)
    with tempfile.TemporaryDirectory(prefix="und-", ignore_cleanup_errors=True) as short:
        server = RedisAddress(socket=f"{short}/s")
        _load_and_save(program, work, server, settings)
    os.rename(work / "dump.rdb", into / settings.get("dbfilename", "dump.rdb"))
    if settings.get("appendonly") == "yes":
        # Redis 7 has moved the file into a directory; older versions leave it where it was.
        for name in (settings.get("appenddirname", "appendonlydir"), appends):
            if (work / name).exists():
                os.rename(work / name, into / name)
    shutil.rmtree(work)
    owner = os.stat(into)
    for path in into.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)


def configuration(state: Mapping[str, Any], component: Component) -> str:
    """A redis.conf for the restored server: the original's essential settings, the component's addresses."""
    settings: Mapping[str, str] = state.get("settings", {})
    lines = ["# Written by a recovery. It contains no passwords and no users."]
    lines += [f"{name} {quoted(settings[name])}" for name in _KEPT if name in settings]
    numbers = settings.get("save", "").split()
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    lines += [f"save {seconds} {changes}" for seconds, changes in pairs] or ['save ""']
    socket, port = component.get("socket"), component.get("port", DEFAULT_PORT)
    if socket:
        lines.append(f"unixsocket {quoted(socket)}")
        stays = socket == settings.get("unixsocket")
        port = int(settings.get("port", port)) if stays else port if port != DEFAULT_PORT else 0
    lines += [f"port {port}", f"bind {component.get('address', '127.0.0.1')}"]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A word quoted for redis.conf, whatever it contains."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in os.fsencode(text))
    return f'"{"".join(plain)}"'


def _change_owner(into: Path, source: Source) -> None:
    """Gives `into` to the owner of the original directory, so that the server can run as that user."""
    paths = source.entries.path.tolist()
    if os.geteuid() == 0 and b"data" in paths:
        row = source.entries.row(paths.index(b"data"))
        os.chown(into, row.uid, row.gid)
        os.chmod(into, row.mode)


def _join(source: Source, target: Path) -> None:
    with open(target, "xb") as file:
        for path in (IMAGE, STREAM):
            for piece in source.read(path):
                file.write(piece)


def _load_and_save(program: str, work: Path, server: RedisAddress, settings: Mapping[str, str]) -> None:
    argv = [program, "--port", "0", "--unixsocket", server.socket or "", "--unixsocketperm", "700"]
    argv += ["--dir", str(work), "--dbfilename", "dump.rdb", "--save", "", "--appendonly", "yes"]
    argv += ["--appendfilename", settings.get("appendfilename", "appendonly.aof"), "--appendfsync", "no"]
    argv += ["--aof-load-truncated", "no"]
    argv += ["--auto-aof-rewrite-percentage", "0", "--databases", settings.get("databases", "16")]
    argv += ["--maxmemory", "0", "--daemonize", "no", "--logfile", str(work / "log")]
    if "appenddirname" in settings:
        argv += ["--appenddirname", settings["appenddirname"]]
    doing = "replay the stream on a private server"
    with error_context(
        doing, "Install redis-server, or set `binaries` in the service file to its directory."
    ):
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, umask=0o077
        )
    _log.info("private server for the recovery started in %s, pid %d", work, process.pid)
    try:
        connection = _loaded(process, server)
        try:
            connection.timeout(3600.0)
            connection.call("SAVE")
            connection.send("SHUTDOWN", "NOSAVE")
            process.wait()
        finally:
            connection.close()
    except SourceError as error:
        raise UndividedError(
            _last_error(work / "log") or error.cause,
            doing=doing,
            hint="The server must be of the original's version or newer, with the same modules.",
        ) from error
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        _log.info("private server for the recovery stopped, pid %d", process.pid)


def _loaded(process: subprocess.Popen[bytes], server: RedisAddress) -> RedisConnection:
    """A connection to the private server, once it has loaded all data. Loading has no time limit."""
    while True:
        connection = None
        try:
            connection = RedisConnection(server, timeout=60.0)
            connection.call("PING")
            return connection
        except (RefusedError, SourceError):
            if connection is not None:
                connection.close()
            if process.poll() is not None:
                raise
            time.sleep(_POLL)


def _last_error(log: Path) -> str:
    """The last complaint in a server's log, without its time and process id."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    complaints = [line.partition(" # ")[2] for line in lines if " # " in line]
    return complaints[-1] if complaints else ""
