"""The session of one PostgreSQL: an image when one is needed, and the log up to a restore point.

    prepare   check the server; take an image unless the log continues; catch up with the log
    mark      create a named restore point: one WAL record, whose LSN is the position
    finish    flush that record, fetch the log up to exactly its end

The restore point is created in a transaction that stays open during the hold, because creating it does not
flush it. `finish` gives that transaction an id and commits it: a commit flushes all log before it. That needs
no permission beyond creating the restore point, and writes one small record; pg_switch_wal would cost a whole
segment.

PostgreSQL is usually the one component of a service that is only marked, not held. When another component is,
sync_hold.py withholds its commits.
"""

from __future__ import annotations

import contextlib
import logging
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
    lsn,
    lsn_text,
    read_facts,
    require_protectable,
    server_errors,
    size,
    tablespace_places,
)
from .sync_hold import Withholding
from .wal import WalArchive, WalRemovedError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_log = logging.getLogger(__name__)

FORMAT = 1
LONGEST_LOG = 1 << 30
"""Bytes of log after which a new image is taken, because it recovers faster: this, or half the image if
that is more."""
LONGEST_ID = 40
"""Characters of a point's id in the name of a restore point, which may have 63 bytes."""


class PostgreSQLSession:
    """See drivers/base.py. Held only with must_hold; otherwise only marked."""

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
        self._facts = found = read_facts(control, self._doing)
        require_protectable(control, found, self._doing)
        identity = self._server.identity()
        self._state = {
            "format": FORMAT,
            "version": found.version,
            "system": identity.system,
            "tablespaces": found.tablespaces,
            "image_size": self._previous.get("image_size", 0),
        }
        slot.create_temporary(control, self._doing)
        if not found.caps_slots:
            slot.drop(control, self._slot(found), self._doing)
        self._prepare_log(sink, found, identity)
        self._put_configuration(read_configuration(control, found, self._doing), sink)
        if self._withholding:
            self._withholding.prepare()

    def _slot(self, found: PostgreSQLFacts) -> str:
        return slot.slot_name(self._server.component.name, found.settings["data_directory"])

    def _prepare_log(self, sink: Sink, found: PostgreSQLFacts, identity: Identity) -> None:
        """Continues from the last point; else notes the reason and takes an image."""
        assert self._control is not None, "prepared"
        try:
            log = self._continued(found, identity)
            log.grow(self._server, sink, self._flushed())
        except WalRemovedError as removed:
            if self._previous:
                sink.note(f"a new image was taken: {removed.cause}")
                _log.info("%s: a new image is taken: %s", self._server.component.name, removed.cause)
            image = take_image(self._server, sink, size(self._control, self._doing))
            sink.drop([path for path in sink.entries.path.tolist() if path.startswith(b"log/")])
            log = WalArchive.at(image.start, image.timeline, found.segment_size)
            self._state["image_size"] = image.size
            log.grow(self._server, sink, self._flushed())
        self._log = log

    def _continued(self, found: PostgreSQLFacts, identity: Identity) -> WalArchive:
        """The log as the last point left it. Raises WalRemovedError when it cannot be continued."""
        before = self._previous
        if before.get("format") != FORMAT:
            raise WalRemovedError("there is no earlier point to continue from")
        if before["system"] != identity.system:
            raise WalRemovedError("the cluster is not the one of the last point")
        if before["timeline"] != identity.timeline:
            raise WalRemovedError(f"the server has switched to timeline {identity.timeline}")
        if before["tablespaces"] != found.tablespaces:
            raise WalRemovedError("the tablespaces have changed")
        log = WalArchive.of(before)
        if self._flushed() < log.end:
            raise WalRemovedError(f"the server went back in time: its log ends before {before['log_end']}")
        if log.end - log.start > max(LONGEST_LOG, int(before["image_size"]) // 2):
            raise WalRemovedError(
                f"the log since the last image has grown to {(log.end - log.start) >> 20} MiB"
            )
        log.resume(self._server)
        return log

    def _put_configuration(self, configuration: Configuration, sink: Sink) -> None:
        """Puts the configuration under `config/` if it has changed since the last point."""
        self._state["settings"] = configuration.settings
        self._state["config_digest"] = configuration.digest
        for note in configuration.notes:
            sink.note(note)
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
        with server_errors(self._doing), self._control.cursor() as cursor:
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
            raise SourceError("the point was not marked", doing=self._doing)
        with server_errors(self._doing), self._control.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id(); COMMIT")
            if tablespace_places(cursor) != self._facts.tablespaces:
                # A recovery would replay its creation in the very directory where the original has it.
                raise SourceError(
                    "a tablespace was created or dropped during the capture",
                    doing=self._doing,
                    hint="Protect again.",
                )
        self._log.grow(self._server, sink, self._mark)
        if self._facts.caps_slots:
            slot.ensure(self._control, self._slot(self._facts), self._doing)
        return {**self._state, **self._log.state()}

    def _flushed(self) -> int:
        assert self._control is not None, "prepared"
        with server_errors(self._doing), self._control.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_flush_lsn()")
            (text,) = cursor.fetchone() or ("0/0",)
        return lsn(text)

    def committed(self) -> None:
        if self._control is not None and self._facts is not None and self._facts.caps_slots:
            slot.release_before(self._control, self._slot(self._facts), lsn_text(self._mark), self._doing)

    def close(self) -> None:
        if self._withholding:
            with contextlib.suppress(SourceError):  # `release` has raised it before
                self._withholding.release()
            self._withholding.close()
        if self._control is not None:
            self._control.close()


def restore_point_name(point: str) -> str:
    """A name that was never used before, even if a point is tried twice: recovery stops at its first use."""
    return f"undivided_{point[:LONGEST_ID]}_{os.urandom(4).hex()}"
