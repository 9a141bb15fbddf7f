"""A prune, as a plan: which points expire, what is no longer needed, and what becomes of it.

    roots     points that are kept, newest states                     roots.py
      │ their timelines, with fewer steps                             compaction.py
    which parts of the packs these refer to                           reachability.py
      │ packs without needed frames are unused; sparse packs, and many small ones, are repacked
    orphans   objects to which nothing leads                          orphans.py

The plan is a value: it changes nothing, and `--dry-run` prints it. Carrying it out (execute.py) is one
commit. The plan may be old by then: newer entries are looked at before that commit.

Which points expire is decided elsewhere (policy); here they are ids.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...model.columns import Array
from ...model.errors import DamageError
from ..format import pack as packs
from ..format.log_entry import Head
from ..index.index import ChunkIndex
from ..index.load import IndexLinks, index_links, load_index
from ..log.errors import ConflictError
from ..log.heads import history_of, prune_entries
from ..log.log import Clock, Log
from ..log.session_registry import SessionRegistry
from ..read.histories import Histories
from ..stores.base import uncached
from .broken_timelines import cut_broken, refuse_broken
from .compaction import CompactionStep, changes_of, composed, segments_of, steps_of
from .orphans import Orphans, listed, sort_out
from .reachability import pack_usage
from .roots import Roots

if TYPE_CHECKING:
    from ..vault import Vault

DAY = 86400.0
BUDGET = 4 << 30
THRESHOLD = 0.5
SMALL = packs.CAPACITY // 4
"""A pack with fewer bytes is small: frequent points leave such packs behind."""
MANY = 64
"""Small packs are merged when there are this many: so no frame moves more than a few times in its life."""


@dataclass(frozen=True)
class PrunePlan:
    """What a prune would do, as of `head`.

    expired: ids of points; dropped: timelines without any point left; steps: each timeline's history as it is
    kept. unused: packs (hex → size) without anything needed; repacked: packs whose needed frames move (hex →
    bytes of those). orphans: all other objects that are deleted, now or later. freed: bytes that this prune
    marks for deletion, less those that move; deleted: bytes marked by earlier prunes that are deleted now.
    """

    head: Head
    now_ns: int
    grace_ns: int
    expired: tuple[str, ...]
    dropped: tuple[str, ...]
    steps: Mapping[str, Sequence[CompactionStep]] = field(repr=False)
    unused: Mapping[str, int] = field(repr=False)
    repacked: Mapping[str, int] = field(repr=False)
    orphans: Orphans = field(repr=False)
    freed: int
    deleted: int
    index: ChunkIndex = field(repr=False, compare=False)
    """From here on: what the execution needs."""
    links: IndexLinks = field(repr=False, compare=False)
    live: Array = field(repr=False, compare=False)
    roots: Roots = field(repr=False, compare=False)
    sessions: SessionRegistry = field(repr=False, compare=False)

    @property
    def compacted(self) -> int:
        return sum(len(step.changes) - 1 for steps in self.steps.values() for step in steps)

    @property
    def idle(self) -> bool:
        """Nothing to commit; there may be something to sweep."""
        pending_deletion = any(self.orphans.pending_deletion.values()) or self.unused or self.repacked
        return not (self.expired or self.compacted or self.orphans.fenced or pending_deletion)


def plan_prune(
    vault: Vault,
    forget: Collection[str] = (),
    *,
    now: Clock = time.time_ns,
    session_age: float = DAY,
    grace: float = DAY,
    budget: int = BUDGET,
    threshold: float = THRESHOLD,
    many: int = MANY,
) -> PrunePlan:
    """forget: ids of the points to expire; unknown ones and those expired before do no harm. session_age:
    seconds; a session that was silent for longer is taken for dead. grace: seconds that readers may continue
    to read objects that are pending deletion. Packs of which less than `threshold` is needed are repacked,
    and small ones if there are `many`; `budget` bytes at most.

    Raises DamageError when a listing lacks objects that the log commits to, or a history cannot be read:
    nothing must be deleted then. ConflictError; UsageError and WrongKeyError as for reading.
    """
    store = uncached(vault.store)
    log = Log(store, vault.keys, vault.head, now)
    now_ns, grace_ns = now(), int(grace * 1e9)
    pruned = next(prune_entries(log), None)
    roots, sessions = Roots(pruned), SessionRegistry(log, pruned)
    for entry in log.entries(pruned.number if pruned else 0):
        roots.learn(entry)
        sessions.learn(entry)
    before = dict(roots.points)
    roots.forget(forget)
    cut_broken(log, roots)

    head, links = log.head, index_links(log)
    objects = listed(store)
    index = load_index(store, vault.keys, log)
    if log.head != head:
        raise ConflictError("another prune was faster")
    histories = Histories(store, log, vault.contents())
    held = roots.held()
    steps: dict[str, Sequence[CompactionStep]] = {}
    for timeline in sorted(roots.heads):
        history = history_of(log, timeline, roots.heads[timeline].sequence)
        changes = changes_of((entry.number, own) for entry, own in history)
        steps[timeline] = steps_of(changes, held.get(timeline, set()))
    try:
        found = pack_usage(index, _references(histories, steps))
    except DamageError as error:
        raise refuse_broken(histories, steps, before, error) from error
    sizes = dict(zip(found.packs, found.size.tolist(), strict=True))
    _refuse_missing(
        {n: s for n, s in sizes.items() if n not in links.pending_deletion | links.damaged}, objects["packs"]
    )
    unused = {n: sizes[n] for n in found.unused() if n not in links.pending_deletion}
    live = dict(zip(found.packs, found.live.tolist(), strict=True))
    worth = found.worth_repacking(threshold, budget, SMALL, many)
    repacked = {n: live[n] for n in worth if n not in links.damaged}
    needed = {
        "packs": sizes.keys() - links.pending_deletion,
        "index": links.segments,
        "timeline": {s.changes[0].head.segment for own in steps.values() for s in own if not s.merges},
    }
    orphans = sort_out(
        store,
        log,
        sessions,
        objects,
        needed,
        roots.named,
        now_ns=now_ns,
        grace_ns=grace_ns,
        session_age_ns=int(session_age * 1e9),
    )
    pending_deletion = sum(size for own in orphans.pending_deletion.values() for size in own.values())
    saved = sum(sizes[name] - stays for name, stays in repacked.items())
    return PrunePlan(
        head=head,
        now_ns=now_ns,
        grace_ns=grace_ns,
        expired=roots.expired,
        dropped=roots.dropped,
        steps=steps,
        unused=unused,
        repacked=repacked,
        orphans=orphans,
        freed=pending_deletion + saved + sum(unused.values()),
        deleted=sum(size for own in orphans.sweep.values() for size in own.values()),
        index=index,
        links=links,
        live=found.frames,
        roots=roots,
        sessions=sessions,
    )


def _references(histories: Histories, steps: Mapping[str, Sequence[CompactionStep]]) -> Iterator[Array]:
    """The chunk ids of everything that is kept, one column at a time."""
    for timeline, own in steps.items():
        for _, segments in segments_of(histories, timeline, own):
            content = composed(segments).puts.content
            yield content.blob[: content.offsets[-1]]


def _refuse_missing(sizes: Mapping[str, int], present: Mapping[str, int]) -> None:
    """Raises DamageError when a pack of the index is missing or has another size."""
    missing = sorted(name for name, size in sizes.items() if present.get(name) != size)
    if missing:
        raise DamageError(
            f"{len(missing)} packs are missing from the store or have the wrong size, for example "
            f"{packs.name_of(missing[0])}",
            doing="prune",
            hint="Nothing was deleted. Run `undivided verify` to see what this affects.",
        )
