"""Verification: silent on what is whole, and exact about what is not."""

from __future__ import annotations

import os

import pytest

from undivided.testing.vaults import contents, protect
from undivided.vault.damage import damaged_since, mark_damaged
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, verify


def _flip(store: MemoryStore, name: str, at: int) -> None:
    data = bytearray(store.objects[name])
    data[at] ^= 4
    store.objects[name] = bytes(data)


def _names(store: MemoryStore, prefix: str) -> list[str]:
    return [n for n in store.objects if n.startswith(prefix)]


def test_a_whole_vault_has_no_damage(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": os.urandom(3_000_000)})
    protect(vault, "p2", {b"b": b"2"}, [b"a"])
    for read_data in (False, True):
        report = verify(vault, Scope(read_data=read_data))
        assert report.damaged == []
        assert report.unlocked
    assert report.bytes == sum(len(store.objects[n]) for n in _names(store, "packs/"))


def test_progress_reaches_its_total(vault: Vault) -> None:
    for i in range(3):
        protect(vault, f"p{i}", {b"a": os.urandom(1000)})
    reported: list[tuple[int, int]] = []
    verify(vault, Scope(read_data=True), progress=lambda done, total: reported.append((done, total)))
    assert reported[-1][0] == reported[-1][1] > 0


def test_a_flipped_bit_in_data_is_named_down_to_points_and_files(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "before", {b"other": os.urandom(400_000)})
    known = set(store.objects)
    protect(vault, "hit", {b"victim": os.urandom(400_000)})
    protect(vault, "still", {b"x": b"1"})
    protect(vault, "replaced", {b"victim": b"new"})
    (pack,) = [n for n in _names(store, "packs/") if n not in known][:1]
    _flip(store, pack, 1000)
    assert verify(vault).damaged == []
    (damage,) = verify(vault, Scope(read_data=True)).damaged
    assert damage.object == pack
    assert damage.points == ["hit", "still"]
    assert damage.files == [("site", b"victim")]


def test_a_missing_pack_is_found_without_reading_data(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    (pack,) = _names(store, "packs/")
    store.delete(pack)
    (damage,) = verify(vault).damaged
    assert (damage.object, damage.cause) == (pack, "it is missing")
    assert damage.files == [("site", b"a")]


def test_a_damaged_timeline_touches_every_point_from_there_on(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    known = set(store.objects)
    protect(vault, "p2", {b"b": b"2"})
    protect(vault, "p3", {})
    (name,) = [n for n in _names(store, "timeline/") if n not in known]
    _flip(store, name, 200)
    report = verify(vault)
    assert [d.object for d in report.damaged] == [name]
    assert report.points_affected == ["p2", "p3"]


def test_a_lost_index_segment_is_damage(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    (name,) = _names(store, "index/")
    store.delete(name)
    report = verify(vault)
    assert name in [d.object for d in report.damaged]
    assert report.points_affected == ["p1"]


def test_a_damaged_log_entry_is_named_and_the_rest_is_still_checked(store: MemoryStore, vault: Vault) -> None:
    for i in range(3):
        protect(vault, f"p{i}", {b"a%d" % i: os.urandom(100)})
    _flip(store, "log/0000000002", 150)
    fresh = Vault.open(store, keys=vault.keys, passphrase=lambda: "correct horse")
    report = verify(fresh, Scope(read_data=True))
    assert "log/0000000002" in [d.object for d in report.damaged]


def test_without_the_passphrase_hashes_are_checked_and_the_report_states_it(
    store: MemoryStore, vault: Vault
) -> None:
    protect(vault, "p1", {b"a": os.urandom(1000)})
    locked = Vault.open(store, keys=vault.keys)
    report = verify(locked, Scope(read_data=True))
    assert not report.unlocked
    assert report.damaged == []
    assert any("passphrase" in note for note in report.notes)
    (pack,) = _names(store, "packs/")
    _flip(store, pack, 10)
    assert [d.object for d in verify(locked, Scope(read_data=True)).damaged] == [pack]


def test_the_next_protection_uploads_damaged_packs_again(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(300_000), b"b": os.urandom(100)}
    first = protect(vault, "p1", files)
    (pack,) = _names(store, "packs/")
    _flip(store, pack, 5)
    report = verify(vault, Scope(read_data=True))
    assert not damaged_since(vault)
    mark_damaged(vault, report.packs)
    assert damaged_since(vault)
    assert not damaged_since(vault, since=vault.head.number)
    protect(vault, "p2", files)
    repaired = verify(vault, Scope(read_data=True))
    assert repaired.damaged == []
    assert any(pack in note for note in repaired.notes)
    assert contents(vault, first.number) == files


def test_whole_chunks_of_a_damaged_pack_can_be_read(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(2_000_000), b"b": os.urandom(2_000_000)}
    entry = protect(vault, "p1", files)
    (pack,) = _names(store, "packs/")
    mark_damaged(vault, [pack.rpartition("/")[2]])
    assert contents(vault, entry.number) == files


@pytest.mark.parametrize("kind", ["packs/", "index/", "timeline/", "log/"])
def test_an_object_of_another_name_is_not_taken_for_this_one(
    store: MemoryStore, vault: Vault, kind: str
) -> None:
    for i in range(2):
        protect(vault, f"p{i}", {b"a%d" % i: os.urandom(100)})
    one, two = sorted(_names(store, kind))[:2]
    store.objects[one], store.objects[two] = store.objects[two], store.objects[one]
    fresh = Vault.open(store, keys=vault.keys, passphrase=lambda: "correct horse")
    report = verify(fresh, Scope(read_data=True))
    found = "".join([*(d.object for d in report.damaged), *report.notes])  # a note where no reader needs it
    assert one in found
    assert two in found


def test_an_expired_point_is_no_loss(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "gone", {b"a": os.urandom(300_000)})
    (alone,) = _names(store, "packs/")
    protect(vault, "kept", {b"a": os.urandom(300_000), b"b": b"1"})
    execute(vault, plan_prune(vault, ["gone"], threshold=1.0))
    store.delete(alone)
    report = verify(vault, Scope(read_data=True, points=["kept"]))
    assert report.damaged == []
    assert report.decoded == ["kept"]


def test_after_a_compaction_damage_is_still_named_down_to_points_and_files(
    store: MemoryStore, vault: Vault
) -> None:
    for i in range(4):
        protect(vault, f"p{i}", {b"f%d" % i: os.urandom(300_000)})
    execute(vault, plan_prune(vault, ["p1"], grace=0, threshold=1.0))
    known = set(store.objects)
    protect(vault, "late", {b"late": os.urandom(300_000)})
    (late,) = [n for n in _names(store, "packs/") if n not in known]
    _flip(store, late, 1000)
    (damage,) = verify(vault, Scope(read_data=True)).damaged
    assert (damage.object, damage.points, damage.files) == (late, ["late"], [("site", b"late")])
    _flip(store, late, 1000)
    steps = [n for n in _names(store, "timeline/") if n in known]
    for name in steps:
        _flip(store, name, 200)
    report = verify(vault)
    assert {d.object for d in report.damaged} <= set(steps)
    assert report.points_affected == ["late", "p0", "p2", "p3"]


def test_a_damaged_key_is_damage(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    (name,) = [n for n in _names(store, "keys/") if "." in n]
    _flip(store, name, 40)
    fresh = Vault.open(store, keys=vault.keys, passphrase=lambda: "correct horse")
    report = verify(fresh)
    assert not report.unlocked
    assert name in [d.object for d in report.damaged]
