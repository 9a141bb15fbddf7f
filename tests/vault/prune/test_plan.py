"""Pruning: what is expired goes, what is kept stays to the bit, and nothing else is touched."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from undivided.model.errors import DamageError, UsageError
from undivided.testing.stores import Slow, Wrapper
from undivided.testing.vaults import TIMELINE, contents, protect, segment
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import ConflictError, FencedError, TimelineSegment, Vault, Writer
from undivided.vault.verify import Scope, verify

KINDS = ("packs/", "index/", "timeline/")


def pruned(vault: Vault, *points: str, **options: Any) -> None:
    execute(vault, plan_prune(vault, points, **{"grace": 0, **options}))


def stored(store: MemoryStore) -> set[str]:
    return {name for name in store.objects if name.startswith(KINDS)}


def leave_a_pack(writer: Writer, store: MemoryStore) -> TimelineSegment:
    """Stores enough for a pack to go out, and waits for it."""
    added = segment(writer, {b"a": os.urandom(40_000_000)})
    deadline = time.monotonic() + 60
    while not any(name.startswith("packs/") for name in store.objects):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return added


def test_an_expired_point_frees_what_only_it_had(store: MemoryStore, vault: Vault) -> None:
    alone, shared = os.urandom(3_000_000), os.urandom(3_000_000)
    first = protect(vault, "p1", {b"a": alone, b"b": shared})
    second = protect(vault, "p2", {b"a": b"new"})
    before = sum(map(len, store.objects.values()))
    done = execute(vault, plan_prune(vault, ["p1"], grace=0, threshold=1.0))
    assert done.deleted > 1_500_000 and done.pending_deletion == 0
    assert contents(vault, second.number) == {b"a": b"new", b"b": shared}
    assert sum(map(len, store.objects.values())) < before - 1_500_000
    with pytest.raises(UsageError, match="expired"):
        vault.reader().state(TIMELINE, first.number)
    assert verify(vault, Scope(read_data=True)).damaged == []


def test_every_kept_point_stays_as_it_was(store: MemoryStore, vault: Vault) -> None:
    files: dict[bytes, bytes] = {}
    states = []
    for i in range(12):
        changed = {b"f%d" % (i % 5): os.urandom(3000), b"g%d" % i: os.urandom(100)}
        gone = [b"g%d" % (i - 3)] if i >= 3 else []
        files = {**{p: d for p, d in files.items() if p not in gone}, **changed}
        states.append((protect(vault, f"p{i}", changed, gone), dict(files)))
    for forget in (["p0", "p3"], ["p1", "p2", "p5", "p6"], ["p4", "p10"], []):
        pruned(vault, *forget)
    kept = [f"p{i}" for i in (7, 8, 9, 11)]
    fresh = Vault.open(store, passphrase=lambda: "correct horse")
    for entry, state in states:
        if entry.body["point"]["id"] in kept:
            assert contents(fresh, entry.number) == state
        else:
            with pytest.raises(UsageError, match="expired"):
                contents(fresh, entry.number)
    protect(fresh, "later", {b"new": b"new"})
    assert contents(fresh, fresh.head.number) == {**files, b"new": b"new"}


def test_nothing_to_do_does_nothing(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1" * 1000})
    before = dict(store.objects)
    plan = plan_prune(vault)
    assert plan.idle
    assert execute(vault, plan).entry is None
    assert store.objects == before


def test_pending_deletions_stay_for_a_readers_grace(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": os.urandom(5000)})
    protect(vault, "p2", {b"a": b"2"})
    before = stored(store)
    begun = vault.commits.now()
    execute(vault, plan_prune(vault, ["p1"], grace=100, now=lambda: begun), now=lambda: begun)
    assert stored(store) >= before
    execute(vault, plan_prune(vault, grace=100, now=lambda: begun + 99 * 10**9))
    assert stored(store) >= before
    pruned = execute(vault, plan_prune(vault, grace=100, now=lambda: begun + 101 * 10**9))
    assert pruned.deleted > 5000
    assert not stored(store) >= before
    assert contents(vault, 4) == {b"a": b"2"}


def test_orphans_of_dead_sessions_go_and_of_living_ones_stay(store: MemoryStore, vault: Vault) -> None:
    with vault.writer() as writer:
        leave_a_pack(writer, store)
        orphans = stored(store)
        pruned(vault)
        assert stored(store) == orphans
    later = vault.commits.now() + 2 * 86400 * 10**9
    pruned(vault, now=lambda: later)
    assert stored(store) == set()


def test_a_sleeper_that_was_fenced_cannot_commit(store: MemoryStore, vault: Vault) -> None:
    with vault.writer() as writer:
        added = leave_a_pack(writer, store)
        other = Vault.open(store, passphrase=lambda: "correct horse")
        later = vault.commits.now() + 2 * 86400 * 10**9
        pruned(other, now=lambda: later)
        with pytest.raises(FencedError):
            writer.commit("point", {"t": added}, {})
    assert [e.kind for e in other.log()] == ["session", "prune"]


def test_a_writer_that_refers_to_content_pruned_meanwhile_fails(store: MemoryStore, vault: Vault) -> None:
    data = os.urandom(5000)
    protect(vault, "p1", {b"a": data})
    protect(vault, "p2", {b"a": b"2"})
    other = Vault.open(store, passphrase=lambda: "correct horse")
    with vault.writer() as writer:
        added = segment(writer, {b"copy": data})
        pruned(other, "p1")
        with pytest.raises(ConflictError):
            writer.commit("point", {TIMELINE: added}, {})
    entry = protect(vault, "p3", {b"copy": data})
    assert contents(vault, entry.number) == {b"a": b"2", b"copy": data}


def test_what_a_commit_refers_to_meanwhile_is_not_pending_deletion(store: MemoryStore, vault: Vault) -> None:
    data = os.urandom(5000)
    protect(vault, "p1", {b"a": data})
    protect(vault, "p2", {b"a": b"2"})
    other = Vault.open(store, passphrase=lambda: "correct horse")
    plan = plan_prune(other, ["p1"], grace=0)
    assert plan.unused
    entry = protect(vault, "p3", {b"copy": data})
    execute(other, plan)
    assert contents(vault, entry.number) == {b"a": b"2", b"copy": data}
    assert contents(Vault.open(store, passphrase=lambda: "correct horse"), entry.number)[b"copy"] == data


def test_of_two_prunes_one_wins_and_both_are_safe(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": os.urandom(5000)})
    protect(vault, "p2", {b"a": os.urandom(5000)})
    last = protect(vault, "p3", {b"a": b"3"})
    one, two = plan_prune(vault, ["p1"], grace=0), plan_prune(vault, ["p1", "p2"], grace=0)
    execute(vault, one)
    with pytest.raises(ConflictError, match="another prune was faster"):
        execute(vault, two)
    pruned(vault, "p2")
    assert contents(vault, last.number) == {b"a": b"3"}
    assert verify(vault, Scope(read_data=True)).damaged == []


def test_a_pack_that_is_missing_ends_it(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": os.urandom(5000)})
    protect(vault, "p2", {b"a": b"2"})
    store.delete(next(name for name in store.objects if name.startswith("packs/")))
    with pytest.raises(DamageError, match="missing from the store"):
        plan_prune(vault, ["p1"])


def test_a_timeline_without_points_is_dropped(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": os.urandom(5000)}, timeline="aa")
    protect(vault, "p2", {b"a": os.urandom(5000)}, timeline="bb")
    pruned(vault, "p1")
    assert contents(vault, 4, "bb")
    with pytest.raises(UsageError, match="expired"):
        contents(vault, 2, "aa")
    assert len([name for name in store.objects if name.startswith("timeline/")]) == 1


def test_a_pinned_point_is_not_expired_after_all(vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    protect(vault, "p2", {b"a": b"2"})
    plan = plan_prune(vault, ["p1"])
    vault.append("pin", {"point": "p1", "pinned": True})
    with pytest.raises(ConflictError, match="pinned"):
        execute(vault, plan)


def test_damage_after_compaction_is_named_down_to_points_and_paths(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": os.urandom(5000)})
    protect(vault, "p2", {b"b": os.urandom(5000)})
    protect(vault, "p3", {b"c": os.urandom(5000)})
    pruned(vault, "p1")
    name = next(name for name in store.objects if name.startswith("packs/"))
    store.objects[name] = store.objects[name][:-1] + bytes([store.objects[name][-1] ^ 1])
    report = verify(vault, Scope(read_data=True))
    assert {d.object for d in report.damaged} == {name}
    assert set(report.points_affected) <= {"p2", "p3"}
    step = next(name for name in store.objects if name.startswith("timeline/"))
    store.delete(step)
    assert "p3" in verify(vault).points_affected


def test_a_lost_session_is_only_reported(store: MemoryStore, vault: Vault) -> None:
    """An object of an unknown session: no writer of this vault has made it."""
    protect(vault, "p1", {b"a": b"1"})
    store.create("packs/ab/" + "ab" * 32, [bytes(100)])
    plan = plan_prune(vault, grace=0)
    assert plan.idle
    assert sum(map(len, plan.orphans.unknown.values())) == 1
    execute(vault, plan)
    assert "packs/ab/" + "ab" * 32 in store.objects


def test_a_prune_reads_the_log_from_the_one_before(store: MemoryStore, vault: Vault) -> None:
    for number in range(20):
        protect(vault, f"p{number}", {b"a": b"%d" % number})
    pruned(vault, "p3")
    protect(vault, "q", {b"a": b"q"})
    asked: list[str] = []

    class Watching(Wrapper):
        def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
            asked.append(name)
            return super().read(name, start, length)

    head = vault.head
    fresh = Vault.open(Watching(store), passphrase=lambda: "correct horse", head=head)
    asked.clear()
    pruned(fresh, "p5")
    numbers = {int(name[4:]) for name in asked if name.startswith("log/")}
    assert len([n for n in numbers if n < 40]) <= 20  # the kept points' own entries, and no registrations
    assert contents(vault, head.number) == {b"a": b"q"}


def test_small_packs_without_garbage_are_merged_once_they_are_many(store: MemoryStore, vault: Vault) -> None:
    files: dict[bytes, bytes] = {}
    made = []
    for i in range(6):
        new = {b"upload%d" % i: os.urandom(5000)}
        files |= new
        made.append((protect(vault, f"p{i}", new).number, dict(files)))
    assert not plan_prune(vault, grace=0, many=7).repacked
    execute(vault, plan_prune(vault, grace=0, many=6))
    assert len([name for name in store.objects if name.startswith("packs/")]) == 1
    for number, state in made:
        assert contents(vault, number) == state
    assert verify(vault, Scope(read_data=True)).damaged == []
    assert not plan_prune(vault, grace=0, many=6).repacked


def test_a_distant_vault_is_pruned_like_a_near_one(store: MemoryStore, vault: Vault) -> None:
    for i in range(30):
        last = protect(vault, f"p{i}", {b"same": os.urandom(2000), b"upload%d" % i: os.urandom(1000)})
    before = contents(vault, last.number)
    distant = Slow(store, 0.001)
    far = Vault.open(distant, passphrase=lambda: "correct horse")
    execute(far, plan_prune(far, [f"p{i}" for i in range(29) if i % 5], grace=0, threshold=1.0, many=4))
    assert distant.most > 6
    assert len([name for name in store.objects if name.startswith("packs/")]) == 1
    assert contents(far, last.number) == before
    assert verify(far, Scope(read_data=True)).damaged == []
