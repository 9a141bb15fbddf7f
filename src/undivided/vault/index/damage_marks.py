"""Damage marks: the log names what was found damaged, so that the next protection stores it again.

    packs       their chunks no longer count as stored (link `damaged`): a source that still has them uploads
                them again
    timelines   a segment is lost, and with it every later state: a source starts a new timeline instead of
                continuing this one

A mark ends when a repair brings the same object back (an entry "repair", with the link `repaired` for packs).
"""

from __future__ import annotations

from collections.abc import Sequence

from ...model.log_kinds import LogKind
from ..format.log_entry import LogEntry
from ..log.heads import index_entries
from ..log.log import Log
from ..log.slot import SealedEntry, Slot
from .load import index_links


def mark_damaged(log: Log, packs: Sequence[str], timelines: Sequence[str] = ()) -> LogEntry | None:
    """Marks those that are not marked yet. Returns the entry, or None when there is nothing to mark. packs:
    hex digests; timelines: ids. Marks of timelines from before the newest prune do not count: it could read
    them."""

    def seal(slot: Slot) -> SealedEntry | None:
        known, broken = index_links(log).damaged, broken_timelines(log, slot.newest("pruned"))
        new = [name for name in packs if name not in known]
        body = {"packs": new, "timelines": [name for name in timelines if name not in broken]}
        return slot.seal(LogKind.DAMAGE, body, {"damaged": new}) if any(body.values()) else None

    return log.commit(seal)


def damaged_since(log: Log, since: int) -> bool:
    """Whether packs were marked damaged after entry `since`, or an index was rebuilt that may lack some."""
    found = index_entries(log, since)
    return any(entry.links.get("damaged") or entry.body.get("rebuilt") for entry in found)


def broken_timelines(log: Log, since: int = 0) -> frozenset[str]:
    """The timelines that were marked damaged after entry `since` and not repaired later."""
    found: set[str] = set()
    for entry in log.entries(since):
        learn_broken(found, entry)
    return frozenset(found)


def learn_broken(found: set[str], entry: LogEntry) -> None:
    """Updates the set of broken timelines with the next entry of the log."""
    if entry.kind == LogKind.DAMAGE:
        found.update(entry.body["timelines"])
    elif entry.kind == LogKind.REPAIR:
        found.difference_update(entry.body["timelines"])
