"""The index in memory, compared with a plain dictionary."""

from __future__ import annotations

import random

import numpy as np
import pytest

from undivided.model.errors import DamageError
from undivided.testing.vaults import stored_pack
from undivided.vault.crypto.aead import Sealer
from undivided.vault.crypto.keys import new_keys
from undivided.vault.format import index_segment as segments
from undivided.vault.index.index import ChunkIndex, IndexSegment

SESSION = (b"s" * 16, b"k" * 80)
Packs = dict[bytes, list[list[bytes]]]


def _segment(packs: Packs, length: int = 10) -> IndexSegment:
    """packs: name → frames → chunk ids, every chunk of the same length."""
    return IndexSegment.of([stored_pack(name, frames, length, SESSION) for name, frames in packs.items()])


def _flat(ids: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(ids), np.uint8)


def test_every_chunk_is_found_in_its_place_and_no_other_one() -> None:
    rng = random.Random(1)
    frames = [[rng.randbytes(32) for _ in range(rng.randint(1, 5))] for _ in range(40)]
    cut = [_segment({b"a" * 32: frames[:15]}), _segment({b"b" * 32: frames[15:40]})]
    whole = [_segment({b"a" * 32: frames[:15], b"b" * 32: frames[15:40]})]
    for index in (ChunkIndex(cut), ChunkIndex(whole), ChunkIndex([IndexSegment.merge(cut)])):
        assert len(index) == sum(map(len, frames))
        strangers = [rng.randbytes(32) for _ in range(50)]
        assert (index.find(_flat(strangers)) == -1).all()
        for number, frame in enumerate(frames):
            rows = index.find(_flat(frame))
            assert index.frame[rows].tolist() == [number] * len(frame)
            assert index.offset[rows].tolist() == [10 * i for i in range(len(frame))]
            assert [index.length[int(row)] for row in rows] == [10] * len(frame)
            place = index.place(number)
            assert place.pack == (b"a" if number < 15 else b"b").hex() * 32
            assert index.packs[int(index.pack_of(np.array([number]))[0])] == place.pack
            start = 0 if number < 15 else 15
            assert place.offset == sum(10 * len(f) + 16 for f in frames[start:number])
            assert (place.session, place.sealed_key) == SESSION
        everything = np.concatenate(list(index.ids()))
        assert index.find(everything.ravel()).tolist() == list(range(len(index)))


def test_ids_with_the_same_first_bytes_are_distinguished() -> None:
    ids = [b"\xff" * 8 + bytes([i]) * 24 for i in range(20)]
    index = ChunkIndex([_segment({b"a" * 32: [ids[:9]]}), _segment({b"b" * 32: [ids[9:19]]})])
    rows = index.find(_flat(ids))
    assert index.offset[rows[:9]].tolist() == [10 * i for i in range(9)]
    assert index.offset[rows[9:19]].tolist() == [10 * i for i in range(10)]
    assert rows[19] == -1


def test_a_chunk_stored_twice_is_found_in_its_newest_usable_place() -> None:
    chunk = b"c" * 32
    old, new = _segment({b"o" * 32: [[chunk]]}), _segment({b"n" * 32: [[chunk]]})
    o, n = (b"o" * 32).hex(), (b"n" * 32).hex()

    def where(index: ChunkIndex) -> list[str]:
        rows = index.find(_flat([chunk]))
        return [index.place(int(index.frame[int(r)])).pack for r in rows if r >= 0]

    for both in ([new, old], [IndexSegment.merge([new, old])]):
        assert where(ChunkIndex(both)) == [n]
        assert where(ChunkIndex(both, unusable=frozenset([n]))) == [o]
        assert where(ChunkIndex(both, damaged=frozenset([n]))) == [o]
        assert where(ChunkIndex(both, unusable=frozenset([o]), damaged=frozenset([o, n]))) == [n]
        assert where(ChunkIndex(both, unusable=frozenset([n, o]))) == []
    assert where(ChunkIndex([new], damaged=frozenset([n]))) == [n]


