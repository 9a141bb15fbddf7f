"""The contract of a store as tests. A new implementation supplies only a factory, in test_stores.py."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from undivided.vault.stores.base import ExistsError, MissingError, Store, StoreError, read_into
from undivided.vault.stores.probe import probe


class StoreSuite:
    """Subclasses supply a fixture `store`: an empty one per test. many: the number of objects in a long
    listing."""

    many = 2500

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        raise NotImplementedError

    def test_a_created_object_is_read_back(self, store: Store) -> None:
        store.create("packs/ab/one", [b"hello ", memoryview(b"world"), bytearray(b"!")])
        assert store.read("packs/ab/one") == b"hello world!"
        assert store.size("packs/ab/one") == 12

    def test_an_object_may_be_empty(self, store: Store) -> None:
        store.create("empty", [])
        assert store.read("empty") == b""
        assert store.size("empty") == 0

    def test_many_parts_and_megabytes_arrive_in_order(self, store: Store) -> None:
        parts = [bytes([i % 256]) * 977 for i in range(3000)]
        large = bytes(range(256)) * 20_000
        store.create("many", parts)
        store.create("large", [large, b"tail"])
        assert store.read("many") == b"".join(parts)
        assert store.read("large") == large + b"tail"

    def test_a_range_is_read(self, store: Store) -> None:
        store.create("o", [b"0123456789"])
        assert store.read("o", 3, 4) == b"3456"
        assert store.read("o", 3) == b"3456789"
        assert store.read("o", 10, 0) == b""
        buffer = memoryview(bytearray(4))
        read_into(store, "o", 3, buffer)
        assert bytes(buffer) == b"3456"

    def test_an_incomplete_range_is_an_error_and_never_shorter(self, store: Store) -> None:
        store.create("o", [b"0123456789"])
        for start, length in ((8, 3), (11, None), (11, 1), (0, 11)):
            with pytest.raises(StoreError):
                store.read("o", start, length)
            with pytest.raises(StoreError):
                read_into(store, "o", start, memoryview(bytearray(length or 1)))

    def test_a_second_create_fails_and_changes_nothing(self, store: Store) -> None:
        store.create("log/1", [b"first"])
        for again in (b"second", b"first"):
            with pytest.raises(ExistsError):
                store.create("log/1", [again])
        assert store.read("log/1") == b"first"

    def test_of_many_creators_of_one_name_exactly_one_wins(self, store: Store) -> None:
        for round_ in range(5):
            winners: list[bytes] = []
            barrier = threading.Barrier(8)

            def race(mine: bytes, name: str, start: threading.Barrier, won: list[bytes]) -> None:
                start.wait()
                try:
                    store.create(name, [mine])
                except ExistsError:
                    return
                won.append(mine)

            name = f"log/{round_}"
            arguments = [(bytes([i]) * 1000, name, barrier, winners) for i in range(8)]
            threads = [threading.Thread(target=race, args=a) for a in arguments]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(winners) == 1
            assert store.read(name) == winners[0]

    def test_a_missing_object_is_reported_as_missing(self, store: Store) -> None:
        for request in (store.read, store.size):
            with pytest.raises(MissingError):
                request("packs/ab/none")

    def test_a_listing_has_names_and_sizes_in_order_of_name(self, store: Store) -> None:
        for name in ("b", "a/2", "a/10", "a/1", "ab/1", "a-x"):
            store.create(name, [name.encode()])
        assert list(store.list()) == [(n, len(n)) for n in ("a-x", "a/1", "a/10", "a/2", "ab/1", "b")]
        assert [n for n, _ in store.list("a/")] == ["a/1", "a/10", "a/2"]
        assert [n for n, _ in store.list("a/1")] == ["a/1", "a/10"]
        assert [n for n, _ in store.list("a")] == ["a-x", "a/1", "a/10", "a/2", "ab/1"]
        assert list(store.list("none/")) == []

    def test_a_long_listing_is_complete_and_in_order(self, store: Store) -> None:
        """Servers return a thousand names at a time."""
        names = [f"packs/{i % 7:02x}/{i:04d}" for i in range(self.many)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: store.create(name, [name.encode()]), names))
        assert list(store.list("packs/")) == [(name, len(name)) for name in sorted(names)]
        assert list(store.list("packs/03/")) == [(n, len(n)) for n in sorted(names) if n[6:8] == "03"]

    def test_a_created_object_is_listed_at_once_and_a_deleted_one_is_not(self, store: Store) -> None:
        for i in range(20):
            store.create(f"a/{i:02}", [b"x"])
            assert [n for n, _ in store.list("a/")] == [f"a/{i:02}"]
            store.delete(f"a/{i:02}")
            assert list(store.list("a/")) == []

    def test_creators_of_different_names_do_not_disturb_each_other(self, store: Store) -> None:
        objects = {f"packs/{i:02x}/{i}": bytes([i]) * (i * 50_000) for i in range(24)}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: store.create(item[0], [item[1]]), objects.items()))
            assert list(pool.map(store.read, objects)) == list(objects.values())

    def test_a_pack_in_memory_pages_is_stored_whole_and_read_in_pieces(self, store: Store) -> None:
        with mmap.mmap(-1, 32 << 20) as pages:
            pages[:] = os.urandom(1 << 20) * 32
            view = memoryview(pages)[: (32 << 20) - 1234]
            store.create("packs/ab/pack", [view, b"footer"])
            view.release()
            assert store.size("packs/ab/pack") == (32 << 20) - 1234 + 6
            for start, length in ((0, 1), (5, 4 << 20), (20_000_001, 999), ((32 << 20) - 1240, 6)):
                assert store.read("packs/ab/pack", start, length) == pages[start : start + length]
            assert store.read("packs/ab/pack", (32 << 20) - 1234) == b"footer"

    def test_the_probe_passes_and_leaves_no_object(self, store: Store) -> None:
        store.create("probe-that-was-killed", [b"x"])
        probe(store)
        assert list(store.list()) == []

    def test_a_deleted_object_is_gone_and_its_name_is_free(self, store: Store) -> None:
        store.create("x/y", [b"1"])
        store.delete("x/y")
        store.delete("x/y")
        with pytest.raises(MissingError):
            store.read("x/y")
        assert list(store.list()) == []
        store.create("x/y", [b"2"])
        assert store.read("x/y") == b"2"

    @pytest.mark.parametrize(
        "name",
        ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", ".hidden", "a/.b", "a b", "ä", "a\n", "x" * 300],
    )
    def test_no_name_leads_out_of_the_store(self, store: Store, name: str) -> None:
        for attempt in (
            lambda: store.create(name, [b""]),
            lambda: store.read(name),
            lambda: store.delete(name),
        ):
            with pytest.raises(StoreError):
                attempt()
        assert list(store.list()) == []
