"""Broken timelines: a prune refuses to guess, and names the ways out, which work."""

from __future__ import annotations

import pytest

from undivided.model.errors import DamageError
from undivided.testing.vaults import TIMELINE, contents, protect, segment
from undivided.vault.damage import mark_damaged
from undivided.vault.format.timeline_segment import name_of
from undivided.vault.log.heads import latest_head
from undivided.vault.prune import execute, plan_prune
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import ConflictError, Vault
from undivided.vault.verify import Scope, verify

NEW = "fedcba9876543210"


@pytest.fixture
def points(vault: Vault) -> list[int]:
    """Five points of one timeline; the third segment is lost; a sixth point began a new timeline."""
    entries = [protect(vault, f"p{i}", {b"f%d" % i: b"%d" % i * 1000}) for i in range(1, 6)]
    vault.store.delete(name_of(entries[2].links["heads"][TIMELINE]["segment"]))
    protect(vault, "p6", {b"f6": b"6" * 1000}, timeline=NEW)
    return [entry.number for entry in entries]


def prune(vault: Vault, *points: str) -> None:
    execute(vault, plan_prune(vault, points, grace=0, threshold=1.0))


def found_broken(vault: Vault) -> None:
    report = verify(vault)
    assert report.timelines == [TIMELINE]
    mark_damaged(vault, [], report.timelines)


def test_the_refusal_names_the_points_that_are_lost_and_the_ways_out(vault: Vault, points: list[int]) -> None:
    with pytest.raises(DamageError, match="are lost: p3, p4, p5") as raised:
        plan_prune(vault, ["p1", "p4"])
    assert "`undivided repair --from COPY`" in raised.value.hint
    assert "`undivided prune --forget p3 --forget p4 --forget p5`" in raised.value.hint


def test_without_the_lost_points_the_others_stay_and_everything_verifies(
    store: MemoryStore, vault: Vault, points: list[int]
) -> None:
    found_broken(vault)
    prune(vault, "p3", "p4", "p5")
    fresh = Vault.open(store, passphrase=lambda: "correct horse")
    assert contents(fresh, points[1]) == {b"f1": b"1" * 1000, b"f2": b"2" * 1000}
    assert contents(fresh, fresh.head.number, NEW) == {b"f6": b"6" * 1000}
    report = verify(fresh, Scope(read_data=True))
    assert (report.damaged, report.timelines) == ([], [])
    prune(fresh, "p1")
    assert contents(fresh, points[1]) == {b"f1": b"1" * 1000, b"f2": b"2" * 1000}
    assert verify(fresh, Scope(read_data=True)).damaged == []
    assert plan_prune(fresh, grace=0).idle


def test_a_broken_timeline_without_any_point_left_goes_whole(vault: Vault, points: list[int]) -> None:
    prune(vault, "p1", "p2", "p3", "p4", "p5")
    assert latest_head(vault.commits, TIMELINE) is None
    assert verify(vault, Scope(read_data=True)).damaged == []


def test_until_it_is_marked_the_newest_state_is_kept_for_the_source_that_continues_it(
    vault: Vault, points: list[int]
) -> None:
    with pytest.raises(DamageError, match="are lost: p3, p4, p5") as raised:
        plan_prune(vault, ["p3", "p4", "p5"])
    assert "`undivided verify`, which marks the timeline as broken" in raised.value.hint


def test_a_source_that_continues_a_cut_history_is_refused(vault: Vault, points: list[int]) -> None:
    found_broken(vault)
    with vault.writer() as writer:
        late = writer.digest(TIMELINE)
    plan = plan_prune(vault, ["p3", "p4", "p5"], grace=0)
    execute(vault, plan)
    with vault.writer() as writer, pytest.raises(ConflictError):
        writer.commit("point", {TIMELINE: segment(writer, {b"x": b"x"})}, {}, {TIMELINE: late})


def test_a_commit_to_a_history_that_is_being_cut_ends_the_prune(vault: Vault, points: list[int]) -> None:
    found_broken(vault)
    plan = plan_prune(vault, ["p3", "p4", "p5"], grace=0)
    protect(vault, "p7", {b"f7": b"7"})
    with pytest.raises(ConflictError):
        execute(vault, plan)


def test_a_point_from_before_the_first_segment_of_a_broken_timeline_stays(vault: Vault) -> None:
    first = protect(vault, "p1", {})
    protect(vault, "p2", {b"a": b"a"})
    vault.store.delete(name_of(vault.commits.last.links["heads"][TIMELINE]["segment"]))  # type: ignore[union-attr]
    found_broken(vault)
    prune(vault, "p2")
    assert contents(vault, first.number) == {}
    assert verify(vault, Scope(read_data=True)).damaged == []


def test_a_timeline_that_a_prune_could_read_and_that_breaks_again_is_marked_again(
    store: MemoryStore, vault: Vault
) -> None:
    entries = [protect(vault, f"p{i}", {b"f%d" % i: b"%d" % i * 1000}) for i in range(1, 5)]
    lost = name_of(entries[2].links["heads"][TIMELINE]["segment"])
    data = bytes(store.read(lost))
    vault.store.delete(lost)
    found_broken(vault)
    assert mark_damaged(vault, [], [TIMELINE]) is None
    store.create(lost, [data])
    prune(vault, "p1")
    vault.store.delete(lost)
    protect(vault, "p5", {b"f5": b"5"}, timeline=NEW)
    found_broken(vault)
    with pytest.raises(DamageError, match="are lost: p3, p4"):
        plan_prune(vault)
    prune(vault, "p3", "p4")
    assert contents(vault, entries[1].number) == {b"f1": b"1" * 1000, b"f2": b"2" * 1000}
    assert verify(vault, Scope(read_data=True)).damaged == []
