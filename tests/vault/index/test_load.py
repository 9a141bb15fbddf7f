"""Which packs count: by the links of the log, and by the objects in the store."""

from __future__ import annotations

import os

import numpy as np
import pytest

from undivided.model.errors import DamageError
from undivided.testing.vaults import protect, stored_pack
from undivided.vault.format.index_segment import IndexSegment, StoredPack
from undivided.vault.index.load import index_links, load_index, read_index_segments
from undivided.vault.log.session import WriteSession
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import LogEntry, Vault


def _packs(vault: Vault, count: int) -> list[str]:
    """So many packs, each in a segment larger than the next one, so that none is merged."""
    found: list[str] = []
    for i in range(count):
        protect(
            vault, f"p{i}", {b"%d" % n: os.urandom(64) for n in range(3 ** (count - i))}, timeline=f"t{i}"
        )
        found += [
            name for name in load_index(vault.store, vault.keys, vault.commits).packs if name not in found
        ]
    return found


def _say(vault: Vault, **links: list[str]) -> LogEntry:
    return vault.commits.append("note", {}, links)


def _found(vault: Vault, store: MemoryStore | None = None) -> list[str]:
    """The packs in which the index finds something; given a store, as a writer has it."""
    present = dict(store.list("packs/")) if store else None
    index = load_index(vault.store, vault.keys, vault.commits, present)
    ids = [np.zeros((0, 32), np.uint8), *index.ids()]
    rows = index.find(np.concatenate(ids).ravel())
    return sorted({index.place(frame).pack for frame in index.frame[rows].tolist()} if len(rows) else set())


def test_a_damaged_pack_counts_for_readers_only_until_it_is_repaired(
    store: MemoryStore, vault: Vault
) -> None:
    a, b = _packs(vault, 2)
    _say(vault, damaged=[a])
    assert (_found(vault), _found(vault, store)) == (sorted([a, b]), [b])
    _say(vault, repaired=[a])
    assert index_links(vault.commits).damaged == frozenset()
    assert _found(vault, store) == sorted([a, b])
    _say(vault, damaged=[a])
    assert _found(vault, store) == [b]


def test_a_pack_pending_deletion_never_counts_whatever_later_entries_say(
    store: MemoryStore, vault: Vault
) -> None:
    a, b, c = _packs(vault, 3)
    _say(vault, pending_deletion=[b])
    _say(vault, damaged=[b])
    _say(vault, repaired=[b])
    protect(vault, "later", {b"x": os.urandom(64)}, timeline="later")
    assert b not in _found(vault)
    assert b not in _found(vault, store)
    assert {a, c} <= set(_found(vault, store))


def test_a_pack_that_is_missing_or_of_another_size_does_not_count_for_writers(
    store: MemoryStore, vault: Vault
) -> None:
    a, b, c = _packs(vault, 3)
    del store.objects[f"packs/{a[:2]}/{a}"]
    store.objects[f"packs/{c[:2]}/{c}"] += b"x"
    assert (_found(vault), _found(vault, store)) == (sorted([a, b, c]), [b])


def test_segments_come_in_order_and_a_changed_one_is_damage(store: MemoryStore, vault: Vault) -> None:
    packs = _packs(vault, 4)
    names = list(index_links(vault.commits).segments)
    read = list(read_index_segments(store, vault.keys, names))
    assert [segment.names() for segment in read] == [[pack] for pack in packs[::-1]]
    swapped = f"index/{names[1]}"
    store.objects[swapped] = store.objects[f"index/{names[2]}"]
    with pytest.raises(DamageError, match=f"{swapped} is damaged: its SHA-256 is not its name"):
        list(read_index_segments(store, vault.keys, names))
    del store.objects[swapped]
    with pytest.raises(DamageError, match=f"{swapped} is damaged: it is missing"):
        list(read_index_segments(store, vault.keys, names))


def _new_pack(vault: Vault) -> StoredPack:
    """One more pack, in its own segment."""
    pack = stored_pack(b"n" * 32, [[os.urandom(32)]], 10, (b"s" * 16, b"k"))
    session = WriteSession(vault.store, vault.keys, vault.commits)
    name = session.store_index(IndexSegment.of([pack]))
    _say(vault, index=[name])
    return pack


def test_segments_that_were_read_before_are_not_read_again(store: MemoryStore, vault: Vault) -> None:
    _packs(vault, 3)
    before = load_index(store, vault.keys, vault.commits)
    for name in before.names:
        del store.objects[f"index/{name}"]
    new = _new_pack(vault).name
    after = load_index(store, vault.keys, vault.commits, before=before)
    assert after.names[1:] == before.names
    assert list(after.packs) == [new, *before.packs]
    assert (after.find(np.concatenate(list(before.ids())).ravel()) >= 0).all()
