"""Timelines: a component's history as segments, each with the paths that one commit put and removed.

A segment is a column block of entries plus a column of tombstones, sealed under the session's content key:
names are content. Its digest is chained over all segments before it, so a point's digest covers its history:

    digest = SHA-256("undivided/1 timeline" + id + previous digest (32 zero bytes at first) + SHA-256(block))
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...model.columns import Ragged
from ...model.entries import Entries
from ...model.errors import DamageError
from ..crypto.aead import PREFIX, damaged

MAGIC = b"UDT1"
PURPOSE = "timeline"


def name_of(digest: str) -> str:
    return f"timeline/{digest}"


@dataclass(frozen=True)
class TimelineSegment:
    """One commit's changes to one timeline. A path that is both put and removed is put."""

    puts: Entries
    tombstones: Ragged

    @property
    def empty(self) -> bool:
        return not len(self.puts) and not len(self.tombstones)

    def encode(self, timeline: str) -> bytes:
        return self.puts.encode({"timeline": timeline}, tombstones=self.tombstones)

    @staticmethod
    def decode(block: bytes | memoryview, timeline: str, name: str) -> TimelineSegment:
        """name: of the object, for errors. Raises DamageError unless it is a segment of this timeline."""
        try:
            puts, more, header = Entries.decode(block)
            tombstones = more["tombstones"]
        except (DamageError, ValueError, KeyError, TypeError) as error:
            raise damaged(name, f"its columns are wrong ({error.args[0]})") from error
        if not isinstance(tombstones, Ragged) or header.get("timeline") != timeline:
            raise damaged(name, "it is a segment of another timeline")
        return TimelineSegment(puts, tombstones)


def chained_digest(timeline: str, previous: str, block: bytes | memoryview) -> str:
    """The timeline's digest after a segment. previous: the digest before it, in hex, "" at first."""
    before = bytes.fromhex(previous) if previous else bytes(32)
    text = PREFIX + PURPOSE.encode() + timeline.encode() + before + hashlib.sha256(block).digest()
    return hashlib.sha256(text).hexdigest()


def fold(segments: Sequence[TimelineSegment]) -> Entries:
    """The state after all segments (newest last): the latest row per path without the removed ones, sorted by
    path. One pass from the newest backwards: the work is the number of rows, not rows times segments."""
    decided: set[bytes] = set()
    kept: list[Entries] = []
    for segment in reversed(segments):
        rows = segment.puts
        if decided:
            paths = rows.path.tolist()
            fresh = np.fromiter((p not in decided for p in paths), np.bool_, len(paths))
            rows = rows if fresh.all() else rows.take(fresh)
        kept.append(rows)
        if len(kept) < len(segments):
            decided.update(segment.puts.path)
            decided.update(segment.tombstones)
    if not kept:
        return Entries.none()
    oldest = kept[-1]
    paths = oldest.path.tolist()
    if not all(a < b for a, b in itertools.pairwise(paths)):
        return Entries.concat(kept[::-1]).sorted()
    newer = Entries.concat(kept[-2::-1])
    if not len(newer):
        # The newer segments have no rows, but their names of users and groups still count.
        return Entries.concat([oldest, newer]) if len(kept) > 1 else oldest
    return _merged(oldest, paths, newer)


def _merged(state: Entries, paths: list[bytes], newer: Entries) -> Entries:
    """Both as one, sorted; they have no path in common. paths: of `state`, which is sorted. The large old
    state is moved as columns; only the new rows are handled one by one."""
    newer_paths = newer.path.tolist()
    order = sorted(range(len(newer_paths)), key=newer_paths.__getitem__)
    places = [bisect.bisect_left(paths, newer_paths[row]) for row in order]
    rows = np.insert(np.arange(len(paths)), places, len(paths) + np.array(order, np.int64))
    return Entries.concat([state, newer]).take(rows)
