"""Merging of index segments: few stay, nothing is lost, nobody else's are passed over."""

from __future__ import annotations

import os

from undivided.model.columns import Ragged
from undivided.model.entries import Entries
from undivided.testing.stores import Rival
from undivided.testing.vaults import contents, protect, segment
from undivided.vault.links import index_entries
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Segment, Vault

PASSPHRASE = "correct horse"


def test_a_hundred_small_commits_leave_few_segments_to_read(store: MemoryStore, vault: Vault) -> None:
    files: dict[bytes, bytes] = {}
    with vault.writer() as writer:
        for i in range(100):
            new = {b"%03d" % i: os.urandom(50)}
            files.update(new)
            entry = writer.commit("point", {"t": segment(writer, new)}, {})
    fresh = Vault.open(store, keys=vault.keys, passphrase=lambda: PASSPHRASE)
    assert len(list(index_entries(fresh._log))) <= 8
    assert contents(fresh, entry.number, "t") == files
    assert fresh.verify(read_data=True).damaged == []


def test_a_large_segment_is_not_written_again_for_a_small_one(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "large", {b"%d" % i: os.urandom(10) for i in range(3000)})
    before = set(store.objects)
    protect(vault, "small", {b"x": os.urandom(10)})
    (new,) = [n for n in store.objects if n.startswith("index/") and n not in before]
    assert len(store.objects[new]) < 2000


def test_what_another_commits_meanwhile_is_not_passed_over(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "first", {b"a": b"1" * 100})
    other = Vault.open(store, keys=vault.keys)
    rival = Rival(store, "timeline/", lambda: protect(other, "other", {b"b": os.urandom(100)}, timeline="o"))
    entry = protect(Vault.open(rival, keys=vault.keys), "mine", {b"c": b"3" * 100})
    fresh = Vault.open(store, passphrase=lambda: PASSPHRASE)
    assert len(contents(fresh, entry.number, "o")[b"b"]) == 100
    assert contents(fresh, entry.number) == {b"a": b"1" * 100, b"c": b"3" * 100}
    assert fresh.verify(read_data=True).damaged == []


def test_what_was_condemned_stays_condemned(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(100)}
    first = protect(vault, "p1", files)
    (pack,) = [n for n in store.objects if n.startswith("packs/")]
    store.objects[pack] = bytes(len(store.objects[pack]))
    vault.condemn([pack.rpartition("/")[2]])
    protect(vault, "p2", {b"b": os.urandom(100)})
    protect(vault, "p3", files)
    assert contents(vault, first.number) == files


def test_a_commit_without_data_merges_nothing(store: MemoryStore, vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    before = {n for n in store.objects if n.startswith("index/")}
    with vault.writer() as writer:
        writer.commit("point", {"t": Segment(Entries.none(), Ragged.of([b"a"]))}, {})
    assert {n for n in store.objects if n.startswith("index/")} == before
