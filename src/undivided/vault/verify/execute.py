"""Verification, carried out: packs are read, points decoded, and damage is traced to points and files.

    structure   the chain of the log, every index segment, every pack present with its size: see plan.py. Here
                also every timeline segment, and that every chunk which a timeline names is in the index
    data        every stored byte: each pack's SHA-256, its footer, each frame opened, each chunk's id
    points      whole points decoded as a recovery would (restore_test.py)

Reading stops when the time is up, and the next verification continues there (scrub.py). Each damage names
what it means (impact.py). Names are content: without the passphrase the report lists damaged objects only,
and states that. Memory is columns: what the index takes, and Python objects only for damaged parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ...host.parallel import THREADS
from ...model.columns import Array
from ...model.errors import DamageError
from ..format import pack as packs
from ..index.damage_marks import broken_timelines
from ..index.index import ChunkIndex
from ..index.pack_list import among, ids_in, numbers_of, pack_names
from ..log.log import Clock
from ..read.reader import Reader
from ..stores.base import StoreError, parallel, uncached
from .impact import Impact
from .missing_chunks import MissingChunks
from .pack_check import PackCheck, PackChecker
from .plan import VerifyPlan
from .report import Damage, Report
from .restore_test import RestoreTest
from .scrub import Scrub

if TYPE_CHECKING:
    from ..vault import Vault

Progress = Callable[[int, int], None]
"""(done, total) in stored bytes."""


def execute(
    vault: Vault, plan: VerifyPlan, *, progress: Progress | None = None, now: Clock = time.time_ns
) -> Report:
    """vault: for which the plan was made. What was read is recorded in the log, unless the scope
    forbids it. Raises StoreError."""
    return _Execution(vault, plan, progress, now).run()


class _Execution:
    """damaged: damages by the number of a pack of which nothing can be read; missing: chunks of others."""

    def __init__(self, vault: Vault, plan: VerifyPlan, progress: Progress | None, now: Clock) -> None:
        self._plan, self._progress, self._now = plan, progress, now
        self._store, self._keys, self._log = uncached(vault.store), vault.keys, vault.commits
        self._contents = vault.contents()
        self._report = plan.structure.copy()
        self._index = self._index_with(plan.links.damaged)
        reader = Reader(self._store, self._keys, self._log, vault.private_keys)
        self._restore_test = RestoreTest(reader, self._index, self._report)
        self._damaged: dict[int, Damage] = {}
        self._missing = MissingChunks()
        self._done, self._total = 0, plan.bytes

    def run(self) -> Report:
        report, plan = self._report, self._plan
        self._read_packs()
        if report.packs:
            self._index = self._index_with(plan.links.damaged | frozenset(report.packs))
        impact = Impact(self._store, self._contents, report, self._index, self._damaged, self._missing)
        impact.run(plan.scan)
        self._drop_resolved()
        report.cleared_timelines = sorted(self._broken_timelines() - set(report.timelines))
        failed = self._restore_test.failed
        for point in failed.keys() - set(report.points_affected):
            report.add(f"point {point}", failed[point]).points.append(point)
        return report

    def _index_with(self, damaged: frozenset[str]) -> ChunkIndex:
        """The index with these packs as the last choice."""
        plan = self._plan
        return ChunkIndex(plan.segments, unusable=plan.links.pending_deletion, damaged=damaged)

    def _broken_timelines(self) -> frozenset[str]:
        """The timelines that the log marks as broken; none where the log cannot be read."""
        try:
            return broken_timelines(self._log)
        except (DamageError, StoreError):
            return frozenset()

    # ── packs ───────────────────────────────────────────────────────────────────────────────────────────────

    def _read_packs(self) -> None:
        """The points first: a point that does not decode makes its packs suspect."""
        plan, scope, names = self._plan, self._plan.scope, self._plan.names
        for number in np.flatnonzero(plan.missing).tolist():
            self._note_damage(PackCheck(names[number].tobytes().hex(), "it is missing"))
        reads = scope.read_data or bool(scope.points or scope.sample)
        scrub = Scrub(
            self._log,
            names,
            plan.ages,
            self._report,
            at_once=max(THREADS, parallel(self._store)),
            recorded=scope.recorded and reads and not plan.scan.junk,
            now=self._now,
        )
        contents = self._contents if self._report.unlocked else None
        check = PackChecker(self._store, self._keys, contents, self._index).check
        suspect = plan.suspect
        try:
            self._restore_test.run(plan.points, plan.scan, scrub, self._time_is_up)
            suspect |= among(names, self._restore_test.suspects) & ~plan.missing
            chosen = np.flatnonzero(suspect)
            self._note(scrub.run(chosen, check, lambda: False))
            self._report.cleared = sorted(
                plan.links.damaged & _digests(names[chosen]) - set(self._report.packs)
            )
            self._note(scrub.run(plan.due[~suspect[plan.due]], check, self._time_is_up))
        finally:
            scrub.record()
        self._report.verification_age = scrub.verification_age()

    def _note(self, checked: Iterator[PackCheck]) -> None:
        for found in checked:
            if found.cause:
                self._note_damage(found)
            self._done += found.bytes
            if self._progress:
                self._progress(self._done, max(self._done, self._total))

    def _note_damage(self, found: PackCheck) -> None:
        self._report.packs.append(found.name)
        damage = self._report.add(packs.name_of(found.name), found.cause)
        if found.lost is None:
            numbers = numbers_of(self._index, found.name).tolist()
            self._damaged.update((number, damage) for number in numbers)
        else:
            self._missing.add(damage, found.lost)

    def _time_is_up(self) -> bool:
        limit = self._plan.scope.seconds
        return limit is not None and time.monotonic() > self._plan.begun + limit

    # ── damage that no longer matters ───────────────────────────────────────────────────────────────────────

    def _drop_resolved(self) -> None:
        """A pack that was marked damaged, and of which nothing is needed any more, becomes a note."""
        known = {packs.name_of(name) for name in self._plan.links.damaged}
        for damage in [d for d in self._report.damaged if d.object in known]:
            lost = [self._missing.taken_by(damage)]
            for number in (number for number, own in self._damaged.items() if own is damage):
                lost.append(ids_in(self._index, number))
            rows = self._index.find(np.concatenate(lost))
            owners = self._index.pack_of(self._index.frame[rows[rows >= 0]])
            if (rows >= 0).all() and not among(pack_names(self._index)[owners], self._report.packs).any():
                reason = "all of its content was stored again since"
            elif self._report.unlocked and not damage.points:
                reason = "no point needs the lost content"
            else:
                continue
            self._report.damaged.remove(damage)
            self._report.unneeded.append(damage.object)
            self._report.notes.append(f"{damage.object} is damaged, but {reason}.")


def _digests(names: Array) -> frozenset[str]:
    return frozenset(name.tobytes().hex() for name in names)
