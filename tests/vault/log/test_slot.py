"""Slots: one entry at a time, no request more than needed, and no competition within one process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from undivided.model.log_kinds import LogKind
from undivided.testing.stores import Recording, Rival, Wrapper
from undivided.vault.format.log_entry import name_of
from undivided.vault.log import log as logs
from undivided.vault.log.slot import CatchUp, SealedEntry, Slot
from undivided.vault.stores.base import Store, StoreError
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault


class Reads(Wrapper):
    """Remembers the names of all objects that were read, also of missing ones."""

    def __init__(self, beneath: Store) -> None:
        super().__init__(beneath)
        self.names: list[str] = []

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self.names.append(name)
        return super().read(name, start, length)


def _always(store: Store, first: Callable[[], object]) -> Wrapper:
    class Always(Wrapper):
        def create(self, name: str, parts: object) -> None:
            first()
            self.beneath.create(name, parts)  # type: ignore[arg-type]

    return Always(store)


def test_a_slot_is_the_next_place_with_the_links_it_inherits(vault: Vault) -> None:
    first = vault.append("note", {})
    vault.append("verification", {})
    slots: list[Slot] = []
    assert vault.commits.commit(slots.append) is None
    (slot,) = slots
    assert (slot.number, slot.newest("verified"), slot.newest("data")) == (3, 2, 0)
    assert slot.last and slot.last.previous == first.digest


def test_a_conflict_costs_one_read_of_the_entry_that_came(store: MemoryStore, vault: Vault) -> None:
    reads = Reads(store)
    slow = Vault.open(Rival(reads, "log/", lambda: vault.append("note", {})), keys=vault.keys)
    reads.names.clear()
    assert slow.append("note", {}).number == 2
    # The end of the log before the first attempt, the entry that came, the end again.
    assert reads.names == [name_of(1), name_of(1), name_of(2)]


def test_an_append_without_a_conflict_is_one_look_and_one_write(store: MemoryStore, vault: Vault) -> None:
    reads = Reads(store)
    record = Recording(reads)
    opened = Vault.open(record, keys=vault.keys)
    reads.names.clear()
    opened.append("note", {})
    assert reads.names == [name_of(1)]
    assert [name for name, _ in record.tried] == [name_of(1)]


def test_a_slot_that_was_taken_within_the_process_is_refused_without_a_request(
    store: MemoryStore, vault: Vault
) -> None:
    record = Recording(store)
    log = Vault.open(record, keys=vault.keys).commits
    slots: list[int] = []

    def seal(slot: Slot) -> SealedEntry:
        slots.append(slot.number)
        sealed = slot.seal(LogKind.SESSION, {}, {})
        if len(slots) == 1:
            log.append("note", {})
        return sealed

    assert log.commit(seal).number == 2
    assert slots == [1, 2]
    assert [name for name, _ in record.tried] == [name_of(1), name_of(2)]


def test_catching_up_happens_outside_the_turn_and_before_the_next_slot(vault: Vault) -> None:
    log, steps = vault.commits, list[str]()

    def catch_up() -> None:
        steps.append("catch up")
        other = threading.Thread(target=lambda: log.append("note", {}))
        other.start()
        other.join(20)
        assert not other.is_alive()

    def seal(slot: Slot) -> SealedEntry | CatchUp:
        steps.append(f"slot {slot.number}")
        return slot.seal("note", {}, {}) if slot.last else CatchUp(catch_up)

    assert log.commit(seal).number == 2
    assert steps == ["slot 1", "catch up", "slot 2"]


def test_threads_of_one_process_take_turns_and_never_compete(store: MemoryStore, vault: Vault) -> None:
    record = Recording(store)
    shared = Vault.open(record, keys=vault.keys)

    def write(name: str) -> None:
        for i in range(10):
            shared.append("note", {"who": name, "i": i})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.number for entry in vault.log()] == list(range(1, 41))
    assert [name for name, _ in record.tried] == [name_of(number) for number in range(1, 41)]


def test_a_failed_commit_leaves_the_log_free(vault: Vault) -> None:
    def fail(slot: Slot) -> SealedEntry:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        vault.commits.commit(fail)
    done = threading.Thread(target=lambda: vault.append("note", {}))
    done.start()
    done.join(20)
    assert [entry.kind for entry in vault.log()] == ["note"]


def test_attempts_end_when_others_are_always_faster(
    store: MemoryStore, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_ATTEMPTS", 5)
    slow = Vault.open(_always(store, lambda: vault.append("note", {"who": "fast"})), keys=vault.keys)
    with pytest.raises(StoreError, match="5 other entries were appended first"):
        slow.append("note", {"who": "slow"})
    assert {entry.body["who"] for entry in vault.log()} == {"fast"}
