"""One component's part in a cut: the hold is the same, the way the data goes is one of two.

With a binary log that tells everything: physical.py. Without: logical.py. Which one is decided when the
server has been asked, and said in the point where it is not the better one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ...model.errors import SourceError
from ...model.point import ComponentPoint, Consistency, Position
from ...model.service import Component
from ..base import Sink, Watchdog
from .client import Login, MariaDBConnection
from .hold import CommitBlock
from .logical import WAY as LOGICAL
from .logical import Logical
from .physical import WAY as PHYSICAL
from .physical import Physical
from .server_facts import ask


class Method(Protocol):
    """How the data goes to the sink."""

    def prepare(self, sink: Sink) -> None: ...

    def mark(self, session: MariaDBConnection) -> Position:
        """session: the one that holds."""
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
        self._way: Method | None = None
        self._state: dict[str, Any] = {}

    def prepare(self, sink: Sink) -> None:
        login = self._login = Login.of(self._component)
        state: Mapping[str, Any] | None = self._previous.state if self._previous else None
        with MariaDBConnection(login, f"capture {self._name}") as connection:
            facts = ask(connection)
        self._hold = CommitBlock(login, self._name)
        self._hold.open()
        self._hold.rehearse()
        if facts.without_log is None:
            self._way = Physical(self._component, login, facts, state)
        else:
            sink.note(f"Captured by a dump, since {facts.without_log}.")
            self._way = Logical(self._component, login, facts)
        self._state = {
            "way": PHYSICAL if facts.without_log is None else LOGICAL,
            "version": facts.version,
            "series": facts.series,
            "started": facts.started,
            "settings": facts.settings,
            "uid": facts.owner.uid,
            "gid": facts.owner.gid,
        }
        # An image may take hours, longer than the server keeps an idle session.
        self._hold.close()
        self._way.prepare(sink)
        self._hold.open()
        self._hold.rehearse()

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        assert self._hold is not None
        self._hold.approach(deadline)

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        # No recipe for the watchdog: the hold ends with our connection, and by itself when we fall silent.
        assert self._hold is not None
        self._hold.enter(deadline)

    def mark(self, point: str) -> Position:
        assert self._hold is not None and self._way is not None
        return self._way.mark(self._hold.session)

    def release(self) -> None:
        if self._hold is not None:
            self._hold.leave()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        assert self._hold is not None and self._way is not None
        if self._hold.lost:
            raise SourceError(
                "the server ended the hold before it was released",
                doing=f"capture {self._name}",
                hint="Other components took longer than the pause allows; see `policy: pause`.",
            )
        self._hold.close()
        return {**self._state, **self._way.finish(sink)}

    def committed(self) -> None:
        """Nothing is kept beside the state."""

    def close(self) -> None:
        for part in (self._way, self._hold):
            if part is not None:
                part.close()
