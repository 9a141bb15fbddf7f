"""Index segments are merged when new ones are written, so that their number stays logarithmic.

A service that is protected every few seconds commits a small segment each time, and opening the index would
read them all. So a commit merges the segments before it into its own as long as they are not much larger:
like the digits of a counter, each chunk is rewritten a logarithmic number of times. A merged segment stays in
the store, but no link leads to it any more.

Large segments stay as they are: merging never makes a segment of more than MOST_CHUNKS chunks, so its memory
is bounded, and any two neighbours that were not merged for that reason have more chunks together. An entry
that has other links as well (packs damaged, repaired or pending deletion) is never skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..crypto.keys import WriterKeys
from ..format.index_segment import MOST_CHUNKS, MOST_SESSIONS, IndexSegment, StoredPack, segments_of
from ..log.heads import index_entries
from ..log.log import Log
from ..stores.base import Store
from .load import read_index_segment

_OTHER_LINKS = ("damaged", "repaired", "pending_deletion", "covers")


@dataclass(frozen=True)
class Merged:
    """Segments, made on demand, and the link that leads past the segments merged into them. That link is
    right as long as `seen` is still the newest entry that changed the index; else the plain link does no
    harm."""

    segments: Iterable[IndexSegment]
    seen: int
    before: int

    def link(self, newest: int) -> int:
        """The link `previous_data` of the new entry. newest: the newest entry that changed the index."""
        return self.before if newest == self.seen else newest


def merged(store: Store, keys: WriterKeys, log: Log, packs: Sequence[StoredPack]) -> Merged:
    """New packs, merged with the newest segments before them if all fit into one. Raises DamageError when one
    of those segments is damaged."""
    last = log.last
    seen = before = int(last.links["data"]) if last else 0
    weight, sessions = sum(len(p.header.length) for p in packs), sum(len(p.sessions) for p in packs)
    if weight > MOST_CHUNKS or sessions > MOST_SESSIONS:
        return Merged(segments_of(packs), seen, before)
    parts = [IndexSegment.of(packs)]
    sessions = len(parts[0].sessions)
    for entry in index_entries(log):
        names = entry.links.get("index", ())
        if len(names) != 1 or any(entry.links.get(link) for link in _OTHER_LINKS):
            break
        older = read_index_segment(store, keys, names[0])
        most = min(2 * weight, MOST_CHUNKS - weight)
        if len(older) > most or sessions + len(older.sessions) > MOST_SESSIONS:
            break
        parts.append(older)
        weight, sessions = weight + len(older), sessions + len(older.sessions)
        before = int(entry.links["previous_data"])
    return Merged([IndexSegment.merge(parts)], seen, before)
