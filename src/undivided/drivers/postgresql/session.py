"""One PostgreSQL's part in a cut: an image when one is needed, the log followed to a restore point.

    prepare   look at the server; an image unless the log goes on from the last point; catch up with the log
    mark      a named restore point: one WAL record, and its LSN is the position
    finish    push that record out, fetch the log up to exactly its end

The restore point is made in a transaction left open during the hold, for making it does not write it out.
`finish` gives that transaction an id and commits it: a commit flushes all log before it. That takes no right
beyond making the restore point, and writes one small record; pg_switch_wal would cost a whole segment.

A PostgreSQL is usually the one component left unheld and merely marked; when another is, hold.py withholds
its commits.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...model.errors import SourceError
from ...model.point import ComponentPoint, Consistency, Position
from ..base import Sink, Watchdog
from . import slot
from .configuration import Configuration, read_configuration
from .image import take_image
from .server import (
    Identity,
    PostgreSQLFacts,
    PostgreSQLServer,
    facts,
    lsn,
    lsn_text,
    require_protectable,
    size,
    tablespace_places,
    translated,
)
from .sync_hold import Withholding
from .wal import WalArchive, WalRemovedError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

FORMAT = 1
LONGEST_LOG = 1 << 30
"""Bytes of log after which a new image recovers faster: this, or half the image if that is more."""
LONGEST_ID = 40
"""Characters of a point's id in the name of a restore point, which may have 63 bytes."""


class PostgreSQLSession:
    """See drivers/base.py. Not held when merely marked."""

    consistency = Consistency.APPLICATION

    def __init__(self, server: PostgreSQLServer, previous: ComponentPoint | None, *, must_hold: bool) -> None:
        self.holds = must_hold
        self._server = server
        self._doing = server.doing
        self._previous = previous.state if previous else {}
        self._withholding = Withholding(server) if must_hold else None
        self._control: connection | None = None
        self._facts: PostgreSQLFacts | None = None
        self._log: WalArchive | None = None
        self._state: dict[str, Any] = {}
        self._mark = 0

    def prepare(self, sink: Sink) -> None:
        self._control = control = self._server.sql()
        self._facts = found = facts(control, self._doing)
        require_protectable(control, found, self._doing)
        identity = self._server.identity()
        self._state = {
            "format": FORMAT,
            "version": found.version,
            "system": identity.system,
            "tablespaces": found.tablespaces,
            "image_size": self._previous.get("image_size", 0),
        }
        slot.keep_meanwhile(control, self._doing)
        if not found.caps_slots:
            slot.drop(control, self._slot(found), self._doing)
        self._prepare_log(sink, found, identity)
        self._put_configuration(read_configuration(control, found, self._doing), sink)
        if self._withholding:
            self._withholding.prepare()

    def _slot(self, found: PostgreSQLFacts) -> str:
        return slot.slot_name(self._server.component.name, found.settings["data_directory"])

    def _prepare_log(self, sink: Sink, found: PostgreSQLFacts, identity: Identity) -> None:
        """Goes on from the last point, or says why not and takes an image."""
        assert self._control is not None, "prepared"
        try:
            log = self._continued(found, identity)
            log.grow(self._server, sink, self._flushed())
        except WalRemovedError as gone:
            if self._previous:
                sink.note(f"{self._server.component.name}: new image, because {gone.cause}")
            image = take_image(self._server, sink, size(self._control, self._doing))
            sink.drop([path for path in sink.entries.path.tolist() if path.startswith(b"log/")])
            log = WalArchive.at(image.start, image.timeline, found.segment_size)
            self._state["image_size"] = image.size
            log.grow(self._server, sink, self._flushed())
        self._log = log

    def _continued(self, found: PostgreSQLFacts, identity: Identity) -> WalArchive:
        """The log where the last point left it. Raises WalRemovedError."""
        before = self._previous
        if before.get("format") != FORMAT:
            raise WalRemovedError("there is no earlier point to go on from")
        if before["system"] != identity.system:
            raise WalRemovedError("this is another cluster than the one protected so far")
        if before["timeline"] != identity.timeline:
            raise WalRemovedError(f"the server went over to timeline {identity.timeline}")
        if before["tablespaces"] != found.tablespaces:
            raise WalRemovedError("its tablespaces have changed")
        log = WalArchive.of(before)
        if self._flushed() < log.end:
            raise WalRemovedError(f"the server's log ends before {before['log_end']}: it went back in time")
        if log.end - log.start > max(LONGEST_LOG, int(before["image_size"]) // 2):
            raise WalRemovedError("the log has grown too long to recover from quickly")
        log.resume(self._server)
        return log

    def _put_configuration(self, configuration: Configuration, sink: Sink) -> None:
        """Into `config/`, when it is not what the last point has."""
        self._state["settings"] = configuration.settings
        self._state["config_digest"] = configuration.digest
        for note in configuration.notes:
            sink.note(f"{self._server.component.name}: {note}")
        if self._previous.get("config_digest") != configuration.digest:
            sink.replace(b"config")
            configuration.put(sink)

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        if self._withholding:
            self._withholding.arm(watchdog, deadline)

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        if self._withholding:
            self._withholding.hold(deadline)

    def mark(self, point: str) -> Position:
        assert self._control is not None, "prepared"
        name = restore_point_name(point)
        with translated(self._doing), self._control.cursor() as cursor:
            cursor.execute("BEGIN; SELECT pg_create_restore_point(%s)", (name,))
            (text,) = cursor.fetchone() or ("0/0",)
        if self._withholding:
            self._withholding.check()
        self._state["restore_point"] = name
        self._mark = lsn(text)
        return Position(lsn_text(self._mark), (self._mark,))

    def release(self) -> None:
        if self._withholding:
            self._withholding.release()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        assert self._control is not None and self._log is not None and self._facts is not None, "prepared"
        if not self._mark:
            raise SourceError("there is no mark to finish", doing=self._doing)
        with translated(self._doing), self._control.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id(); COMMIT")
            if tablespace_places(cursor) != self._facts.tablespaces:
                # The log would make them anew on recovery, in the very places where the original has them.
                raise SourceError(
                    "a tablespace was created or dropped meanwhile", doing=self._doing, hint="Protect again."
                )
        self._log.grow(self._server, sink, self._mark)
        if self._facts.caps_slots:
            slot.keep_between(self._control, self._slot(self._facts), self._doing)
        return {**self._state, **self._log.state()}

    def _flushed(self) -> int:
        assert self._control is not None, "prepared"
        with translated(self._doing), self._control.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_flush_lsn()")
            (text,) = cursor.fetchone() or ("0/0",)
        return lsn(text)

    def committed(self) -> None:
        if self._control is not None and self._facts is not None and self._facts.caps_slots:
            slot.let_go_before(self._control, self._slot(self._facts), lsn_text(self._mark), self._doing)

    def close(self) -> None:
        if self._withholding:
            with contextlib.suppress(SourceError):  # said when it was released
                self._withholding.release()
            self._withholding.close()
        if self._control is not None:
            self._control.close()


def restore_point_name(point: str) -> str:
    """Never used before, even for a point tried twice: recovery stops at the first of that name."""
    return f"undivided_{point[:LONGEST_ID]}_{os.urandom(4).hex()}"
