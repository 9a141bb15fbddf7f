"""Repair, as a plan: what is damaged, what is done about it, and what stays lost.

    copy        a copy of the vault has the object: its name is the hash of its bytes, or the log proves it
                (proven_copy.py). Ours is set aside, and the copy's is stored in its place
    rebuild     an index segment is built again from the footers of the packs
    set aside   no copy has the whole object: it goes into quarantine, its readable chunks are stored again,
                and the next protection stores what the source still has
    none        nothing can be done, and nothing is

Making a plan verifies the vault and changes nothing; execute.py carries it out. A vault that does not open is
planned for as `open_damaged` shows it. Everything that a repair takes away goes into quarantine
(quarantine.py).
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field, replace

from ...model.errors import DamageError, NoVaultError, UsageError
from ..crypto.keys import WriterKeys
from ..crypto.recipients import FOLDER
from ..format.log_entry import Head, name_of
from ..format.vault_json import CONFIG, VaultConfig, read_config
from ..stores.base import Store, StoreError, uncached
from ..vault import Vault
from ..verify import Damage, Progress, Report, Scope, plan_verify
from ..verify import execute as verified
from ..verify.log_scan import LogScan, scan_log
from .proven_copy import ProvenCopy


class RepairAction(enum.StrEnum):
    COPY = "copy"
    REBUILD = "rebuild"
    SET_ASIDE = "set aside"
    NONE = "none"


@dataclass(frozen=True)
class Remedy:
    """What is done about one damaged object. exists: whether there is an object of its name. points, files:
    those that it affects. They stay lost where the action is neither COPY nor REBUILD and the source no
    longer has them."""

    object: str
    cause: str
    action: RepairAction
    exists: bool
    points: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def repairs(self) -> bool:
        """Whether the object is whole afterwards."""
        return self.action in (RepairAction.COPY, RepairAction.REBUILD)


@dataclass(frozen=True)
class RepairPlan:
    """source: URL of the copy, "" without one. remedies: in the order in which they are carried out. cleared
    packs (hex digests) and timelines were marked damaged and are whole. timelines: those that lost a
    segment. seconds: how long planning took."""

    source: str
    remedies: tuple[Remedy, ...]
    cleared: tuple[str, ...] = ()
    cleared_timelines: tuple[str, ...] = ()
    timelines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    read_data: bool = False
    seen: Head = field(default_factory=Head)
    head: Head = field(default_factory=Head)
    """The last entry of the log that opens."""
    seconds: float = field(default=0.0, compare=False)
    copy: ProvenCopy | None = field(default=None, repr=False, compare=False)
    """From here on: what the execution needs."""
    other: Store | None = field(default=None, repr=False, compare=False)

    @property
    def empty(self) -> bool:
        return not (self.remedies or self.cleared or self.cleared_timelines)

    @property
    def hides(self) -> bool:
        """Whether a damaged log or index may hide more damage until it is repaired."""
        return any(r.repairs or r.action is RepairAction.SET_ASIDE for r in self.of("index/", "log/"))

    @property
    def lost(self) -> list[Remedy]:
        """Those that leave a point without something that it needs."""
        return [r for r in self.remedies if not r.repairs and (r.points or r.action is RepairAction.NONE)]

    def of(self, *prefixes: str) -> list[Remedy]:
        return [r for r in self.remedies if r.object.startswith(prefixes)]


def plan_repair(
    vault: Vault,
    other: Store | None = None,
    *,
    seen: Head | None = None,
    read_data: bool = False,
    progress: Progress | None = None,
) -> RepairPlan:
    """vault: from `open_damaged`. other: the store of a copy. seen: the head of the log that this client saw
    last; entries up to it must exist. read_data: check every byte first; otherwise the structure, and the
    objects that were found damaged before.

    Reads from the copy what it has of the damaged objects, so the plan relies on nothing that was not read.
    Raises UsageError without a passphrase, and when `other` is not a copy of this vault; StoreError.
    """
    began = time.monotonic()
    store, keys, seen = uncached(vault.store), vault.keys, seen or Head()
    _, lost_config = config_to_use(store, keys, other)
    vault.signing_key()
    report = verified(
        vault, plan_verify(vault, Scope(read_data=read_data, recorded=False)), progress=progress
    )
    if lost_config:
        report.add(CONFIG, lost_config)
    if other:
        _add_lost_keys(vault, other, report)
    scan = scan_log(store, keys)
    for number in range(scan.head.number + 1, seen.number + 1):
        report.add(name_of(number), "it is missing")
    copy = ProvenCopy(store, keys, scan, other)
    plan = _planned(store, scan, report, copy)
    seconds = time.monotonic() - began
    return replace(
        plan, read_data=read_data, seen=seen, head=scan.head, seconds=seconds, copy=copy, other=other
    )


def _add_lost_keys(vault: Vault, other: Store, report: Report) -> None:
    """The objects of keys/ that only the copy has. Where keys/ opens nothing, they repair it."""
    try:
        lost = vault.keys_only_in(other)
    except DamageError as error:
        report.notes.append(f"The keys of the copy were not compared: {error.cause}.")
        return
    if lost:
        report.damaged[:] = [damage for damage in report.damaged if damage.object != FOLDER]
    known = {damage.object for damage in report.damaged}
    for name in lost:
        if name not in known:
            report.add(name, "it is missing")


def config_to_use(store: Store, keys: WriterKeys, other: Store | None) -> tuple[VaultConfig | None, str]:
    """The copy's vault.json where ours is lost, and why ours is lost. Raises UsageError when `other` is
    another vault, DamageError and NoVaultError when no vault.json can be read."""
    theirs = read_config(other) if other else None
    if other and theirs and not theirs.is_of(keys):
        raise UsageError(
            f"{other.url} is another vault, not a copy of this one",
            doing=f"repair {store.url}",
            hint="Only a copy of this vault has the objects that can repair it.",
        )
    try:
        ours = read_config(store)
    except (DamageError, NoVaultError) as error:
        if theirs is None:
            raise
        return theirs, error.cause
    if theirs and not ours.is_of(keys):
        return theirs, "it belongs to another vault"
    return None, ""


def _planned(store: Store, scan: LogScan, report: Report, copy: ProvenCopy) -> RepairPlan:
    unneeded = (Damage(name, "nothing needs it any more") for name in report.unneeded)
    remedies = (_remedy(store, scan, damage, copy) for damage in (*report.damaged, *unneeded))
    return RepairPlan(
        source=copy.url,
        remedies=tuple(sorted(remedies, key=_order)),
        cleared=tuple(report.cleared),
        cleared_timelines=tuple(report.cleared_timelines),
        timelines=tuple(report.timelines),
        notes=tuple(report.notes),
    )


def _remedy(store: Store, scan: LogScan, damage: Damage, copy: ProvenCopy) -> Remedy:
    name = damage.object
    exists = _exists(store, name)
    if copy.read(name) is not None:
        action = RepairAction.COPY
    elif name.startswith("index/"):
        action = RepairAction.REBUILD
    elif name.startswith(("packs/", "timeline/")) or name in scan.hidden:
        action = RepairAction.SET_ASIDE
    else:
        action = RepairAction.NONE
    return Remedy(name, damage.cause, action, exists, tuple(damage.points), tuple(damage.files))


def _exists(store: Store, name: str) -> bool:
    try:
        store.size(name)
    except StoreError:
        return False
    return True


def _order(remedy: Remedy) -> tuple[int, str]:
    """First the objects that open the vault, then the log: nothing can be recorded behind a damaged end."""
    kinds = (CONFIG, "keys/", "epochs/", "log/", "index/", "packs/", "timeline/")
    place = next((i for i, kind in enumerate(kinds) if remedy.object.startswith(kind)), len(kinds))
    return place, remedy.object
