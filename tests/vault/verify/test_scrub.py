"""Scrub: the oldest verification first, recorded with its age, resumed after any interruption."""

from __future__ import annotations

import base64
import os

import pytest

from undivided.testing.vaults import contents, protect
from undivided.vault.damage import mark_damaged
from undivided.vault.repair import open_damaged
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault
from undivided.vault.verify import Scope, execute, plan_verify, scrub, verification_age, verify
from undivided.vault.verify.record import verified_entries

DAY = 86400
DATA = Scope(read_data=True)


@pytest.fixture
def packs(vault: Vault) -> int:
    """Points of a pack each; how many."""
    for i in range(5):
        protect(vault, f"p{i}", {b"a%d" % i: os.urandom(2000)})
    return 5


class Clock:
    def __init__(self, vault: Vault) -> None:
        self.now = vault.commits.last.time_ns if vault.commits.last else 0

    def __call__(self) -> int:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += int(days * DAY * 1e9)


def test_what_was_looked_at_is_recorded_with_its_age(vault: Vault, packs: int) -> None:
    assert verification_age(vault) is None
    assert verify(vault).verification_age.never == packs
    report = verify(vault, Scope(read_data=True))
    assert (report.read, report.left) == (packs, 0)
    known = verification_age(vault)
    assert known and known[1].packs == packs and known[1].never == 0
    protect(vault, "late", {b"late": os.urandom(2000)})
    assert verify(vault).verification_age.never == 1


def test_looking_at_the_structure_alone_writes_nothing(store: MemoryStore, vault: Vault, packs: int) -> None:
    before = dict(store.objects)
    verify(vault)
    assert store.objects == before


def test_time_that_is_up_leaves_the_rest_to_the_next_run(vault: Vault, packs: int) -> None:
    report = verify(vault, Scope(read_data=True, seconds=0.0))
    assert (report.read, report.left) == (0, packs)
    assert verify(vault, Scope(read_data=True)).left == 0


def test_a_killed_run_is_resumed(vault: Vault, packs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "EVERY", 0.0)
    seen = 0

    def kill(done: int, _total: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(vault, Scope(read_data=True), progress=kill)
    rest = verify(vault, Scope(read_data=True, within=DAY))
    assert rest.read == packs - 3
    assert rest.verification_age.never == 0


def test_the_oldest_proof_comes_first(
    store: MemoryStore, vault: Vault, packs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "EVERY", 0.0)
    verify(vault, Scope(read_data=True))
    order = [entry.body["packs"] for entry in verified_entries(vault.commits)]
    verify(vault, Scope(read_data=True))
    again = [entry.body["packs"] for entry in verified_entries(vault.commits)]
    assert again[:packs] == order
    known = set(store.objects)
    protect(vault, "late", {b"late": os.urandom(2000)})
    (late,) = [n for n in store.objects if n.startswith("packs/") and n not in known]
    verify(vault, Scope(read_data=True))
    *_, first = [entry.body["packs"] for entry in verified_entries(vault.commits)][: packs + 1]
    assert base64.b64decode(first) == bytes.fromhex(late.rpartition("/")[2])[:8]


def test_what_was_read_lately_is_passed_over(store: MemoryStore, vault: Vault, packs: int) -> None:
    clock = Clock(vault)

    def later(scope: Scope) -> tuple[int, int]:
        report = execute(vault, plan_verify(vault, scope, now=clock), now=clock)
        return report.read, report.left

    verify(vault, Scope(read_data=True))
    clock.pass_days(3)
    assert later(Scope(read_data=True, within=7 * DAY)) == (0, 0)
    clock.pass_days(5)
    assert later(Scope(read_data=True, within=7 * DAY)) == (packs, 0)


def test_a_damaged_pack_is_named_at_every_depth_once_it_was_found(
    store: MemoryStore, vault: Vault, packs: int
) -> None:
    name = next(n for n in store.objects if n.startswith("packs/"))
    data = bytearray(store.objects[name])
    data[20] ^= 1
    store.objects[name] = bytes(data)
    assert verify(vault).damaged == []
    mark_damaged(vault, verify(vault, Scope(read_data=True)).packs)
    assert [d.object for d in verify(vault).damaged] == [name]
    assert [d.object for d in verify(vault, Scope(read_data=True, within=DAY)).damaged] == [name]


def test_points_are_decoded_those_of_longest_ago_first(vault: Vault, packs: int) -> None:
    assert verify(vault, Scope(points=["p1"])).decoded == ["p1"]
    assert verify(vault, Scope(sample=2)).decoded == ["p4", "p3"]
    assert verify(vault, Scope(sample=3)).decoded == ["p2", "p0", "p1"]
    assert verify(vault, Scope(sample=9)).decoded[:2] in (["p4", "p3"], ["p3", "p4"])


def test_a_point_that_does_not_decode_leads_to_the_pack_that_is_damaged(
    store: MemoryStore, vault: Vault, packs: int
) -> None:
    known = set(store.objects)
    protect(vault, "hit", {b"victim": os.urandom(9000)})
    (name,) = [n for n in store.objects if n.startswith("packs/") and n not in known]
    data = bytearray(store.objects[name])
    data[200] ^= 1
    store.objects[name] = bytes(data)
    assert verify(vault, Scope(points=["p4"])).damaged == []
    report = verify(vault, Scope(points=["hit"]))
    assert [(d.object, d.files) for d in report.damaged] == [(name, [("site", b"victim")])]
    assert report.decoded == []


def test_a_run_that_cannot_record_reports_that_and_checks_all_the_same(
    store: MemoryStore, vault: Vault
) -> None:
    files = {b"a": os.urandom(2000)}
    entry = protect(vault, "p", files)
    store.objects[f"log/{vault.head.number + 1:010d}"] = b"junk"
    opened = open_damaged(store, vault.keys, lambda: "correct horse")
    report = verify(opened, DATA)
    assert [d.object for d in report.damaged] == [f"log/{vault.head.number + 1:010d}"]
    assert report.read == 1
    assert contents(opened, entry.number) == files
