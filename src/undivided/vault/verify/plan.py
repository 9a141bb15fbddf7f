"""Verification, as a plan: the structure of a vault, and which packs and points are to be read.

A vault that may be damaged can only be planned for by looking at it. So making the plan checks the structure
that leads to the data: the log, the objects that open the vault, the index segments, and which packs the
store lists. What that finds is part of the plan. The plan changes nothing, and execute.py carries it out: it
reads packs, decodes points, and works out what the damage means.

The packs whose verification is oldest come first, and so do the points. Packs that were found damaged before
are always read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...model.columns import Array
from ...model.errors import DamageError, UsageError
from ..crypto.keys import WriterKeys
from ..format import index_segment as indexes
from ..format.index_segment import IndexSegment
from ..format.log_entry import Head
from ..index.index import ChunkIndex
from ..index.load import IndexLinks, index_links, read_index_segment
from ..index.pack_list import among, needed_packs, stored_sizes
from ..log import key_check
from ..log.log import Clock, Log
from ..stores.base import Store, StoreError, uncached
from .log_scan import LogScan, scan_log
from .record import NEVER, Ages, ages
from .report import Report, Scope

if TYPE_CHECKING:
    from ..vault import Vault

_NONE: Array = np.zeros(0, np.int64)


@dataclass(frozen=True)
class VerifyPlan:
    """What a verification reads, as of `head`.

    scope: as requested. points: ids of the points to decode, in order. bytes: stored bytes to read, without
    those of the points. structure: what the structure checks found; its damages have no points and files yet.
    begun: monotonic seconds; the time limit counts from here.
    """

    head: Head
    scope: Scope
    begun: float
    points: tuple[str, ...]
    bytes: int
    structure: Report = field(repr=False)
    scan: LogScan = field(repr=False, compare=False)
    """From here on: what the execution needs."""
    links: IndexLinks = field(repr=False, compare=False)
    segments: Sequence[IndexSegment] = field(repr=False, compare=False)
    names: Array = field(repr=False, compare=False)
    """u1[p,32], sorted: the packs that there must be."""
    sizes: Array = field(repr=False, compare=False)
    """i8[p], as the index has them."""
    stored: Array = field(repr=False, compare=False)
    """i8[p], as the store lists them; -1 for a missing pack."""
    due: Array = field(repr=False, compare=False)
    """Numbers of the packs to read besides the suspect ones, those with the oldest verification first."""
    ages: Ages = field(repr=False, compare=False)

    @property
    def missing(self) -> Array:
        """bool[p]"""
        return self.stored < 0

    @property
    def suspect(self) -> Array:
        """bool[p]: packs that were found damaged before, or have another size. They are read in any case."""
        marked = among(self.names, self.links.damaged)
        suspect: Array = (marked | (self.stored != self.sizes)) & ~self.missing
        return suspect


def plan_verify(vault: Vault, scope: Scope | None = None, *, now: Clock = time.time_ns) -> VerifyPlan:
    """Checks the structure and changes nothing. Without a passphrase, names and data stay sealed, and the
    report states that. Raises WrongKeyError, StoreError."""
    scope, begun = scope or Scope(), time.monotonic()
    store, keys, log = uncached(vault.store), vault.keys, vault.commits
    found = Report()
    _check_recipients(store, keys, log, found)
    _unlock(vault, found)
    scan = scan_log(store, keys)
    found.objects += scan.objects
    for name, cause in (*scan.unreadable, *scan.junk):
        found.add(name, cause)
    log.refresh()
    links = _links(log, scan)
    segments = list(_segments(store, keys, links.segments, found))
    if scope.read_data:
        _check_superseded(store, keys, scan, links, found)
    index = ChunkIndex(segments, unusable=links.pending_deletion, damaged=links.damaged)
    names, sizes = needed_packs(index, links.pending_deletion)
    found.objects += len(names)
    stored = stored_sizes(store, names)
    known = ages(log, names, now())
    suspect = among(names, links.damaged) | (stored != sizes)
    due = _due(known, scope.within, (stored >= 0) & ~suspect, now()) if scope.read_data else _NONE
    others = [point for point in scan.points if point not in scope.points]
    points = (*scope.points, *_longest_ago(known, others, scope.sample)) if found.unlocked else ()
    return VerifyPlan(
        head=log.head,
        scope=scope,
        begun=begun,
        points=points,
        bytes=int(sizes[suspect & (stored >= 0)].sum() + sizes[due].sum()),
        structure=found,
        scan=scan,
        links=links,
        segments=segments,
        names=names,
        sizes=sizes,
        stored=stored,
        due=due,
        ages=known,
    )


def _check_recipients(store: Store, keys: WriterKeys, log: Log, found: Report) -> None:
    for name, cause in key_check.look(store, keys, log):
        found.objects += 1
        if cause:
            found.add(name, cause)


def _unlock(vault: Vault, found: Report) -> None:
    try:
        vault.unlock()
    except UsageError:
        found.unlocked = False
        found.notes.append("Without the passphrase, names and data were not opened: only their hashes.")
    except DamageError as error:
        found.unlocked = False
        if not found.damaged:
            found.add("keys/", error.cause)


def _links(log: Log, scan: LogScan) -> IndexLinks:
    """The parts of the index. Where links are broken: every segment that any readable entry added."""
    try:
        return index_links(log)
    except (DamageError, StoreError):
        everything = [name for number in sorted(scan.indexed)[::-1] for name in scan.indexed[number]]
        return IndexLinks(everything, frozenset(), frozenset())


def _segments(store: Store, keys: WriterKeys, names: Sequence[str], found: Report) -> Iterator[IndexSegment]:
    for name in names:
        found.objects += 1
        try:
            yield read_index_segment(store, keys, name)
        except (DamageError, StoreError) as error:
            found.add(indexes.name_of(name), error.cause)


def _check_superseded(
    store: Store, keys: WriterKeys, scan: LogScan, links: IndexLinks, found: Report
) -> None:
    """Segments that later ones have merged: no client reads them, so damage in them is only a note."""
    needed = set(links.segments)
    for name in (name for names in scan.indexed.values() for name in names):
        if name in needed or indexes.name_of(name) in scan.pending_deletion:
            continue
        found.objects += 1
        try:
            read_index_segment(store, keys, name)
        except (DamageError, StoreError) as error:
            found.notes.append(f"{error.cause}; later segments hold its content.")


def _due(known: Ages, within: float, chosen: Array, now_ns: int) -> Array:
    """The numbers of the chosen packs (bool[p]) that were not verified within so many seconds, the oldest
    verification first."""
    open_ = np.flatnonzero(chosen & ((known.packs < now_ns - int(within * 1e9)) | (within == 0)))
    ordered: Array = open_[np.argsort(known.packs[open_], kind="stable")]
    return ordered


def _longest_ago(known: Ages, points: Sequence[str], count: int) -> list[str]:
    """Of the points, oldest first, the `count` that were decoded longest ago; of equals the newest."""
    newest_first = list(points)[::-1]
    return sorted(newest_first, key=lambda point: known.points.get(point, NEVER))[:count]
