"""Repair, as a plan: what is damaged, what would heal it, what would be set aside, what stays lost.

    copy        another vault has the very object: its name is the hash of its bytes, or the log's chain
                proves it; ours is set aside and theirs stored in its place
    rebuild     an index segment is made anew from the footers of the packs
    set aside   nobody has it whole: it goes into quarantine, what of it can still be read is stored anew,
                and the next protection stores what the source still has
    none        nothing can be done, and nothing is

Making a plan looks at everything and changes nothing; execute.py carries it out. Whatever a repair takes away
lies in quarantine (quarantine.py).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ...model.errors import DamageError, UndividedError
from ..crypto.envelope import digest_of
from ..crypto.keys import WriterKeys
from ..format import pack as packs
from ..format.log_entry import LogEntry, decode_entry, name_of
from ..format.vault_json import CONFIG, read_config
from ..log import key_check
from ..stores.base import MissingError, Store, StoreError
from ..stores.memory import MemoryStore
from ..verify.log_scan import LogScan
from ..verify.report import Damage, Report


class RepairAction(enum.StrEnum):
    COPY = "copy"
    REBUILD = "rebuild"
    SET_ASIDE = "set aside"
    NONE = "none"


@dataclass(frozen=True)
class Remedy:
    """What is done about one damaged object. there: whether something lies under its name. points, files:
    what it touches; they stay lost where the action is not COPY or REBUILD, and the source has them no
    more."""

    object: str
    cause: str
    action: RepairAction
    there: bool
    points: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def heals(self) -> bool:
        return self.action in (RepairAction.COPY, RepairAction.REBUILD)


@dataclass(frozen=True)
class RepairPlan:
    """source: the other vault, "" for none. remedies: in the order in which they are done. cleared packs
    (hex digests) and timelines were condemned and are whole."""

    source: str
    remedies: tuple[Remedy, ...]
    cleared: tuple[str, ...] = ()
    cleared_timelines: tuple[str, ...] = ()
    timelines: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def empty(self) -> bool:
        return not (self.remedies or self.cleared or self.cleared_timelines)

    @property
    def hides(self) -> bool:
        """Whether there may be damage that nobody can see before this is mended."""
        return any(r.heals or r.action is RepairAction.SET_ASIDE for r in self.of("index/", "log/"))

    @property
    def lost(self) -> list[Remedy]:
        """Those after which something that a point needs is still missing."""
        return [r for r in self.remedies if not r.heals and (r.points or r.action is RepairAction.NONE)]

    def of(self, *prefixes: str) -> list[Remedy]:
        return [r for r in self.remedies if r.object.startswith(prefixes)]


class Planner:
    """store: ours, as it is; other: the other vault's, None for none."""

    def __init__(self, store: Store, keys: WriterKeys, survey: LogScan, other: Store | None) -> None:
        self._store, self._keys, self._other = store, keys, other
        self.survey = survey

    def plan(self, report: Report) -> RepairPlan:
        """Reads what the other vault has of the damaged objects: a plan promises nothing it has not seen."""
        damages = [*report.damaged, *(Damage(name, "nothing needs it any more") for name in report.spent)]
        return RepairPlan(
            source=self._other.url if self._other else "",
            remedies=tuple(sorted(map(self._remedy, damages), key=_order)),
            cleared=tuple(report.whole),
            cleared_timelines=tuple(report.whole_timelines),
            timelines=tuple(report.timelines),
            notes=tuple(report.notes),
        )

    def _remedy(self, damage: Damage) -> Remedy:
        name = damage.object
        there = self._there(name)
        if self.elsewhere(name) is not None:
            action = RepairAction.COPY
        elif name.startswith("index/"):
            action = RepairAction.REBUILD
        elif name.startswith(("packs/", "timeline/")) or name in self.survey.hidden:
            action = RepairAction.SET_ASIDE
        else:
            action = RepairAction.NONE
        return Remedy(name, damage.cause, action, there, tuple(damage.points), tuple(damage.files))

    def elsewhere(self, name: str) -> bytes | None:
        """The object as the other vault has it, proven to be the right one; None when it does not."""
        if self._other is None:
            return None
        try:
            data = self._other.read(name)
        except StoreError:
            return None
        return data if self._proven(name, data) else None

    def _proven(self, name: str, data: bytes) -> bool:
        kind, _, rest = name.partition("/")
        if kind in ("packs", "index", "timeline"):
            return digest_of(data) == rest.rpartition("/")[2]
        if kind == "log" and rest.isdigit():
            return self._fits(int(rest), data)
        if name == CONFIG:
            return _is_config(data, self._keys)
        return kind in ("keys", "epochs") and key_check.is_whole(name, data)

    def _fits(self, number: int, data: bytes) -> bool:
        """Whether an entry takes its place: the one after it names it by its hash; one behind the end must
        continue what is there."""
        try:
            entry = decode_entry(self._keys, number, data)
        except DamageError:
            return False
        if number > self.survey.head.number:
            before = self._known(number - 1)
            return entry.previous == (before.digest if before else "")
        after = self._known(number + 1)
        return after is not None and after.previous == entry.digest

    def _known(self, number: int) -> LogEntry | None:
        """Ours, when it opens; else the other's, when it is proven."""
        if not number:
            return None
        try:
            return decode_entry(self._keys, number, self._store.read(name_of(number)))
        except (DamageError, StoreError):
            data = self.elsewhere(name_of(number))
            return decode_entry(self._keys, number, data) if data else None

    def _there(self, name: str) -> bool:
        try:
            self._store.size(name)
        except (MissingError, StoreError):
            return False
        return True


def _is_config(data: bytes, keys: WriterKeys) -> bool:
    alone = MemoryStore()
    alone.create(CONFIG, [data])
    try:
        return read_config(alone).is_of(keys)
    except UndividedError:
        return False


def _order(remedy: Remedy) -> tuple[int, str]:
    """What opens the vault first, then the log: nothing can be recorded behind a broken end."""
    kinds = (CONFIG, "keys/", "epochs/", "log/", "index/", "packs/", "timeline/")
    place = next((i for i, kind in enumerate(kinds) if remedy.object.startswith(kind)), len(kinds))
    return place, remedy.object


def digest_in(name: str) -> str:
    """The hex digest of a pack by its object's name."""
    digest = name.rpartition("/")[2]
    assert packs.name_of(digest) == name
    return digest
