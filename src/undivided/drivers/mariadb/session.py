"""The session of one MariaDB server: one kind of hold, and one of two methods to capture the data.

With a binary log that has all changes the method is physical.py, else logical.py. `prepare` decides after
reading the server's settings; the point notes why a dump was taken.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from ...model.errors import SourceError
from ...model.point import ComponentPoint, Consistency, Position
from ...model.service import Component
from ..base import Sink, Watchdog
from .client import Login, MariaDBConnection
from .hold import CommitBlock
from .logical import METHOD as LOGICAL
from .logical import Logical
from .physical import METHOD as PHYSICAL
from .physical import Physical
from .server_facts import read_facts

_log = logging.getLogger(__name__)


class Method(Protocol):
    """One way to bring the data into the sink."""

    def prepare(self, sink: Sink) -> None: ...

    def mark(self, session: MariaDBConnection) -> Position:
        """session: the one that holds the server."""
        ...

    def finish(self, sink: Sink) -> dict[str, Any]: ...

    def close(self) -> None: ...


class MariaDBSession:
    """See drivers/base.py."""

    consistency = Consistency.APPLICATION
    holds = True

    def __init__(self, component: Component, previous: ComponentPoint | None) -> None:
        self._component, self._name = component, component.name
        self._previous = previous
        self._login: Login | None = None
        self._hold: CommitBlock | None = None
        self._method: Method | None = None
        self._state: dict[str, Any] = {}

    def prepare(self, sink: Sink) -> None:
        login = self._login = Login.of(self._component)
        state: Mapping[str, Any] | None = self._previous.state if self._previous else None
        with MariaDBConnection(login, f"capture {self._name}") as connection:
            facts = read_facts(connection)
        self._hold = CommitBlock(login, self._name)
        self._hold.open()
        self._hold.rehearse()
        if facts.without_log is None:
            self._method = Physical(self._component, login, facts, state)
        else:
            sink.note(f"captured by a dump: {facts.without_log}")
            _log.info("%s: falling back to a dump: %s", self._name, facts.without_log)
            self._method = Logical(self._component, login, facts)
        self._state = {
            "method": PHYSICAL if facts.without_log is None else LOGICAL,
            "version": facts.version,
            "series": facts.series,
            "started": facts.started,
            "settings": facts.settings,
            "uid": facts.owner.uid,
            "gid": facts.owner.gid,
        }
        # An image may take hours, longer than the server keeps an idle session.
        self._hold.close()
        self._method.prepare(sink)
        self._hold.open()
        self._hold.rehearse()

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        assert self._hold is not None
        self._hold.approach(deadline)

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        # The watchdog needs no undo step: the hold ends with our connection, or at the idle limit.
        assert self._hold is not None
        self._hold.enter(deadline)

    def mark(self, point: str) -> Position:
        assert self._hold is not None and self._method is not None
        return self._method.mark(self._hold.session)

    def release(self) -> None:
        if self._hold is not None:
            self._hold.leave()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        assert self._hold is not None and self._method is not None
        if self._hold.lost:
            raise SourceError(
                "the server let commits continue before the pause was over",
                doing=f"capture {self._name}",
                hint="Other components took longer than the pause allows; see `policy: pause`.",
            )
        self._hold.close()
        return {**self._state, **self._method.finish(sink)}

    def committed(self) -> None:
        """Nothing is kept on this source."""

    def close(self) -> None:
        for part in (self._method, self._hold):
            if part is not None:
                part.close()
