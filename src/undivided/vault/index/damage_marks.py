"""What was found damaged, said in the log, so that the next protection knows what to store anew.

    packs       their chunks no longer count as stored (link `damaged`): who reads them again stores them again
    timelines   a segment of theirs is lost, and with it every state after it: who would go on from the last
                point begins a new timeline instead

Both end when a repair brings the very object back (an entry "repair", with the link `repaired` for packs).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..format.log_entry import LogEntry
from ..log.heads import index_entries
from ..log.log import Log
from .load import index_links

DAMAGE, REPAIR = "damage", "repair"


def mark_damaged(log: Log, packs: Sequence[str], timelines: Sequence[str] = ()) -> LogEntry | None:
    """Says so of those of which it is not said already; None when there are none. packs: hex digests;
    timelines: ids. What a prune left could be read by then, whatever was said of it before."""
    pruned = int(log.last.links["pruned"]) if log.last else 0
    damaged, lost = index_links(log).damaged, broken_timelines(log, pruned)
    packs = [name for name in packs if name not in damaged]
    timelines = [timeline for timeline in timelines if timeline not in lost]
    if not packs and not timelines:
        return None
    body = {"packs": packs, "timelines": timelines}
    return log.append(DAMAGE, lambda _: (body, {"damaged": packs}))


def damaged_since(log: Log, since: int) -> bool:
    """Whether packs were condemned after entry `since`, or an index made anew that may lack some."""
    found = index_entries(log, since)
    return any(entry.links.get("damaged") or entry.body.get("rebuilt") for entry in found)


def broken_timelines(log: Log, since: int = 0) -> frozenset[str]:
    """The timelines that were condemned after entry `since` and not repaired after that."""
    found: set[str] = set()
    for entry in log.entries(since):
        learn_broken(found, entry)
    return frozenset(found)


def learn_broken(found: set[str], entry: LogEntry) -> None:
    """What the next entry of the log says about it, into the set of those that are torn."""
    if entry.kind == DAMAGE:
        found.update(entry.body["timelines"])
    elif entry.kind == REPAIR:
        found.difference_update(entry.body["timelines"])
