"""A prune, carried out: everything that the plan needs is stored first, then one log entry does it all.

    delete old pending deletions ▸ register ▸ move frames ▸ store steps ▸ prove them ▸ store the index
        ▸ one entry: expired points, steps, fenced sessions, pending deletions
            ▸ delete those too, if the grace period is zero

Killed before that entry, a prune has changed nothing, and its uploads are the orphans of its session. Killed
after it, the next prune deletes. Deleting twice does no harm.

Between the plan and the entry, other clients commit. This prune looks at each of their entries before it
commits its own: a pack to which a new entry refers is taken off the deletion list, and a session that turns
out to be alive is not fenced. If another prune came, this one stops.

On a full disk the vault's ballast makes room: for moving a little, or, where even that is too much, only for
the one entry that lists the pending deletions.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from ...host.crashpoints import crashpoint
from ...model.errors import DamageError
from ...model.log_kinds import LogKind
from .. import ballast
from ..ballast import release_ballast, restore_ballast
from ..format.index_segment import MOST_CHUNKS, StoredPack
from ..format.index_segment import segments_of as index_segments_of
from ..format.log_entry import LogEntry
from ..format.timeline_segment import TimelineSegment
from ..index.load import index_links, read_index_segments
from ..log.errors import ConflictError
from ..log.heads import TimelineHead, prune_entries
from ..log.log import Clock, Log
from ..log.session import WriteSession
from ..log.slot import CatchUp, SealedEntry, Slot
from ..read.histories import Histories
from ..stores.base import FullError, Store, uncached
from .compaction import CompactionStep, composed, prove, segments_of
from .orphans import NAMES, sweep
from .plan import PrunePlan
from .repack import Repacking

if TYPE_CHECKING:
    from ..vault import Vault


@dataclass(frozen=True)
class Pruned:
    """entry: the commit, None when there was nothing to commit. deleted: bytes deleted from the store;
    pending_deletion: bytes that are deleted after the grace period."""

    entry: LogEntry | None
    deleted: int
    pending_deletion: int


def execute(vault: Vault, plan: PrunePlan, *, now: Clock = time.time_ns) -> Pruned:
    """Carries a plan out. Raises ConflictError when another prune was faster, or a new commit needs an object
    that this prune would delete: then only old pending deletions were deleted, and a new plan is needed.
    StoreError, DamageError."""
    try:
        return _carried_out(vault, plan, now)
    finally:
        vault.refresh()


def _carried_out(vault: Vault, plan: PrunePlan, now: Clock) -> Pruned:
    store = uncached(vault.store)
    crashpoint("prune.begun")
    deleted = sweep(store, plan.orphans.sweep)
    crashpoint("prune.swept")
    entry = None
    if not plan.idle:
        try:
            entry = _committed(vault, store, plan, now)
        except DamageError as error:
            # A missing object may be missing because another prune removed it.
            refuse_second(Log(store, vault.keys, plan.head), plan, error)
            raise
    pending_deletion = plan.freed if entry else 0
    if entry and plan.grace_ns <= 0:
        sweep(store, {kind: dict.fromkeys(entry.body["pending_deletion"][kind], 0) for kind in NAMES})
        deleted, pending_deletion = deleted + pending_deletion, 0
    restore_ballast(store)
    crashpoint("prune.done")
    return Pruned(entry, deleted, pending_deletion)


def _committed(vault: Vault, store: Store, plan: PrunePlan, now: Clock) -> LogEntry:
    """Retries on a full disk, each time with less to write."""
    try:
        return Pruning(vault, store, plan, now, plan.repacked).run()
    except FullError:
        release_ballast(store)
    sums = zip(plan.repacked, accumulate(plan.repacked.values()), strict=True)
    few = [name for name, so_far in sums if so_far <= ballast.SIZE * 3 // 4]
    try:
        return Pruning(vault, store, plan, now, few).run()
    except FullError:
        return Pruning(vault, store, plan, now, [], lean=True).run()


def refuse_second(log: Log, plan: PrunePlan, error: DamageError | None = None) -> None:
    """Raises ConflictError when another prune came since the plan."""
    if next(prune_entries(log, plan.head.number), None):
        raise ConflictError("another prune was faster") from error


class Pruning:
    """One attempt at the commit. repacked: packs to empty. lean: the index is not rewritten."""

    def __init__(
        self,
        vault: Vault,
        store: Store,
        plan: PrunePlan,
        now: Clock,
        repacked: Collection[str],
        *,
        lean: bool = False,
    ) -> None:
        self._vault, self._store, self._plan, self._lean = vault, store, plan, lean
        self._repacked = repacked
        self._log = Log(store, vault.keys, plan.head, now)
        self._session = WriteSession(store, vault.keys, self._log)
        self._histories = Histories(store, self._log, vault.contents())
        self._roots, self._sessions = plan.roots.copy(), plan.sessions.copy()
        self._at = plan.head.number
        self._pending_deletion = {
            kind: set(objects) for kind, objects in plan.orphans.pending_deletion.items()
        }
        self._pending_deletion["packs"].update(plan.unused)
        self._fenced = set(plan.orphans.fenced)
        self._steps: dict[str, list[tuple[int, str]]] = {}
        self._index: list[str] = []

    def run(self) -> LogEntry:
        refuse_second(self._log, self._plan)
        try:
            stored = self._repack()
            crashpoint("prune.repacked")
            self._compact()
            if not self._lean:
                self._rewrite_index(stored)
            crashpoint("prune.indexed")
        except FullError:
            self._session.abandon()
            raise
        signing_key = self._vault.signing_key()

        def seal(slot: Slot) -> SealedEntry | CatchUp:
            if slot.number > self._at + 1:
                return CatchUp(self._catch_up)
            body, links = self._entry(slot)
            return slot.seal(LogKind.PRUNE, body, links, signing_key)

        entry = self._log.commit(seal, self._session.entries)
        crashpoint("prune.committed")
        return entry

    # ── before the commit ───────────────────────────────────────────────────────────────────────────────────

    def _repack(self) -> list[StoredPack]:
        if not self._repacked:
            return []
        repacking = Repacking(
            self._store, self._session.id, self._session.content.footers, self._session.create
        )
        stored = list(repacking.run(self._plan.index, self._repacked, self._plan.live))
        self._pending_deletion["packs"].update(repacking.repacked)
        return stored

    def _compact(self) -> None:
        """Stores and proves the steps that are not segments already."""
        for timeline, steps in self._plan.steps.items():
            names = {step.sequence: step.changes[0].head.segment for step in steps}
            merging = [step for step in steps if step.merges]
            for step, old in segments_of(self._histories, timeline, merging):
                names[step.sequence] = self._merged(timeline, step, old)
            self._steps[timeline] = list(names.items())
        crashpoint("prune.proved")

    def _merged(self, timeline: str, step: CompactionStep, old: Sequence[TimelineSegment]) -> str:
        """Stores one segment for several. Returns its name."""
        name = self._session.store_timeline(composed(old).encode(timeline))
        crashpoint("prune.compacted")
        as_readers_see_it = TimelineHead(step.sequence, segment=name, base=step.sequence + 1)
        prove(timeline, step.sequence, old, self._histories.segment(timeline, as_readers_see_it, ""))
        self._pending_deletion["timeline"].update(change.head.segment for change in step.changes)
        return name

    def _rewrite_index(self, stored: Sequence[StoredPack]) -> None:
        """Stores the whole index without the packs that are pending deletion. Segments without such packs
        stay the same objects."""
        gone = self._pending_deletion["packs"] | self._plan.links.pending_deletion
        small = list(stored)
        large: list[str] = []
        for name, segment in zip(self._plan.links.segments, self._plan.index.segments, strict=True):
            stays = np.array([pack not in gone for pack in segment.names()], np.bool_)
            left = segment.only(stays)
            if len(left) <= MOST_CHUNKS // 2:
                small += left.packs()
            else:
                large.append(name if stays.all() else self._session.store_index(left))
        unique = {pack.name: pack for pack in reversed(small)}  # the newest of equals
        merged = index_segments_of(reversed(unique.values()))
        self._index = [*(self._session.store_index(segment) for segment in merged), *large]
        self._pending_deletion["index"].update(set(self._plan.links.segments).difference(self._index))

    # ── entries that came meanwhile ─────────────────────────────────────────────────────────────────────────

    def _catch_up(self) -> None:
        """Looks at the entries since the plan that this prune has not looked at yet."""
        for entry in self._log.entries(self._at, refresh=False):
            before = {t: head.digest for t, head in self._roots.heads.items()}
            self._roots.learn(entry)
            self._sessions.learn(entry)
            self._at = entry.number
            if entry.session == self._session.name:
                continue
            if entry.session in self._fenced:
                self._fenced.remove(entry.session)
                for kind, digest in self._plan.orphans.by_session.get(entry.session, ()):
                    self._pending_deletion[kind].discard(digest)
            if entry.links.get("damaged"):
                raise ConflictError("a verification found damage meanwhile")
            names = list(entry.links.get("index", ()))
            self._pending_deletion["index"].difference_update(names)
            for segment in read_index_segments(self._store, self._vault.keys, names):
                named = self._plan.orphans.pending_deletion["packs"].keys() & set(segment.names())
                self._pending_deletion["packs"].difference_update(named)
            for timeline, record in entry.links.get("heads", {}).items():
                head = TimelineHead(**record)
                if head.sequence == entry.number:
                    self._pending_deletion["timeline"].discard(head.segment)
                    self._steps.setdefault(timeline, []).append((entry.number, head.segment))
                    self._rescue(self._histories.segment(timeline, head, before.get(timeline, "")))

    def _rescue(self, segment: TimelineSegment) -> None:
        """Keeps packs to which a new commit refers, though nothing did when the plan was made."""
        plan, content = self._plan, segment.puts.content
        rows = plan.index.find(content.blob[: content.offsets[-1]])
        frames = plan.index.frame[rows[rows >= 0]] if (rows >= 0).any() else np.zeros(0, np.int64)
        numbers = np.unique(plan.index.pack_of(frames[~plan.live[frames]]))
        rescued = {plan.index.packs[number] for number in numbers.tolist()} & self._pending_deletion["packs"]
        self._pending_deletion["packs"] -= rescued
        for known in plan.index.segments if rescued and not self._lean else ():
            chosen = np.array([name in rescued for name in known.names()], np.bool_)
            if chosen.any():
                self._index.append(self._session.store_index(known.only(chosen)))

    # ── the one entry ───────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, slot: Slot) -> tuple[dict[str, Any], dict[str, Any]]:
        """Body and links of the prune's entry."""
        number, roots = slot.number, self._roots
        steps = {timeline: self._steps.get(timeline, []) for timeline in roots.heads}
        heads = {
            timeline: replace(head, base=number, segment=steps[timeline][-1][1] if steps[timeline] else "")
            for timeline, head in roots.heads.items()
        }
        gone = {*self._fenced, self._session.name}
        body = {
            "previous_prune": slot.newest("pruned"),
            "expired_points": roots.expired,
            "points": roots.points,
            "timelines": steps,
            "dropped_timelines": roots.dropped,
            "fenced_sessions": sorted(self._fenced),
            "active_sessions": {name: at for name, at in self._sessions.record().items() if name not in gone},
            "pending_deletion": {kind: sorted(names) for kind, names in self._pending_deletion.items()},
            "freed_bytes": self._plan.freed,
        }
        links: dict[str, Any] = {
            "heads": {timeline: head.record() for timeline, head in heads.items()},
            "pending_deletion": sorted(self._pending_deletion["packs"]),
        }
        if not self._lean:
            since, newest = self._plan.head.number, slot.newest("data")
            links["index"] = self._index
            links["covers"] = since
            links["previous_data"] = newest if newest > since else 0
            links["damaged"] = sorted(index_links(self._log).damaged - self._pending_deletion["packs"])
        return body, links
