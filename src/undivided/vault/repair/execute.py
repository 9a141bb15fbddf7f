"""A repair carried out: step by step, each of them good by itself, so that a killed one is simply run again.

    log          entries come back or junk goes: from here on things can be recorded again; before it, what
                 opens the vault
    index        segments come back or are made anew: from here on everybody can work
    packs        whole ones come from the other vault
    condemn      what did not: its chunks no longer count as stored
    salvage      what can still be read of a damaged pack is stored anew
    set aside    then the damaged pack goes into quarantine
    timelines    likewise, without salvage: a segment is whole or nothing
    record       one signed entry says what was healed and what was set aside

No object is overwritten: ours goes into quarantine before theirs takes its place. What dies in between leaves
an object missing, which the next run finds, with the copy still where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...host.crashpoints import crashpoint
from ...model.entries import Layout
from ...model.errors import DamageError
from ..crypto.keys import WriterKeys
from ..crypto.signing import SigningKey
from ..format import pack as packs
from ..format.vault_json import CONFIG
from ..index.damage_marks import REPAIR, mark_damaged
from ..index.index import ChunkIndex
from ..index.load import load_index
from ..log.log import Log
from ..read.histories import ContentKeys
from ..stores.base import Store, StoreError
from ..verify.pack_check import opened_chunks, stored_pack
from ..write.writer import Writer
from .plan import Planner, Remedy, RepairAction, RepairPlan, digest_in
from .quarantine import set_aside
from .rebuild_index import rebuild_index


@dataclass
class Repaired:
    """Names of objects. healed: whole again; quarantined: where each lies now; salvaged: chunks stored anew
    from damaged packs."""

    healed: list[str] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)
    salvaged: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, more: Repaired) -> None:
        self.healed += more.healed
        self.quarantined |= more.quarantined
        self.salvaged += more.salvaged
        self.notes += more.notes


class Mending:
    """One round of a repair. store: as it is. planner: who made the plan; done: gets what is done."""

    def __init__(
        self,
        store: Store,
        keys: WriterKeys,
        contents: ContentKeys,
        signing_key: SigningKey,
        planner: Planner,
        done: Repaired,
    ) -> None:
        self._store, self._keys, self._contents = store, keys, contents
        self._signing_key, self._planner = signing_key, planner
        self._all, self._done = done, Repaired()

    def run(self, plan: RepairPlan) -> None:
        """Raises StoreError, DamageError when the log cannot be mended. What was done by then is done."""
        for remedy in plan.of(CONFIG, "keys/", "epochs/", "log/"):
            self._replace(remedy)
        crashpoint("repair.log-mended")
        log = Log(self._store, self._keys, self._planner.survey.head)
        self._index(plan, log)
        crashpoint("repair.index-mended")
        for remedy in plan.of("packs/", "timeline/"):
            if remedy.action is RepairAction.COPY:
                self._replace(remedy)
        lost = [r for r in plan.of("packs/", "timeline/") if r.object not in self._done.healed]
        self._mark_damaged(plan, log, lost)
        crashpoint("repair.condemned")
        self._salvage(log, [r for r in lost if r.there and r.object.startswith("packs/")])
        crashpoint("repair.salvaged")
        for remedy in lost:
            self._set_aside(remedy)
        self._record(plan, log)
        crashpoint("repair.recorded")
        self._all.add(self._done)

    def _replace(self, remedy: Remedy) -> None:
        """Ours away; theirs in its place, where that is the remedy."""
        data = self._planner.elsewhere(remedy.object) if remedy.action is RepairAction.COPY else None
        if data is None and remedy.action is not RepairAction.SET_ASIDE:
            return
        self._set_aside(remedy)
        if data is not None:
            self._store.create(remedy.object, [data])
            crashpoint("repair.healed")
            self._done.healed.append(remedy.object)

    def _set_aside(self, remedy: Remedy) -> None:
        place = set_aside(self._store, remedy.object)
        if place:
            self._done.quarantined[remedy.object] = place

    def _index(self, plan: RepairPlan, log: Log) -> None:
        remedies = plan.of("index/")
        for remedy in remedies:
            self._replace(remedy)
        broken = [r for r in remedies if r.object not in self._done.healed]
        if broken:
            self._done.notes += rebuild_index(self._store, self._keys, log, self._signing_key)
            for remedy in broken:
                if remedy.there:
                    self._set_aside(remedy)
            self._done.healed += [r.object for r in broken]

    def _mark_damaged(self, plan: RepairPlan, log: Log, lost: list[Remedy]) -> None:
        """Says so of what was not said yet, before anything of it goes."""
        packs = [digest_in(r.object) for r in lost if r.object.startswith("packs/")]
        timelines = plan.timelines if any(r.object.startswith("timeline/") for r in lost) else ()
        mark_damaged(log, packs, timelines)

    def _salvage(self, log: Log, remedies: list[Remedy]) -> None:
        """Chunks that can still be read, stored anew under the ids that they have."""
        if not remedies:
            return
        index = load_index(self._store, self._keys, log)
        with Writer(self._store, self._keys, log) as writer:
            for remedy in remedies:
                self._done.salvaged += self._salvage_from(remedy.object, index, writer)
            writer.commit("salvage", {}, {"packs": [digest_in(r.object) for r in remedies]})

    def _salvage_from(self, name: str, index: ChunkIndex, writer: Writer) -> int:
        """How many chunks of a pack were read and stored, or were there already."""
        try:
            known = stored_pack(index, digest_in(name))
            data = memoryview(self._store.read(name))
        except (DamageError, StoreError) as error:
            self._done.notes.append(f"Nothing of {name} could be read: {error.cause}.")
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

    def _record(self, plan: RepairPlan, log: Log) -> None:
        """What was done, and what is whole again whoever did it."""
        done = set(self._done.healed)
        cured = all(r.object in done for r in plan.of("timeline/"))
        timelines = [*(plan.timelines if cured else ()), *plan.cleared_timelines]
        healed = [*(digest_in(name) for name in done if name.startswith("packs/")), *plan.cleared]
        if not (done or self._done.quarantined or healed or timelines):
            return
        body = {
            "repaired": sorted({*done, *map(packs.name_of, healed)}),
            "quarantined": sorted(self._done.quarantined),
            "timelines": sorted(timelines),
        }
        links = {"repaired": sorted(healed)} if healed else {}
        log.append(REPAIR, body, links, self._signing_key)
