"""Merging of index segments: few remain, nothing is lost, and those of other writers are never skipped."""

from __future__ import annotations

import os

import pytest

from undivided.model.columns import Ragged
from undivided.model.entries import Entries
from undivided.testing.stores import Rival
from undivided.testing.vaults import contents, protect, segment
from undivided.vault.damage import mark_damaged
from undivided.vault.format import index_segment as index_segments
from undivided.vault.index import merge as merging
from undivided.vault.index.load import index_links, read_index_segments
from undivided.vault.log.heads import index_entries
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import TimelineSegment, Vault
from undivided.vault.verify import Scope, verify

PASSPHRASE = "correct horse"


def test_a_hundred_small_commits_leave_few_segments_to_read(store: MemoryStore, vault: Vault) -> None:
    files: dict[bytes, bytes] = {}
    with vault.writer() as writer:
        for i in range(100):
            new = {b"%03d" % i: os.urandom(50)}
            files.update(new)
            entry = writer.commit("point", {"t": segment(writer, new)}, {})
    fresh = Vault.open(store, keys=vault.keys, passphrase=lambda: PASSPHRASE)
    assert len(list(index_entries(fresh.commits))) <= 8
    assert contents(fresh, entry.number, "t") == files
    assert verify(fresh, Scope(read_data=True)).damaged == []


def test_a_large_segment_is_not_written_again_for_a_small_one(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "large", {b"%d" % i: os.urandom(10) for i in range(3000)})
    before = set(store.objects)
    protect(vault, "small", {b"x": os.urandom(10)})
    (new,) = [n for n in store.objects if n.startswith("index/") and n not in before]
    assert len(store.objects[new]) < 2000


def test_segments_of_a_concurrent_commit_are_not_skipped(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "first", {b"a": b"1" * 100})
    other = Vault.open(store, keys=vault.keys)
    rival = Rival(store, "timeline/", lambda: protect(other, "other", {b"b": os.urandom(100)}, timeline="o"))
    entry = protect(Vault.open(rival, keys=vault.keys), "mine", {b"c": b"3" * 100})
    fresh = Vault.open(store, passphrase=lambda: PASSPHRASE)
    assert len(contents(fresh, entry.number, "o")[b"b"]) == 100
    assert contents(fresh, entry.number) == {b"a": b"1" * 100, b"c": b"3" * 100}
    assert verify(fresh, Scope(read_data=True)).damaged == []


def test_damaged_packs_stay_damaged(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(100)}
    first = protect(vault, "p1", files)
    (pack,) = [n for n in store.objects if n.startswith("packs/")]
    store.objects[pack] = bytes(len(store.objects[pack]))
    mark_damaged(vault, [pack.rpartition("/")[2]])
    protect(vault, "p2", {b"b": os.urandom(100)})
    protect(vault, "p3", files)
    assert contents(vault, first.number) == files


def test_a_commit_without_data_merges_nothing(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    before = {n for n in store.objects if n.startswith("index/")}
    with vault.writer() as writer:
        writer.commit("point", {"t": TimelineSegment(Entries.none(), Ragged.of([b"a"]))}, {})
    assert {n for n in store.objects if n.startswith("index/")} == before


@pytest.mark.parametrize("link", ["damaged", "repaired", "pending_deletion"])
def test_an_entry_with_other_links_is_never_skipped(vault: Vault, link: str) -> None:
    protect(vault, "p1", {b"a": os.urandom(100)})
    said = vault.commits.append("note", {}, {link: ["00" * 32]})
    protect(vault, "p2", {b"b": os.urandom(100)})
    protect(vault, "p3", {b"c": os.urandom(100)})
    assert said.number in [entry.number for entry in index_entries(vault.commits)]
    assert len(list(index_entries(vault.commits))) == 3


def _small(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(merging, "MOST_CHUNKS", most)
    monkeypatch.setattr(index_segments, "MOST_CHUNKS", most)


def test_merged_segments_have_a_limited_size_and_a_small_number(
    store: MemoryStore, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small(monkeypatch, 64)
    files: dict[bytes, bytes] = {}
    with vault.writer() as writer:
        for i in range(60):
            new = {b"%d-%d" % (i, n): os.urandom(30) for n in range(5)}
            files.update(new)
            entry = writer.commit("point", {"t": segment(writer, new)}, {})
    sizes = [len(s) for s in read_index_segments(store, vault.keys, index_links(vault.commits).segments)]
    assert max(sizes) <= 64
    assert sum(sizes) == 300
    assert len(sizes) <= 2 * 300 / 64 + 7
    assert contents(vault, entry.number, "t") == files


def test_one_commit_makes_as_many_segments_as_it_takes(
    store: MemoryStore, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small(monkeypatch, 1)
    first = protect(vault, "p0", {b"x": os.urandom(100)})
    files = {b"%d" % i: os.urandom(1 << 20) for i in range(70)}
    entry = protect(vault, "p1", files, timeline="large")
    assert len(entry.links["index"]) > 1
    assert entry.links["previous_data"] == first.number
    fresh = Vault.open(store, keys=vault.keys, passphrase=lambda: PASSPHRASE)
    assert contents(fresh, entry.number, "large") == files
    assert verify(fresh, Scope(read_data=True)).damaged == []
