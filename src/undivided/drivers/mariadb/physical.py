"""The method with a binary log: a physical image when needed, and the log from it to each mark.

An image is taken when there is none, or when the log since the last one cannot be continued; every other
point moves only the bytes that the server has added to its log. Most of these move in `prepare`, so that few
are left after the mark.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from ...model.point import Position
from ...model.service import Component
from ..base import Sink
from .binlog import BinaryLog, BinlogChain, number
from .client import Login, MariaDBConnection
from .image import PREFIX, take_image
from .server_facts import MariaDBFacts, require_readable

_log = logging.getLogger(__name__)

METHOD = "log"
LONG_CHAIN = 1 << 30
"""Bytes of log since the image after which a new image is taken: this, or half the image if that is more."""
_DUMP = b"dump.sql"


class Physical:
    """One point by image and log."""

    def __init__(
        self, component: Component, login: Login, facts: MariaDBFacts, state: Mapping[str, Any] | None
    ) -> None:
        assert facts.log_base is not None
        self._component, self._login, self._facts = component, login, facts
        self._state: Mapping[str, Any] = state or {}
        self._doing = f"follow the binary log of {component.name}"
        self._log = BinaryLog(os.path.dirname(facts.log_base), self._doing)
        self._chain: BinlogChain | None = None
        self._image = int(self._state.get("image_size", 0))
        self._mark: tuple[str, int, str] | None = None

    def prepare(self, sink: Sink) -> None:
        require_readable(self._facts)
        reason = self._reason_for_image(sink)
        if reason is None:
            self._chain = BinlogChain.from_record(self._state["chain"])
        else:
            if self._state:
                sink.note(f"a new image was taken: {reason}")
                _log.info("%s: a new image is taken: %s", self._component.name, reason)
            image = take_image(sink, self._component, self._login, self._facts)
            sink.drop([_DUMP])
            self._image = image.size
            self._chain = self._log.begin(sink, image.file, image.offset)
        if self._facts.statements:
            sink.note(
                "binlog_format is STATEMENT: a statement whose effect depends on more than the data it reads "
                "may have a different effect when it is replayed; set it to ROW"
            )
        with MariaDBConnection(self._login, self._doing) as connection:
            file, offset, *_ = connection.one("SHOW MASTER STATUS")
            self._chain = self._log.follow(sink, self._chain, connection, str(file), int(offset))

    def mark(self, session: MariaDBConnection) -> Position:
        file, offset, *_ = session.one("SHOW MASTER STATUS")
        place, state = session.one("SELECT @@gtid_binlog_pos, @@gtid_binlog_state")
        self._mark = (str(file), int(offset), str(state))
        text = f"{file}:{offset} ({place})" if place else f"{file}:{offset}"
        return Position(text, (number(str(file)), int(offset)))

    def finish(self, sink: Sink) -> dict[str, Any]:
        assert self._chain is not None and self._mark is not None
        file, offset, gtid_state = self._mark
        with MariaDBConnection(self._login, self._doing) as connection:
            self._chain = self._log.follow(sink, self._chain, connection, file, offset)
        return {"image_size": self._image, "chain": self._chain.as_record(), "gtid_state": gtid_state}

    def close(self) -> None:
        """Does nothing: no resource stays open."""

    def _reason_for_image(self, sink: Sink) -> str | None:
        """The reason why the last point cannot be continued; None when it can."""
        if self._state.get("method") != METHOD:
            return (
                "the last point was a dump, and there is a binary log now"
                if self._state
                else "this is the first point"
            )
        chain = BinlogChain.from_record(self._state["chain"])
        if self._state["series"] != self._facts.series:
            return f"the server was MariaDB {self._state['series']} and is {self._facts.series} now"
        if self._state["started"] != self._facts.started:
            # It may have run without its log meanwhile, or have lost changes that were not flushed.
            return "the server was restarted"
        if chain.size > max(LONG_CHAIN, self._image // 2):
            return f"the log since the last image has grown to {chain.size >> 20} MiB"
        if PREFIX not in sink.entries.path.tolist():
            return "the last point has no image"
        if not os.path.exists(os.path.join(self._log.directory, chain.file)):
            return f"the binary log {chain.file} has been purged or reset"
        if not self._log.continues(chain):
            return f"the binary log {chain.file} is not the one in which the last point ended"
        return None
