"""A copy saves a request and can do no harm."""

from __future__ import annotations

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


def test_an_index_segment_is_fetched_once_and_again_by_nobody(distant: Counting, tmp_path: Path) -> None:
    for _ in range(3):
        assert Cached(distant, tmp_path).read("index/a") == b"index/a" * 100
    assert distant.reads == ["index/a"]


def test_what_was_created_here_need_not_be_fetched_at_all(distant: Counting, tmp_path: Path) -> None:
    Cached(distant, tmp_path).create("timeline/new", [b"made ", b"here"])
    assert Cached(distant, tmp_path).read("timeline/new") == b"made here"
    assert distant.reads == []


def test_the_log_is_always_asked_and_packs_are_not_kept(distant: Counting, tmp_path: Path) -> None:
    store = Cached(distant, tmp_path)
    for _ in range(2):
        store.read("log/1")
        store.read("packs/aa/aa")
        store.read("index/a", 3, 4)
    assert distant.reads == ["log/1", "packs/aa/aa", "index/a"] * 2
    assert copies(tmp_path) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "exchange"])
def test_a_damaged_copy_is_fetched_anew(distant: Counting, tmp_path: Path, damage: str) -> None:
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


def test_who_checks_what_is_stored_goes_past_the_cache(distant: Counting, tmp_path: Path) -> None:
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


def test_the_cache_stays_within_its_room_and_keeps_what_was_used_last(tmp_path: Path) -> None:
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


def test_a_cache_that_cannot_be_written_only_costs_time(distant: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where the directory should be")
    store = Cached(distant, tmp_path / "file")
    for _ in range(2):
        assert store.read("index/a") == b"index/a" * 100
    assert distant.reads == ["index/a"] * 2
