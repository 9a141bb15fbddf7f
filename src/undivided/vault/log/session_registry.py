"""The roster: which sessions the log knows, and which of them are still at work.

A prune reads the entries since the one before it, and takes over from that who was still at work then. A
session from before that is not among those is done or fenced; whether there was one of that name at all is
looked up in the older log only when somebody asks, which is when an object of an old session comes to light
(an upload that landed after everybody had given it up).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..format.log_entry import LogEntry
from .log import Log
from .slot import PRUNE, SESSION


@dataclass
class KnownSession:
    """What the log says of one session. announced, committed: entries, 0 for none. renewed_ns: when it last
    said that it is at work."""

    announced: int = 0
    renewed_ns: int = 0
    committed: int = 0
    fenced: bool = False

    @property
    def open(self) -> bool:
        return self.announced > self.committed and not self.fenced


class SessionRegistry:
    """Sessions by name (hex)."""

    def __init__(self, log: Log, pruned: LogEntry | None) -> None:
        """pruned: the newest prune entry before what will be learned."""
        self._log, self._older = log, pruned.number if pruned else 0
        self._known: dict[str, KnownSession] = {}
        if pruned:
            for name, (announced, renewed_ns) in pruned.body["active_sessions"].items():
                self._known[name] = KnownSession(announced, renewed_ns)

    def learn(self, entry: LogEntry) -> None:
        """The next entry of the log."""
        if entry.kind == SESSION:
            own = self._known.setdefault(entry.session, KnownSession())
            own.announced, own.renewed_ns = entry.number, entry.time_ns
        elif entry.session in self._known:
            self._known[entry.session].committed = entry.number
        if entry.kind == PRUNE:
            self.fence(entry.body["fenced_sessions"])

    def fence(self, names: Iterable[str]) -> None:
        for name in names:
            self._known.setdefault(name, KnownSession()).fenced = True

    def get(self, name: str) -> KnownSession | None:
        """None when the log has no such session."""
        while name not in self._known and self._older:
            entry = self._log.entry(self._older)
            self._older -= 1
            # Those who were still at work at that prune are known already: whoever else was is no more.
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
        """For the prune entry: who is at work as of now."""
        return {name: [own.announced, own.renewed_ns] for name, own in self.at_work().items()}