def test_an_empty_index_finds_nothing() -> None:
    assert ChunkIndex([]).find(_flat([b"x" * 32])).tolist() == [-1]
    assert ChunkIndex([]).find(np.zeros(0, np.uint8)).tolist() == []
    assert len(ChunkIndex([])) == 0
    assert list(ChunkIndex([]).ids()) == []


def _random_packs(rng: random.Random, count: int, prefix: bytes) -> Packs:
    return {
        prefix + rng.randbytes(31): [
            [rng.randbytes(32) for _ in range(rng.randint(1, 6))] for _ in range(rng.randint(1, 4))
        ]
        for _ in range(count)
    }


def test_a_segment_returns_the_pack_headers_it_was_made_of() -> None:
    rng = random.Random(3)
    packs = [_random_packs(rng, 5, b"a"), _random_packs(rng, 4, b"b")]
    given = [
        stored_pack(name, frames, 7, (bytes([i]) * 16, b"k" * 80))
        for i, part in enumerate(packs)
        for name, frames in part.items()
    ]
    split = IndexSegment.merge([IndexSegment.of(given[:5]), IndexSegment.of(given[5:])])
    for segment in (IndexSegment.of(given), split):
        for expected, found in zip(given, segment.packs(), strict=True):
            assert (found.name, found.size, found.sessions) == (
                expected.name,
                expected.size,
                expected.sessions,
            )
            for name, column in expected.header.columns().items():
                assert np.array_equal(column, found.header.columns()[name]), name  # type: ignore[arg-type]


def test_only_the_chosen_packs_remain_and_their_chunks_are_found_as_before() -> None:
    rng = random.Random(4)
    packs = _random_packs(rng, 8, b"p")
    chosen = np.array([i % 3 == 0 for i in range(8)])
    index = ChunkIndex([_segment(packs).only(chosen)])
    for keep, (name, frames) in zip(chosen.tolist(), packs.items(), strict=True):
        for frame in frames:
            rows = index.find(_flat(frame))
            assert ((rows >= 0) == keep).all()
            if keep:
                assert index.place(int(index.frame[rows][0])).pack == name.hex()
                assert index.offset[rows].tolist() == [10 * i for i in range(len(frame))]


def test_many_packs_are_split_into_segments_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_CHUNKS", 30)
    rng = random.Random(5)
    packs = [stored_pack(n, f, 10, SESSION) for n, f in _random_packs(rng, 20, b"p").items()]
    split = list(segments.segments_of(packs))
    assert len(split) > 2
    assert all(len(s) <= 30 for s in split)
    assert [n for s in split for n in s.names()] == [p.name for p in packs]
    assert list(segments.segments_of([])) == []


def test_a_segment_with_inconsistent_columns_is_damage() -> None:
    keys, _ = new_keys()
    good = _segment(_random_packs(random.Random(6), 3, b"p"))
    sealer = Sealer(keys.structure, keys.vault_bytes, bytes(16), segments.PURPOSE)

    def stored(**columns: object) -> bytes:
        made = IndexSegment(**{**good.__dict__, **columns})
        return bytes(made.seal(sealer, bytes(16)))

    assert IndexSegment.open(keys, stored(), "it").names() == good.names()
    for wrong in (
        {"prefix": good.prefix[::-1]},
        {"frame": good.frame + np.uint32(100)},
        {"session": good.session + np.uint16(1)},
        {"frames": good.frames + np.uint32(1)},
        {"suffix": good.suffix[:-1]},
        {"length": good.length.astype("<u8")},
        {"size": good.size[:-1]},
        {"stored": good.stored[:-1]},
    ):
        with pytest.raises(DamageError, match="it is damaged"):
            IndexSegment.open(keys, stored(**wrong), "it")
