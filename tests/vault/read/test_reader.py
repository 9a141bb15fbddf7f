"""Readers: bulk and single reading agree, and errors name what is wrong."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from undivided.model.entries import Layout
from undivided.model.errors import DamageError
from undivided.testing.vaults import TIMELINE, contents, contents_one_by_one, protect
from undivided.vault.damage import mark_damaged
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault


def test_thousands_of_files_of_all_sizes_come_back_both_ways(vault: Vault) -> None:
    rng = random.Random(3)
    sizes = [int(10 ** rng.uniform(0, 5)) for _ in range(2000)] + [0, 300_000, 1_200_000, 9_000_000]
    files = {b"d/%d" % i: rng.randbytes(size // 2) + bytes(size - size // 2) for i, size in enumerate(sizes)}
    entry = protect(vault, "p1", files)
    assert contents(vault, entry.number) == dict(sorted(files.items()))
    assert contents_one_by_one(vault, entry.number) == dict(sorted(files.items()))


def test_a_chunk_of_many_rows_reaches_each_of_them(vault: Vault) -> None:
    block = os.urandom(65536)
    files = {b"a": block * 20, b"b": b"x" * 65536 + block, b"c": block}
    assert contents(vault, protect(vault, "p1", files, layout=Layout.BLOCKS).number) == files


def test_only_the_rows_asked_for_are_given(vault: Vault) -> None:
    files = {b"f%03d" % i: os.urandom(1000 + i) for i in range(200)}
    entry = protect(vault, "p1", files)
    reader = vault.reader()
    state = reader.state(TIMELINE, entry.number)
    got: dict[int, bytes] = {}
    reader.bulk_restore(
        state.content, np.array([150, 3, 77]), lambda row, at, data: got.update({row: bytes(data)})
    )
    assert got == {i: files[b"f%03d" % i] for i in (3, 77, 150)}
    reader.bulk_restore(state.content, np.zeros(0, np.int64), lambda row, at, data: got.clear())
    assert len(got) == 3


def test_lengths_are_known_without_reading_data(store: MemoryStore, vault: Vault) -> None:
    entry = protect(
        vault, "p1", {b"a": bytes(100), b"b": b"", b"c": os.urandom(200_000)}, layout=Layout.BLOCKS
    )
    reader = vault.reader()
    content = reader.state(TIMELINE, entry.number).content
    assert reader.lengths(content).tolist() == [100, 65536, 65536, 65536, 200_000 - 3 * 65536]


def test_an_error_in_a_writer_of_files_is_raised_as_it_is(vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": os.urandom(5_000_000)})
    reader = vault.reader()
    state = reader.state(TIMELINE, entry.number)

    def write(row: int, at: int, data: memoryview) -> None:
        raise PermissionError("read-only target")

    with pytest.raises(PermissionError, match="read-only target"):
        reader.bulk_restore(state.content, np.arange(1), write)


def test_a_missing_pack_is_named(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": os.urandom(5000)})
    (pack,) = [n for n in store.objects if n.startswith("packs/")]
    store.delete(pack)
    for read in (contents, contents_one_by_one):
        with pytest.raises(DamageError, match=pack):
            read(vault, entry.number)


def elsewhere(store: MemoryStore) -> Vault:
    """The vault as another program has it open."""
    return Vault.open(store, passphrase=lambda: "correct horse")


def packs_of(store: MemoryStore) -> list[str]:
    return [name for name in store.objects if name.startswith("packs/")]


def move(store: MemoryStore, files: dict[bytes, bytes]) -> None:
    """The files get into other packs, and those that held them go."""
    old, other = packs_of(store), elsewhere(store)
    mark_damaged(other, [name.rpartition("/")[2] for name in old])
    protect(other, "again", files)
    for name in old:
        store.delete(name)


def test_what_has_moved_to_another_pack_is_found_there(store: MemoryStore, vault: Vault) -> None:
    files = {b"a": os.urandom(5000), b"b": os.urandom(3_000_000), b"c": os.urandom(70_000)}
    entry = protect(vault, "p1", files)
    reader = vault.reader()
    state = reader.state(TIMELINE, entry.number)
    paths = state.path.tolist()
    chunks = reader.read(state.chunks(paths.index(b"b")))
    first = next(chunks)
    move(store, files)
    assert first + b"".join(chunks) == files[b"b"]

    move(store, files)
    got = {path: bytearray(len(data)) for path, data in files.items()}
    reported: list[int] = []

    def write(row: int, at: int, data: memoryview) -> None:
        got[paths[row]][at : at + len(data)] = data

    reader.bulk_restore(state.content, np.arange(len(state)), write, reported.append)
    assert got == files
    assert sum(reported) == sum(map(len, files.values()))


def test_a_pack_that_went_with_what_lived_in_it_is_damage(store: MemoryStore, vault: Vault) -> None:
    entry = protect(vault, "p1", {b"a": os.urandom(5000)})
    (pack,) = packs_of(store)
    reader = vault.reader()
    state = reader.state(TIMELINE, entry.number)
    reader.lengths(state.content)  # it knows the index from here on
    store.delete(pack)
    protect(elsewhere(store), "p2", {b"b": os.urandom(5000)})  # a newer index, which knows no better
    with pytest.raises(DamageError, match=f"{pack} is missing"):
        list(reader.read(state.chunks(0)))
    protect(elsewhere(store), "p3", {b"b": os.urandom(5000)})
    with pytest.raises(DamageError, match=f"{pack} is missing"):
        reader.bulk_restore(state.content, np.arange(1), lambda row, at, data: None)


def test_the_history_has_what_each_commit_did(vault: Vault) -> None:
    protect(vault, "p1", {b"a": b"1"})
    protect(vault, "p2", {})
    protect(vault, "p3", {b"b": b"2"}, [b"a"])
    reported = [
        (e.body["point"]["id"], s.puts.path.tolist(), s.tombstones.tolist())
        for e, s in vault.reader().history(TIMELINE)
    ]
    assert reported == [("p1", [b"a"], []), ("p3", [b"b"], [b"a"])]


def test_a_reader_sees_what_was_committed_after_it_was_made(store: MemoryStore, vault: Vault) -> None:
    reader = vault.reader()
    one = protect(vault, "p1", {b"a": b"1"})
    assert reader.state(TIMELINE, one.number).path.tolist() == [b"a"]
    two = protect(vault, "p2", {b"b": b"2"})
    state = reader.state(TIMELINE, two.number)
    assert b"".join(reader.read(state.chunks(1))) == b"2"
