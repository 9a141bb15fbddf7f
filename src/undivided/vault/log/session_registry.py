"""The session registry: which sessions the log knows, and which of them are still at work.

A prune reads the entries since the prune before it, whose entry lists the sessions at work then. An older
session that is not in that list is done or fenced. Whether it existed at all is looked up in the older log
only on demand: when an object of an old session is found (an upload that arrived long after its session was
fenced).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...model.log_kinds import LogKind
from ..format.log_entry import LogEntry
from .log import Log


@dataclass
class KnownSession:
    """One session in the log. registered, committed: its newest entries, 0 for none. renewed_ns: when it
    registered last."""

    registered: int = 0
    renewed_ns: int = 0
    committed: int = 0
    fenced: bool = False

    @property
    def open(self) -> bool:
        return self.registered > self.committed and not self.fenced


class SessionRegistry:
    """Sessions by name (hex)."""

    def __init__(self, log: Log, pruned: LogEntry | None) -> None:
        """pruned: the newest prune entry before the entries that will be learned."""
        self._log, self._older = log, pruned.number if pruned else 0
        self._known: dict[str, KnownSession] = {}
        if pruned:
            for name, (registered, renewed_ns) in pruned.body["active_sessions"].items():
                self._known[name] = KnownSession(registered, renewed_ns)

    def learn(self, entry: LogEntry) -> None:
        """The next entry of the log."""
        if entry.kind == LogKind.SESSION:
            own = self._known.setdefault(entry.session, KnownSession())
            own.registered, own.renewed_ns = entry.number, entry.time_ns
        elif entry.session in self._known:
            self._known[entry.session].committed = entry.number
        if entry.kind == LogKind.PRUNE:
            self.fence(entry.body["fenced_sessions"])

    def fence(self, names: Iterable[str]) -> None:
        for name in names:
            self._known.setdefault(name, KnownSession()).fenced = True

    def get(self, name: str) -> KnownSession | None:
        """None when the log has no session of this name."""
        while name not in self._known and self._older:
            entry = self._log.entry(self._older)
            self._older -= 1
            # Sessions that were at work at that prune are known already: any other one has ended.
            self._known.setdefault(entry.session, KnownSession(fenced=True))
        return self._known.get(name)

    def copy(self) -> SessionRegistry:
        other = SessionRegistry(self._log, None)
        other._older = self._older
        other._known = {name: replace(own) for name, own in self._known.items()}
        return other

    def at_work(self) -> Mapping[str, KnownSession]:
        return {name: own for name, own in self._known.items() if own.open}

    def record(self) -> dict[str, Any]:
        """For the prune's entry: the sessions at work as of now."""
        return {name: [own.registered, own.renewed_ns] for name, own in self.at_work().items()}
