"""Frames move as ciphertext, and everything alive opens from where it went."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np
from blake3 import blake3

from undivided.testing.vaults import protect
from undivided.vault.crypto.aead import Sealer
from undivided.vault.format import pack as packs
from undivided.vault.format.frames import FrameDecoder
from undivided.vault.format.index_segment import StoredPack, segments_of
from undivided.vault.format.pack import open_footer
from undivided.vault.index.index import ChunkIndex
from undivided.vault.index.load import load_index
from undivided.vault.prune.reachability import pack_usage
from undivided.vault.prune.repack import Repacking
from undivided.vault.read.histories import ContentKeys
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault


def _repacking(store: MemoryStore, vault: Vault) -> Repacking:
    session = vault.keys.new_session()
    sealer = Sealer(vault.keys.structure, vault.keys.vault_bytes, session, packs.PURPOSE)
    return Repacking(store, session, sealer, lambda name, *parts: store.create(name, parts))


def _filled(vault: Vault, points: int = 4) -> list[bytes]:
    """Points of their own session each, with one incompressible 1 MiB file per frame. The first chunk ids of
    each file that must live: every third file."""
    kept = []
    for point in range(points):
        files = {b"%d" % i: os.urandom(1 << 20) for i in range(6)}
        entry = protect(vault, f"p{point}", files, timeline=f"t{point}")
        state = vault.reader().state(f"t{point}", entry.number)
        kept += [chunk for row in range(0, 6, 3) for chunk in state.chunks(row)]
    return kept


def _opened(vault: Vault, data: bytes) -> set[bytes]:
    """The ids of the chunks in a pack, from their bytes. Every frame must open."""
    contents, decoder = ContentKeys(vault.keys, vault.private_keys), FrameDecoder()
    footer = open_footer(vault.keys, data, "it")
    table, ids, at, chunk = footer.header, set(), 0, 0
    for frame, stored in enumerate(table.stored.tolist()):
        session, sealed_key = footer.sessions[int(table.session[frame])]
        opener = contents.frames(session, sealed_key, "it")
        sealed = memoryview(data)[at : at + stored]
        codec, counter = int(table.codec[frame]), int(table.counter[frame])
        plain = decoder.decode(opener, session, counter, codec, sealed, int(table.plain[frame]), "it")
        for length in table.length[chunk : chunk + int(table.chunks[frame])].tolist():
            ids.add(blake3(plain[:length], key=vault.keys.id).digest())
            plain = plain[length:]
        at, chunk = at + stored, chunk + int(table.chunks[frame])
    assert b"".join(sorted(ids)) == b"".join(sorted(i.tobytes() for i in table.id.reshape(-1, 32)))
    return ids


def _without(index: ChunkIndex, gone: Collection[str]) -> list[StoredPack]:
    """The packs that are left."""
    return [pack for segment in index.segments for pack in segment.packs() if pack.name not in gone]


def test_what_lives_moves_from_many_packs_into_few_and_opens_there(store: MemoryStore, vault: Vault) -> None:
    kept = _filled(vault)
    index = load_index(store, vault.keys, vault.commits)
    references = np.frombuffer(b"".join(kept), np.uint8)
    found = pack_usage(index, [references])
    chosen = found.worth_repacking(0.6, 1 << 40)
    assert len(chosen) == 4
    work = _repacking(store, vault)
    new = list(work.run(index, chosen, found.frames))
    assert len(new) == 1
    assert sorted(work.repacked) == sorted(chosen)
    assert work.left == {}
    assert len(new[0].sessions) == 4

    data = bytes(store.read(packs.name_of(new[0].name)))
    assert len(data) == new[0].size
    assert open_footer(vault.keys, data, "it").session not in dict(new[0].sessions)
    assert set(kept) <= _opened(vault, data)

    after = ChunkIndex(list(segments_of([*new, *_without(index, work.repacked)])))
    assert list(after.packs) == [new[0].name]
    assert (after.find(references) >= 0).all()
    again = pack_usage(after, [references])
    assert (again.unused(), again.worth_repacking(0.6, 1 << 40)) == ([], [])


def test_a_rotten_pack_stays_where_it_is_and_the_others_move(store: MemoryStore, vault: Vault) -> None:
    kept = _filled(vault, points=2)
    index = load_index(store, vault.keys, vault.commits)
    found = pack_usage(index, [np.frombuffer(b"".join(kept), np.uint8)])
    rotten, gone, *_ = found.packs
    whole = bytes(store.objects[packs.name_of(rotten)])
    store.objects[packs.name_of(rotten)] = whole[:5] + bytes([whole[5] ^ 1]) + whole[6:]
    work = _repacking(store, vault)
    assert len(list(work.run(index, found.packs, found.frames))) == 1
    assert list(work.left) == [rotten]
    assert "SHA-256" in work.left[rotten].cause
    assert work.repacked == [gone]
    del store.objects[packs.name_of(gone)]
    work = _repacking(store, vault)
    assert list(work.run(index, found.packs, found.frames)) == []
    assert (sorted(work.left), work.repacked) == (sorted([rotten, gone]), [])


def test_a_run_cut_short_has_moved_exactly_what_it_stored(store: MemoryStore, vault: Vault) -> None:
    _filled(vault, points=7)
    index = load_index(store, vault.keys, vault.commits)
    everything = np.concatenate(list(index.ids())).ravel()
    found = pack_usage(index, [everything])
    work = _repacking(store, vault)
    stored: list[StoredPack] = []
    for pack in work.run(index, found.packs, found.frames):
        stored.append(pack)
        break
    assert 0 < len(work.repacked) < len(found.packs)
    there = {chunk.tobytes() for pack in stored for chunk in pack.header.id.reshape(-1, 32)}
    for segment in index.segments:
        for pack in segment.packs():
            if pack.name in work.repacked:
                assert {chunk.tobytes() for chunk in pack.header.id.reshape(-1, 32)} <= there
    rest = [name for name in found.packs if name not in work.repacked]
    more = list(_repacking(store, vault).run(index, rest, found.frames))
    after = ChunkIndex(list(segments_of([*stored, *more, *_without(index, found.packs)])))
    assert (after.find(everything) >= 0).all()


def test_packs_without_anything_alive_are_not_even_read(store: MemoryStore, vault: Vault) -> None:
    _filled(vault, points=1)
    index = load_index(store, vault.keys, vault.commits)
    found = pack_usage(index, [])
    work = _repacking(store, vault)
    store.objects = {name: data for name, data in store.objects.items() if not name.startswith("packs/")}
    assert list(work.run(index, found.packs, found.frames)) == []
    assert (work.repacked, work.left) == ([], {})
