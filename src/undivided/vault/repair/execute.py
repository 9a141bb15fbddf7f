"""A repair, carried out: step by step. Each step is complete in itself, so a killed repair is simply run
again.

    log          vault.json, keys and entries are restored, or junk is set aside: from here on the log can be
                 appended to
    index        segments are restored or built again: from here on every client can work
    packs        whole ones are restored from the copy
    mark         the others are marked damaged: their chunks no longer count as stored
    salvage      the readable chunks of a damaged pack are stored again
    set aside    then the damaged pack goes into quarantine
    timelines    the same without salvage: a segment is whole or lost
    record       one signed entry lists the repaired and quarantined objects

No object is overwritten: ours goes into quarantine before the copy's takes its place. A repair that dies in
between leaves an object missing. The next run finds that, and the copy still has it.

A damaged log or index may hide more damage. So when one was repaired, the vault is verified again, and the
new damage is repaired too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...host.crashpoints import crashpoint
from ...model.entries import Layout
from ...model.errors import DamageError
from ...model.log_kinds import LogKind
from ..format import pack as packs
from ..format.vault_json import CONFIG
from ..index.damage_marks import mark_damaged
from ..index.index import ChunkIndex
from ..index.load import load_index
from ..log.log import Log
from ..stores.base import StoreError, uncached
from ..vault import Vault
from ..verify.pack_check import opened_chunks, stored_pack
from ..write.writer import Writer
from .open_damaged import rescanned
from .plan import Remedy, RepairAction, RepairPlan, plan_repair
from .quarantine import set_aside
from .rebuild_index import rebuild_index

_ROUNDS = 3


@dataclass
class Repaired:
    """Names of objects. repaired: whole again; quarantined: object → its place in quarantine. salvaged: how
    many chunks of damaged packs were stored again. last: the last plan made."""

    last: RepairPlan
    repaired: list[str] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)
    salvaged: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[Remedy]:
        """Those of the last plan that leave a point without something that it needs, also because the copy no
        longer had the object."""
        done = set(self.repaired)
        left = (r for r in self.last.remedies if not (r.repairs and r.object in done))
        return [r for r in left if r.points or r.action is RepairAction.NONE]


def execute(vault: Vault, plan: RepairPlan) -> Repaired:
    """vault: for which the plan was made. Raises StoreError, and DamageError when the log cannot be repaired.
    The steps that were completed by then stay done."""
    done = Repaired(plan)
    for _ in range(_ROUNDS):
        _Round(vault, plan, done).run()
        if not plan.hides:
            break
        vault = rescanned(vault)
        plan = plan_repair(vault, plan.other, seen=plan.seen, read_data=plan.read_data)
        done.last = plan
        if plan.empty:
            break
    return done


class _Round:
    """One plan carried out. all_done: of all rounds."""

    def __init__(self, vault: Vault, plan: RepairPlan, all_done: Repaired) -> None:
        self._store, self._keys, self._contents = uncached(vault.store), vault.keys, vault.contents()
        self._signing_key = vault.signing_key()
        self._plan, self._all_done = plan, all_done
        self._repaired: list[str] = []
        self._quarantined: dict[str, str] = {}

    def run(self) -> None:
        plan = self._plan
        for remedy in plan.of(CONFIG, "keys/", "epochs/", "log/"):
            self._replace(remedy)
        crashpoint("repair.log-repaired")
        log = Log(self._store, self._keys, plan.head)
        self._index(log)
        crashpoint("repair.index-repaired")
        for remedy in plan.of("packs/", "timeline/"):
            if remedy.action is RepairAction.COPY:
                self._replace(remedy)
        lost = [r for r in plan.of("packs/", "timeline/") if r.object not in self._repaired]
        self._mark_damaged(log, lost)
        crashpoint("repair.marked-damaged")
        self._salvage(log, [r for r in lost if r.exists and r.object.startswith("packs/")])
        crashpoint("repair.salvaged")
        for remedy in lost:
            self._set_aside(remedy)
        self._record(log)
        crashpoint("repair.recorded")
        self._all_done.repaired += self._repaired
        self._all_done.quarantined |= self._quarantined

    def _replace(self, remedy: Remedy) -> None:
        """Sets ours aside, and stores the copy's in its place where that is the remedy."""
        copy = self._plan.copy
        data = copy.read(remedy.object) if copy and remedy.action is RepairAction.COPY else None
        if data is None and remedy.action is RepairAction.COPY:
            self._all_done.notes.append(f"The copy no longer has {remedy.object}, or could not be read.")
        if data is None and remedy.action is not RepairAction.SET_ASIDE:
            return
        self._set_aside(remedy)
        if data is not None:
            self._store.create(remedy.object, [data])
            crashpoint("repair.replaced")
            self._repaired.append(remedy.object)

    def _set_aside(self, remedy: Remedy) -> None:
        place = set_aside(self._store, remedy.object)
        if place:
            self._quarantined[remedy.object] = place

    def _index(self, log: Log) -> None:
        remedies = self._plan.of("index/")
        for remedy in remedies:
            self._replace(remedy)
        broken = [r for r in remedies if r.object not in self._repaired]
        if broken:
            self._all_done.notes += rebuild_index(self._store, self._keys, log, self._signing_key)
            for remedy in broken:
                if remedy.exists:
                    self._set_aside(remedy)
            self._repaired += [r.object for r in broken]

    def _mark_damaged(self, log: Log, lost: list[Remedy]) -> None:
        """Marks the lost objects before any of them is set aside."""
        packs = [digest_in(r.object) for r in lost if r.object.startswith("packs/")]
        timelines = self._plan.timelines if any(r.object.startswith("timeline/") for r in lost) else ()
        mark_damaged(log, packs, timelines)

    def _salvage(self, log: Log, remedies: list[Remedy]) -> None:
        """Stores the readable chunks again, under the same ids."""
        if not remedies:
            return
        index = load_index(self._store, self._keys, log)
        with Writer(self._store, self._keys, log) as writer:
            for remedy in remedies:
                self._all_done.salvaged += self._salvage_from(remedy.object, index, writer)
            writer.commit(LogKind.SALVAGE, {}, {"packs": [digest_in(r.object) for r in remedies]})

    def _salvage_from(self, name: str, index: ChunkIndex, writer: Writer) -> int:
        """How many chunks of a pack were read and stored, or had been stored already."""
        try:
            known = stored_pack(index, digest_in(name))
            data = memoryview(self._store.read(name))
        except (DamageError, StoreError) as error:
            self._all_done.notes.append(f"Nothing of {name} could be read: {error.cause}.")
            return 0
        opened = opened_chunks(self._keys.id, self._contents, known.header, known.sessions, data, name)
        ids: list[bytes] = []

        def pieces() -> Iterator[tuple[int, memoryview, bool]]:
            for id, chunk in opened:
                if chunk is not None:
                    ids.append(id)
                    yield len(ids) - 1, chunk, True

        stored = writer.store(pieces(), len(known.header.length), Layout.CONTENT)
        return sum(one == other for one, other in zip(ids, stored, strict=False))

    def _record(self, log: Log) -> None:
        """Lists what was done, and objects that are whole again for another reason."""
        plan = self._plan
        done = set(self._repaired)
        cured = all(r.object in done for r in plan.of("timeline/"))
        timelines = [*(plan.timelines if cured else ()), *plan.cleared_timelines]
        packs_now_whole = [*(digest_in(name) for name in done if name.startswith("packs/")), *plan.cleared]
        if not (done or self._quarantined or packs_now_whole or timelines):
            return
        body = {
            "repaired": sorted({*done, *map(packs.name_of, packs_now_whole)}),
            "quarantined": sorted(self._quarantined),
            "timelines": sorted(timelines),
        }
        links = {"repaired": sorted(packs_now_whole)} if packs_now_whole else {}
        log.append(LogKind.REPAIR, body, links, self._signing_key)


def digest_in(name: str) -> str:
    """The hex digest of a pack, from the name of its object."""
    digest = name.rpartition("/")[2]
    assert packs.name_of(digest) == name
    return digest
