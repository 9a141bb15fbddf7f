"""Repair: a plan first; a copy restores; other damage is set aside, and its readable chunks are kept."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from undivided.model.errors import UsageError
from undivided.testing.vaults import contents, protect
from undivided.vault.damage import broken_timelines, damaged_since, mark_damaged
from undivided.vault.repair import (
    RepairAction,
    Repaired,
    RepairPlan,
    execute,
    open_damaged,
    plan_repair,
)
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify

PASSPHRASE = "correct horse"
FIRST = {b"a": random.Random(1).randbytes(3_000_000), b"b": b"text " * 9000}
SECOND = {b"c": random.Random(2).randbytes(500_000)}


@pytest.fixture
def points(vault: Vault) -> list[int]:
    """The entries of two points."""
    return [protect(vault, "p1", FIRST).number, protect(vault, "p2", SECOND).number]


@pytest.fixture
def copy(store: MemoryStore, points: list[int]) -> MemoryStore:
    """The same vault elsewhere, byte for byte."""
    other = MemoryStore()
    other.objects = dict(store.objects)
    return other


def _planned(store: MemoryStore, vault: Vault, other: MemoryStore | None = None) -> tuple[Vault, RepairPlan]:
    """The vault as far as it opens, and the plan for it."""
    opened = open_damaged(store, vault.keys, lambda: PASSPHRASE, other)
    return opened, plan_repair(opened, other, seen=vault.head, read_data=True)


def _repair(
    store: MemoryStore, vault: Vault, other: MemoryStore | None = None
) -> tuple[RepairPlan, Repaired]:
    opened, plan = _planned(store, vault, other)
    return plan, execute(opened, plan)


def _reopened(store: MemoryStore, vault: Vault) -> Vault:
    return Vault.open(store, keys=vault.keys, passphrase=lambda: PASSPHRASE)


def _names(store: MemoryStore, prefix: str) -> list[str]:
    return sorted(n for n in store.objects if n.startswith(prefix))


def _flip(store: MemoryStore, name: str, at: int = 100) -> None:
    data = bytearray(store.objects[name])
    data[at] ^= 4
    store.objects[name] = bytes(data)


def _lose(store: MemoryStore, name: str) -> None:
    del store.objects[name]


def _lose_keys(store: MemoryStore) -> list[str]:
    lost = _names(store, "keys/")
    for name in lost:
        del store.objects[name]
    return lost


def test_lost_keys_are_restored_from_a_copy(
    store: MemoryStore, vault: Vault, copy: MemoryStore, points: list[int]
) -> None:
    lost = _lose_keys(store)
    found = verify(Vault.open(store, keys=vault.keys, passphrase=lambda: PASSPHRASE))
    assert [damage.object for damage in found.damaged] == ["keys/"]
    plan, done = _repair(store, vault, copy)
    assert [(r.object, r.action) for r in plan.remedies] == [(name, RepairAction.COPY) for name in lost]
    assert sorted(done.repaired) == lost
    assert not done.lost
    assert contents(_reopened(store, vault), points[0]) == FIRST
    assert not verify(_reopened(store, vault)).damaged


def test_a_key_that_opens_the_vault_is_restored_too_when_only_another_is_left(
    store: MemoryStore, vault: Vault, copy: MemoryStore
) -> None:
    kept = set(_names(store, "keys/"))
    vault.add_recipient("another passphrase", "office")
    copy.objects = dict(store.objects)
    lost = [name for name in _names(store, "keys/") if name not in kept]
    for name in lost:
        del store.objects[name]
    _, done = _repair(store, vault, copy)
    assert sorted(done.repaired) == lost
    assert Vault.open(store, passphrase=lambda: "another passphrase").id == vault.id


def test_a_key_that_was_removed_does_not_come_back_from_an_older_copy(
    store: MemoryStore, vault: Vault, copy: MemoryStore
) -> None:
    removed = vault.add_recipient("another passphrase", "office")
    copy.objects = dict(store.objects)
    vault.remove_recipient(removed)
    lost = _lose_keys(store)
    _, done = _repair(store, vault, copy)
    assert sorted(done.repaired) == lost
    assert _names(store, "keys/") == lost


def _junk(store: MemoryStore, name: str) -> None:
    store.objects[name] = b"no object of a vault" * 20


@pytest.mark.parametrize("wreck", [_flip, _lose, _junk])
@pytest.mark.parametrize("kind", ["packs/", "index/", "timeline/", "log/"])
def test_a_copy_repairs_every_kind_of_object_byte_for_byte(
    store: MemoryStore,
    vault: Vault,
    points: list[int],
    copy: MemoryStore,
    kind: str,
    wreck: Callable[[MemoryStore, str], None],
) -> None:
    *_, name = _names(store, kind)
    wreck(store, name)
    plan, done = _repair(store, vault, copy)
    assert [(r.object, r.action) for r in plan.remedies if r.object == name] == [(name, RepairAction.COPY)]
    assert name in done.repaired
    assert store.objects[name] == copy.objects[name]
    repaired = _reopened(store, vault)
    assert verify(repaired, Scope(read_data=True)).damaged == []
    assert contents(repaired, points[0]) == FIRST
    assert contents(repaired, points[1]) == {**FIRST, **SECOND}


def test_an_object_that_the_copy_lost_after_the_plan_is_reported_as_lost(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    name = _names(store, "packs/")[0]
    _flip(store, name)
    opened, plan = _planned(store, vault, copy)
    assert plan.lost == []
    del copy.objects[name]
    done = execute(opened, plan)
    assert [remedy.object for remedy in done.lost] == [name]
    assert name in done.quarantined and not done.repaired
    assert f"The copy no longer has {name}, or could not be read." in done.notes


def test_a_plan_changes_nothing(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    for kind in ("packs/", "index/", "timeline/"):
        _flip(store, _names(store, kind)[0])
    before = dict(store.objects)
    for other in (copy, None):
        assert _planned(store, vault, other)[1].remedies
        assert store.objects == before


def test_originals_lie_in_quarantine_with_every_byte(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    wrecked = {}
    for kind in ("packs/", "timeline/"):
        name = _names(store, kind)[0]
        _flip(store, name)
        wrecked[name] = store.objects[name]
    _, done = _repair(store, vault, copy)
    assert {name: store.objects[place] for name, place in done.quarantined.items()} == wrecked


def test_what_can_be_read_of_a_damaged_pack_is_kept_and_the_rest_is_named(
    store: MemoryStore, vault: Vault, points: list[int]
) -> None:
    name = max(_names(store, "packs/"), key=lambda n: len(store.objects[n]))
    _flip(store, name, 100)
    plan, done = _repair(store, vault)
    assert [(r.object, r.action) for r in plan.remedies] == [(name, RepairAction.SET_ASIDE)]
    assert name not in store.objects and done.quarantined[name] in store.objects
    assert done.salvaged > 0
    report = verify(_reopened(store, vault), Scope(read_data=True))
    assert [d.object for d in report.damaged] == [name]
    assert len(report.damaged[0].files) == 1


def test_after_a_repair_the_next_protection_stores_again_what_the_source_still_has(
    store: MemoryStore, vault: Vault, points: list[int]
) -> None:
    for name in _names(store, "packs/"):
        _flip(store, name, 100)
    _repair(store, vault)
    repaired = _reopened(store, vault)
    assert damaged_since(repaired, since=points[1])
    protect(repaired, "p3", {**FIRST, **SECOND})
    assert verify(repaired, Scope(read_data=True)).damaged == []
    assert contents(repaired, points[0]) == FIRST


def test_lost_index_segments_are_rebuilt_from_the_packs(
    store: MemoryStore, vault: Vault, points: list[int]
) -> None:
    for name in _names(store, "index/"):
        _lose(store, name)
    _repair(store, vault)
    repaired = _reopened(store, vault)
    assert verify(repaired, Scope(read_data=True)).damaged == []
    assert contents(repaired, points[1]) == {**FIRST, **SECOND}
    stored = len(_names(store, "packs/"))
    protect(repaired, "p3", {**FIRST, **SECOND})
    assert len(_names(store, "packs/")) == stored


def test_junk_at_the_end_of_the_log_goes_and_the_vault_is_usable_again(
    store: MemoryStore, vault: Vault, points: list[int]
) -> None:
    name = f"log/{vault.head.number + 1:010d}"
    _junk(store, name)
    plan, done = _repair(store, vault)
    assert [(r.object, r.action) for r in plan.remedies] == [(name, RepairAction.SET_ASIDE)]
    assert name in done.quarantined
    repaired = _reopened(store, vault)
    assert contents(repaired, protect(repaired, "p3", {b"d": b"4"}).number)[b"d"] == b"4"


def test_an_acknowledged_entry_at_the_end_comes_back_from_the_copy(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    *_, last = _names(store, "log/")
    store.objects[last] = store.objects[last][:50]
    _repair(store, vault, copy)
    assert contents(_reopened(store, vault), points[1]) == {**FIRST, **SECOND}


def test_a_lost_timeline_is_said_so_that_the_next_protection_begins_a_new_one(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    name = _names(store, "timeline/")[0]
    _flip(store, name)
    plan, done = _repair(store, vault)
    assert name in done.quarantined and plan.lost
    assert len(broken_timelines(_reopened(store, vault))) == 1
    _repair(store, vault, copy)
    assert not broken_timelines(_reopened(store, vault))
    assert contents(_reopened(store, vault), points[1]) == {**FIRST, **SECOND}


def test_a_pack_that_is_whole_again_counts_again(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    name = _names(store, "packs/")[0]
    mark_damaged(vault, [name.rpartition("/")[2]])
    plan, _ = _repair(store, vault)
    assert not plan.remedies and plan.cleared
    stored = len(_names(store, "packs/"))
    protect(_reopened(store, vault), "p3", {**FIRST, **SECOND})
    assert len(_names(store, "packs/")) == stored


def test_a_lost_vault_json_and_a_damaged_key_come_back_from_the_copy(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    key = next(n for n in _names(store, "keys/") if "." not in n)
    _lose(store, "vault.json")
    _junk(store, key)
    _, done = _repair(store, vault, copy)
    assert done.repaired == ["vault.json", key]
    assert contents(Vault.open(store, passphrase=lambda: PASSPHRASE), points[0]) == FIRST


def test_a_copy_that_is_damaged_itself_repairs_nothing(
    store: MemoryStore, vault: Vault, points: list[int], copy: MemoryStore
) -> None:
    name = _names(store, "packs/")[0]
    _flip(store, name)
    _flip(copy, name, 200)
    plan, done = _repair(store, vault, copy)
    assert [r.action for r in plan.remedies] == [RepairAction.SET_ASIDE]
    assert done.repaired == []


def test_another_vault_is_refused_as_a_copy(store: MemoryStore, vault: Vault, points: list[int]) -> None:
    stranger = MemoryStore()
    Vault.create(stranger, PASSPHRASE)
    with pytest.raises(UsageError, match="another vault"):
        _planned(store, vault, stranger)
