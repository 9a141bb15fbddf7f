"""The index in memory against a plain dictionary."""

from __future__ import annotations

import random

import numpy as np

from undivided.vault.index import Index, Segment
from undivided.vault.table import Table

SESSION = (b"s" * 16, b"k" * 80)


def _segment(packs: dict[bytes, list[list[bytes]]], length: int = 10) -> Segment:
    """packs: name → frames → chunk ids, every chunk of the same length."""
    frames = [f for fs in packs.values() for f in fs]
    sizes = [len(f) * length for f in frames]
    return Segment(
        pack=np.frombuffer(b"".join(packs), np.uint8),
        size=np.full(len(packs), 1000, "<u8"),
        frames=np.array([len(fs) for fs in packs.values()], "<u4"),
        session=np.zeros(len(packs), "<u2"),
        sessions=[SESSION],
        table=Table(
            stored=np.array([s + 16 for s in sizes], "<u4"),
            plain=np.array(sizes, "<u4"),
            codec=np.zeros(len(frames), "u1"),
            counter=np.arange(len(frames), dtype="<u8"),
            chunks=np.array([len(f) for f in frames], "<u4"),
            id=np.frombuffer(b"".join(c for f in frames for c in f), np.uint8),
            length=np.full(sum(map(len, frames)), length, "<u4"),
        ),
    )


def _flat(ids: list[bytes]) -> np.ndarray:  # type: ignore[type-arg]
    return np.frombuffer(b"".join(ids), np.uint8)


def test_every_chunk_is_found_where_it_lies_and_no_other() -> None:
    rng = random.Random(1)
    frames = [[rng.randbytes(32) for _ in range(rng.randint(1, 5))] for _ in range(40)]
    index = Index([_segment({b"a" * 32: frames[:15], b"b" * 32: frames[15:40]})])
    strangers = [rng.randbytes(32) for _ in range(50)]
    assert (index.find(_flat(strangers)) == -1).all()
    for number, frame in enumerate(frames):
        rows = index.find(_flat(frame))
        assert index.frame[rows].tolist() == [number] * len(frame)
        assert index.offset[rows].tolist() == [10 * i for i in range(len(frame))]
        place = index.place(number)
        assert place.pack == (b"a" if number < 15 else b"b").hex() * 32
        start = 0 if number < 15 else 15
        assert place.offset == sum(10 * len(f) + 16 for f in frames[start:number])
        assert (place.session, place.sealed_key) == SESSION


def test_ids_that_share_their_first_bytes_are_told_apart() -> None:
    ids = [b"\xff" * 8 + bytes([i]) * 24 for i in range(20)]
    index = Index([_segment({b"a" * 32: [ids[:19]]})])
    rows = index.find(_flat(ids))
    assert index.offset[rows[:19]].tolist() == [10 * i for i in range(19)]
    assert rows[19] == -1


def test_a_chunk_stored_twice_is_found_in_its_newest_usable_place() -> None:
    chunk = b"c" * 32
    old, new = _segment({b"o" * 32: [[chunk]]}), _segment({b"n" * 32: [[chunk]]})
    o, n = (b"o" * 32).hex(), (b"n" * 32).hex()

    def where(index: Index) -> list[str]:
        rows = index.find(_flat([chunk]))
        return [index.place(int(index.frame[r])).pack for r in rows if r >= 0]

    assert where(Index([new, old])) == [n]
    assert where(Index([new, old], unusable=frozenset([n]))) == [o]
    assert where(Index([new, old], doubtful=frozenset([n]))) == [o]
    assert where(Index([new], doubtful=frozenset([n]))) == [n]
    assert where(Index([new, old], unusable=frozenset([n, o]))) == []


def test_an_empty_index_knows_nothing() -> None:
    assert Index([]).find(_flat([b"x" * 32])).tolist() == [-1]
    assert Index([]).find(np.zeros(0, np.uint8)).tolist() == []
