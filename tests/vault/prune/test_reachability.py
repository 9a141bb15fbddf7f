"""What is alive, against plain sets."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from undivided.testing.vaults import stored_pack
from undivided.vault.index.index import ChunkIndex, IndexSegment
from undivided.vault.prune.reachability import PackUsage, pack_usage

SESSION = (b"s" * 16, b"k" * 80)
Frames = list[list[bytes]]


def _chunk(rng: random.Random) -> bytes:
    """Ids of which many are equal, and more share a prefix."""
    return bytes([rng.randrange(40)]) * 8 + bytes([rng.randrange(3)]) * 24


def _packs(rng: random.Random, count: int) -> dict[bytes, Frames]:
    return {
        rng.randbytes(32): [[_chunk(rng) for _ in range(rng.randint(1, 4))] for _ in range(rng.randint(1, 4))]
        for _ in range(count)
    }


def _segment(packs: dict[bytes, Frames]) -> IndexSegment:
    return IndexSegment.of([stored_pack(name, frames, 10, SESSION) for name, frames in packs.items()])


def _blocks(rng: random.Random, ids: list[bytes]) -> Iterator[np.ndarray]:
    while ids:
        size = rng.randint(1, 5)
        yield np.frombuffer(b"".join(ids[:size]), np.uint8)
        ids = ids[size:]


@pytest.mark.parametrize("seed", range(60))
def test_a_frame_lives_if_readers_look_in_it_for_a_chunk_that_is_referred_to(seed: int) -> None:
    rng = random.Random(seed)
    generations = [_packs(rng, rng.randint(1, 5)) for _ in range(rng.randint(1, 4))]
    names = [name for packs in generations for name in packs]
    bad = frozenset(name.hex() for name in names if rng.random() < 0.2)
    index = ChunkIndex([_segment(packs) for packs in generations], damaged=bad)
    referred = [_chunk(rng) for _ in range(rng.randint(0, 60))]
    found = pack_usage(index, _blocks(rng, referred), memory=8 * rng.choice([1, 3, 7, 1000]))

    prefixes = {chunk[:8] for chunk in referred}
    order = [
        (n, fs)
        for part in (False, True)
        for g in generations
        for n, fs in g.items()
        if (n.hex() in bad) == part
    ]
    where: dict[bytes, tuple[bytes, int]] = {}
    for name, frames in order:
        for number, frame in enumerate(frames):
            for chunk in frame:
                where.setdefault(chunk, (name, number))
    alive = {place for chunk, place in where.items() if chunk[:8] in prefixes}
    assert {where[chunk] for chunk in referred if chunk in where} <= alive

    flat = [
        (name, number)
        for packs in generations
        for name, frames in packs.items()
        for number in range(len(frames))
    ]
    assert [place for place, live in zip(flat, found.frames.tolist(), strict=True) if live] == [
        place for place in flat if place in alive
    ]
    bytes_of = {
        name.hex(): sum(len(frames[n]) * 10 + 16 for n in range(len(frames)) if (name, n) in alive)
        for packs in generations
        for name, frames in packs.items()
    }
    assert dict(zip(found.packs, found.live.tolist(), strict=True)) == bytes_of
    assert found.unused() == [name for name, live in bytes_of.items() if not live]
    rows = index.find(np.frombuffer(b"".join(referred), np.uint8))
    assert found.chunks[rows[rows >= 0]].all()


def test_a_pack_that_two_segments_list_is_as_alive_as_its_newer_listing() -> None:
    chunks = [[b"a" * 32], [b"b" * 32]]
    older, newer = _segment({b"p" * 32: chunks}), _segment({b"p" * 32: chunks, b"q" * 32: [[b"c" * 32]]})
    found = pack_usage(ChunkIndex([newer, older]), [np.frombuffer(b"a" * 32, np.uint8)])
    assert found.packs == [(b"p" * 32).hex(), (b"q" * 32).hex()]
    assert found.live.tolist() == [26, 0]
    assert found.unused() == [(b"q" * 32).hex()]


def test_nothing_referred_to_leaves_nothing_alive_and_nothing_is_no_error() -> None:
    index = ChunkIndex([_segment({b"p" * 32: [[b"a" * 32]]})])
    assert pack_usage(index, []).unused() == [(b"p" * 32).hex()]
    assert pack_usage(index, [np.zeros(0, np.uint8)]).unused() == [(b"p" * 32).hex()]
    empty = pack_usage(ChunkIndex([]), [np.frombuffer(b"a" * 32, np.uint8)])
    assert (empty.packs, empty.unused(), empty.worth_repacking(1.0, 10**9)) == ([], [], [])


def _usage(live: list[int], size: int = 100) -> PackUsage:
    none = np.zeros(0, np.bool_)
    names = [chr(ord("a") + i) for i in range(len(live))]
    sizes = np.full(len(live), size)
    return PackUsage(none, none, names, sizes, sizes, np.array(live))


def test_the_emptiest_packs_are_repacked_first_and_no_more_than_the_budget_is_copied() -> None:
    found = _usage([90, 30, 0, 10, 49, 50])
    assert found.worth_repacking(0.5, 1000) == ["d", "b", "e"]
    assert found.worth_repacking(0.5, 40) == ["d", "b"]
    assert found.worth_repacking(0.5, 39) == ["d"]
    assert found.worth_repacking(0.5, 0) == []
    assert found.worth_repacking(0.0, 1000) == []


def test_small_packs_are_put_together_once_they_are_many_and_after_the_emptiest() -> None:
    none = np.zeros(0, np.bool_)
    size = np.array([100, 10, 5, 20, 100])
    found = PackUsage(none, none, list("abcde"), size, size, np.array([100, 10, 5, 20, 30]))
    assert found.worth_repacking(0.5, 1000, small=50, many=3) == ["e", "c", "b", "d"]
    assert found.worth_repacking(0.5, 44, small=50, many=3) == ["e", "c"]
    assert found.worth_repacking(0.5, 1000, small=20, many=2) == ["e", "c", "b"]
    assert found.worth_repacking(0.5, 1000, small=50, many=4) == ["e"]
