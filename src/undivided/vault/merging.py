"""Index segments are merged as they are made, so that their number stays logarithmic.

A service marked every few seconds commits a small segment each time, and whoever opens the index would read
them all. So a commit takes the segments before it into its own as long as they are not much larger: like the
digits of a counter, each chunk is rewritten a logarithmic number of times. What was taken in stays in the
store and is linked to no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import index as indexes
from .index import Segment
from .keys import WriterKeys
from .links import index_entries, read_index_segment
from .log import Log
from .stores.base import Store
from .table import Table

_MOST_SESSIONS = 60_000  # their numbers are u2


@dataclass(frozen=True)
class Merged:
    """A segment, and the link that leads past what it took in. It holds as long as `seen` is still the newest
    entry that changed the index; else the plain link does no harm."""

    segment: Segment
    seen: int
    before: int

    def link(self, newest: int) -> int:
        return self.before if newest == self.seen else newest


def merged(store: Store, keys: WriterKeys, log: Log, new: Segment) -> Merged:
    """`new` with the newest segments before it. Raises DamageError when one is not what was stored."""
    parts = [new]
    weight = len(new.table.length)
    last = log.last
    seen = before = int(last.links["data"]) if last else 0
    for entry in index_entries(log):
        names = entry.links.get("index", ())
        if entry.links.get("bad") or len(names) != 1:
            break
        older = read_index_segment(store, keys, names[0])
        if (
            len(older.table.length) > 2 * weight
            or sum(len(p.sessions) for p in [*parts, older]) > _MOST_SESSIONS
        ):
            break
        parts.append(older)
        weight += len(older.table.length)
        before = int(entry.links["before"])
    return Merged(_joined(parts), seen, before)


def _joined(parts: list[Segment]) -> Segment:
    firsts = np.cumsum([0, *(len(p.sessions) for p in parts[:-1])])
    return indexes.Segment(
        pack=np.concatenate([p.pack for p in parts]),
        size=np.concatenate([p.size for p in parts]),
        frames=np.concatenate([p.frames for p in parts]),
        session=np.concatenate([p.session + int(f) for p, f in zip(parts, firsts, strict=True)]).astype(
            "<u2"
        ),
        sessions=[s for p in parts for s in p.sessions],
        table=Table.concat([p.table for p in parts]),
    )
