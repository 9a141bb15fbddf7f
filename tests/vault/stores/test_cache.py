"""A local copy saves a request and does no harm."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from undivided.testing.stores import Wrapper
from undivided.vault.stores.base import MissingError, uncached
from undivided.vault.stores.cache import Cached
from undivided.vault.stores.memory import MemoryStore


class Counting(Wrapper):
    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.reads: list[str] = []

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self.reads.append(name)
        return super().read(name, start, length)


@pytest.fixture
def distant() -> Counting:
    made = Counting()
    for name in ("index/a", "timeline/b", "log/1", "packs/aa/aa"):
        made.create(name, [name.encode() * 100])
    return made


def copies(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


def test_an_index_segment_is_fetched_only_once(distant: Counting, tmp_path: Path) -> None:
    for _ in range(3):
        assert Cached(distant, tmp_path).read("index/a") == b"index/a" * 100
    assert distant.reads == ["index/a"]


def test_an_object_that_was_created_here_is_not_fetched_at_all(distant: Counting, tmp_path: Path) -> None:
    Cached(distant, tmp_path).create("timeline/new", [b"made ", b"here"])
    assert Cached(distant, tmp_path).read("timeline/new") == b"made here"
    assert distant.reads == []


def test_log_entries_and_packs_are_never_cached(distant: Counting, tmp_path: Path) -> None:
    store = Cached(distant, tmp_path)
    for _ in range(2):
        store.read("log/1")
        store.read("packs/aa/aa")
        store.read("index/a", 3, 4)
    assert distant.reads == ["log/1", "packs/aa/aa", "index/a"] * 2
    assert copies(tmp_path) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "exchange"])
def test_a_damaged_copy_is_fetched_again_and_logged(
    distant: Counting, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "undivided.vault.stores.cache")
    store = Cached(distant, tmp_path)
    store.read("index/a")
    store.read("timeline/b")
    file = tmp_path / "index" / "a"
    data = file.read_bytes()
    changed = {
        "flip": data[:-1] + bytes([data[-1] ^ 1]),
        "cut": data[:50],
        "empty": b"",
        "exchange": (tmp_path / "timeline" / "b").read_bytes(),
    }
    file.write_bytes(changed[damage])
    assert store.read("index/a") == b"index/a" * 100
    assert file.read_bytes() == data
    assert caplog.messages == ["the cached copy of index/a is damaged; reading the object again from memory:"]


def test_a_check_of_stored_objects_bypasses_the_cache(distant: Counting, tmp_path: Path) -> None:
    store = Cached(distant, tmp_path)
    store.read("index/a")
    distant.delete("index/a")
    with pytest.raises(MissingError):
        uncached(store).read("index/a")
    assert uncached(distant) is distant


def test_a_deleted_object_has_no_copy(distant: Counting, tmp_path: Path) -> None:
    store = Cached(distant, tmp_path)
    store.read("index/a")
    store.delete("index/a")
    with pytest.raises(MissingError):
        store.read("index/a")


def test_the_cache_stays_within_its_room_and_keeps_the_copies_used_last(tmp_path: Path) -> None:
    distant = Counting()
    store = Cached(distant, tmp_path, room=10_000)
    for i in range(30):
        store.create(f"index/{i:02}", [bytes(1000)])
        os.utime(tmp_path / "index" / f"{i:02}", (i, i))
        if i:
            store.read("index/00")
    assert sum(path.stat().st_size for path in copies(tmp_path)) <= 10_000
    names = [path.name for path in copies(tmp_path)]
    assert "00" in names and "29" in names and "05" not in names


def test_a_cache_that_cannot_be_written_costs_time_only_and_is_logged(
    distant: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "undivided.vault.stores.cache")
    (tmp_path / "file").write_text("where the directory should be")
    store = Cached(distant, tmp_path / "file")
    for _ in range(2):
        assert store.read("index/a") == b"index/a" * 100
    assert distant.reads == ["index/a"] * 2
    assert caplog.messages[0].startswith("no copy of index/a is kept in ")
