"""The commit log: order, conflicts, heads."""

from __future__ import annotations

import logging
import threading

import pytest

from undivided.model.errors import DamageError
from undivided.testing.stores import LostAnswer, Rival, Slow
from undivided.vault.format.log_entry import name_of
from undivided.vault.stores.base import StoreError
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Head, Vault


def test_entries_come_back_in_order_with_their_bodies(vault: Vault) -> None:
    for i in range(5):
        vault.append("note", {"i": i})
    entries = list(vault.log())
    assert [e.body["i"] for e in entries] == [0, 1, 2, 3, 4]
    assert [e.number for e in entries] == [1, 2, 3, 4, 5]
    assert [e.body["i"] for e in vault.log(after=3)] == [3, 4]
    assert vault.head == Head(5, entries[-1].digest)


def test_an_empty_log_has_head_zero(vault: Vault) -> None:
    assert vault.head == Head(0, "")
    assert list(vault.log()) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
def test_a_newcomer_finds_the_end_of_a_log_of_any_length(
    store: MemoryStore, vault: Vault, count: int
) -> None:
    for i in range(count):
        vault.append("note", {"i": i})
    assert Vault.open(store, keys=vault.keys).head == vault.head


def test_a_writer_that_was_too_slow_takes_the_next_number_and_logs_it(
    store: MemoryStore, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = Vault.open(store, keys=vault.keys)
    slow = Vault.open(Rival(store, "log/", lambda: other.append("note", {"who": "quick"})), keys=vault.keys)
    entry = slow.append("note", {"who": "slow"})
    assert entry.number == 2
    assert [e.body["who"] for e in slow.log()] == ["quick", "slow"]
    assert caplog.messages == ["log entry 1 was written by another writer; trying the next number"]


def test_many_writers_at_once_make_one_unbroken_chain(store: MemoryStore, vault: Vault) -> None:
    def write(name: str) -> None:
        mine = Vault.open(store, keys=vault.keys)
        for i in range(10):
            mine.append("note", {"who": name, "i": i})

    threads = [threading.Thread(target=write, args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = list(vault.log())
    assert len(entries) == 40
    for name in "abcd":
        assert [e.body["i"] for e in entries if e.body["who"] == name] == list(range(10))


def test_an_entry_whose_answer_was_lost_is_found_to_be_ours(store: MemoryStore, vault: Vault) -> None:
    unsure = Vault.open(LostAnswer(store, "log/"), keys=vault.keys)
    assert unsure.append("note", {"i": 1}).number == 1
    assert [e.body["i"] for e in vault.log()] == [1]


def test_an_entry_that_could_not_be_stored_is_an_error_and_not_there(
    store: MemoryStore, vault: Vault
) -> None:
    from undivided.testing.stores import Full

    full = Vault.open(Full(store, 0), keys=vault.keys)
    with pytest.raises(StoreError):
        full.append("note", {})
    assert list(vault.log()) == []


def test_opening_reads_no_more_than_the_end(store: MemoryStore, vault: Vault) -> None:
    for i in range(50):
        vault.append("note", {"i": i})
    asked: list[str] = []

    class Watching(MemoryStore):
        def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
            asked.append(name)
            return store.read(name, start, length)

    Vault.open(Watching(), keys=vault.keys, head=vault.head)
    assert asked == ["vault.json", name_of(50), name_of(51)]


def test_a_log_that_lost_its_end_is_refused_by_who_saw_it(store: MemoryStore, vault: Vault) -> None:
    vault.append("note", {"i": 1})
    vault.append("note", {"i": 2})
    store.delete(name_of(2))
    with pytest.raises(DamageError, match="rolled back"):
        Vault.open(store, keys=vault.keys, head=vault.head)


def test_a_log_that_went_another_way_is_refused_by_who_saw_it(store: MemoryStore, vault: Vault) -> None:
    vault.append("note", {"i": 1})
    seen = vault.head
    store.delete(name_of(1))
    Vault.open(store, keys=vault.keys).append("note", {"i": "forged"})
    with pytest.raises(DamageError, match="forked"):
        Vault.open(store, keys=vault.keys, head=seen)


def test_an_entry_missing_in_the_middle_is_named(store: MemoryStore, vault: Vault) -> None:
    for i in range(4):
        vault.append("note", {"i": i})
    store.delete(name_of(2))
    fresh = Vault.open(store, keys=vault.keys, head=vault.head)
    with pytest.raises(DamageError, match="log/0000000002"):
        list(fresh.log())


def test_a_chain_put_together_from_two_is_refused(store: MemoryStore, vault: Vault) -> None:
    vault.append("note", {"i": 1})
    first = store.objects[name_of(1)]
    vault.append("note", {"i": 2})
    second = store.objects[name_of(2)]
    store.objects.pop(name_of(1)), store.objects.pop(name_of(2))
    Vault.open(store, keys=vault.keys).append("note", {"i": "other"})
    assert store.objects[name_of(1)] != first
    store.objects[name_of(2)] = second
    with pytest.raises(DamageError, match="does not follow"):
        list(Vault.open(store, keys=vault.keys, head=Head()).log())


def test_a_distant_log_is_read_ahead_and_is_the_same(store: MemoryStore, vault: Vault) -> None:
    begun = vault.head
    for i in range(100):
        vault.append("note", {"i": i})
    distant = Slow(store, 0.001)
    late = Vault.open(distant, keys=vault.keys, head=begun)
    assert late.head == vault.head
    assert distant.most > 6
    newcomer = Vault.open(distant, keys=vault.keys)
    assert [e.body["i"] for e in newcomer.log()] == list(range(100))
    assert [e.body["i"] for e in newcomer.log(after=97)] == [97, 98, 99]
    newcomer.append("note", {"i": 100})
    assert [e.body["i"] for e in late.log(after=99)] == [99, 100]


def test_what_is_missing_in_a_distant_log_stops_only_who_asks_for_it(
    store: MemoryStore, vault: Vault
) -> None:
    for i in range(50):
        vault.append("note", {"i": i})
    del store.objects[name_of(20)]
    log = Vault.open(Slow(store, 0), keys=vault.keys).commits
    assert log.entry(21).body == {"i": 20}
    assert log.entry(19).body == {"i": 18}
    with pytest.raises(DamageError, match="20 is missing"):
        log.entry(20)
    read = []
    with pytest.raises(DamageError, match="20 is missing"):
        for entry in log.entries():
            read.append(entry.number)
    assert read == list(range(1, 20))
