"""The physical image: mariadb-backup's stream, put into the sink as it arrives, without a copy on disk.

The program copies data files while they change, and its stream ends with the redo log that makes them
consistent; so an image needs `--prepare` before a server starts on it (restore.py). The image comes with its
position in the binary log, from which the log continues.

A file goes straight into the sink while its pieces follow each other. The redo log is collected while the
data files are copied, so its pieces may lie between theirs. Such pieces wait, in memory and beyond 64 MiB in
an unlinked temporary file, until the other files are done.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from ...model.entries import Entry, Kind
from ...model.errors import SourceError
from ...model.service import Component
from ..base import Sink
from .client import Login
from .lock_wait import LIMIT, LockWait
from .programs import Child, program
from .server_facts import MariaDBFacts
from .xbstream import Piece, pieces

PREFIX = b"data"
_IN_MEMORY = 64 << 20
_READ = 1 << 20
_REDO = b"ib_logfile"
_BINLOG_INFO = (b"xtrabackup_binlog_info", b"mariadb_backup_binlog_info")


@dataclass(frozen=True, slots=True)
class MariaDBImage:
    """file, offset: its position in the binary log. size: bytes."""

    file: str
    offset: int
    size: int


def take_image(sink: Sink, component: Component, login: Login, facts: MariaDBFacts) -> MariaDBImage:
    """Takes a new image into `data/`. Raises SourceError when it is not whole: then no point must be made."""
    doing = f"take an image of {component.name}"
    tool = program(component, "mariadb-backup")
    sink.replace(PREFIX)
    writer = _Writer(sink, facts)
    with login.option_file() as options, tempfile.TemporaryDirectory(prefix="undivided-") as scratch:
        argv = [
            tool,
            f"--defaults-file={options}",
            "--backup",
            "--stream=mbstream",
            "--parallel=1",
            f"--datadir={facts.directory}",
            f"--target-dir={scratch}",  # for files of its own; required even when it streams
        ]
        with (
            LockWait(login, doing) as wait,
            Child(argv, doing=doing, last_line="completed OK!", stdout=subprocess.PIPE) as child,
        ):
            try:
                writer.take(pieces(child.stdout))
                child.done()
            except SourceError as error:
                child.end()
                if wait.ended:
                    raise SourceError(
                        f"another session kept mariadb-backup waiting for more than {LIMIT:g} s",
                        doing=doing,
                        hint="LOCK TABLES, DDL or a MyISAM statement blocks it: protect again after its end.",
                    ) from error
                output = child.last_errors()
                more = "" if output in error.cause else output
                raise SourceError(f"{error.cause}{more}", doing=doing, hint=_hint(output)) from error
    return writer.image(doing)


class _Writer:
    """Puts a stream's files under `data/`, each with the owner and mode of the live file."""

    def __init__(self, sink: Sink, facts: MariaDBFacts) -> None:
        self._sink, self._directory = sink, os.fsencode(facts.directory)
        self._waiting: dict[bytes, tempfile.SpooledTemporaryFile[bytes]] = {}
        self._folders: set[bytes] = set()
        self._done: set[bytes] = set()
        self._info = b""
        self._size = 0

    def take(self, stream: Iterator[Piece]) -> None:
        self._folder(b"")
        for piece in stream:
            if piece.data is None or piece.path in self._waiting or piece.path.startswith(_REDO):
                self._set_aside(piece)
            else:
                self._put(piece.path, self._whole(piece, stream))
        for path, spool in self._waiting.items():
            with spool:
                spool.seek(0)
                self._put(path, iter(lambda s=spool: s.read(_READ), b""))  # type: ignore[misc]

    def image(self, doing: str) -> MariaDBImage:
        words = self._info.decode("utf-8", "replace").split()
        if len(words) < 2 or not words[1].isdigit():
            raise SourceError("the image has no position in the binary log", doing=doing)
        return MariaDBImage(os.path.basename(words[0]), int(words[1]), self._size)

    def _whole(self, first: Piece, stream: Iterator[Piece]) -> Iterator[bytes]:
        """The file that begins with `first`, to its end. Pieces of other files are set aside."""
        piece: Piece | None = first
        while piece is not None:
            if piece.path != first.path:
                self._set_aside(piece)
            elif piece.data is None:
                self._done.add(first.path)
                return
            else:
                if first.path in _BINLOG_INFO:
                    self._info += piece.data
                yield piece.data
            piece = next(stream, None)

    def _set_aside(self, piece: Piece) -> None:
        if piece.path in self._done:
            return
        spool = self._waiting.get(piece.path)
        if spool is None:
            spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed by `take`)
            self._waiting[piece.path] = spool
        spool.write(piece.data or b"")

    def _put(self, path: bytes, data: Iterator[bytes]) -> None:
        self._folder(os.path.dirname(path))
        self._size += self._sink.put(self._entry(path, Kind.FILE, 0o660), data)
        self._sink.progress(self._size)

    def _folder(self, path: bytes) -> None:
        if path in self._folders:
            return
        if path:
            self._folder(os.path.dirname(path))
        self._folders.add(path)
        self._sink.put(self._entry(path, Kind.DIRECTORY, 0o700))

    def _entry(self, path: bytes, kind: Kind, mode: int) -> Entry:
        """With the attributes of the live file; a file that only the image has gets the data directory's
        owner."""
        name = PREFIX + b"/" + path if path else PREFIX
        live = os.path.join(self._directory, path) if path else self._directory
        try:
            found = os.stat(live)
            mode = stat.S_IMODE(found.st_mode)
        except OSError:
            found = os.stat(self._directory)
        return Entry(name, kind, mode=mode, uid=found.st_uid, gid=found.st_gid, mtime_ns=found.st_mtime_ns)


def _hint(output: str) -> str:
    if "denied" in output or "privilege" in output.lower():
        return "Grant the privileges that docs/drivers/mariadb.md lists, and read access to the data."
    return "Run mariadb-backup by hand to see its whole output; it must be of the server's own version."
