"""Reachability: which chunks are referred to, hence which frames and packs must be kept.

An anti-join in columns: references come as blocks of ids in any order and any number, the chunks lie sorted
in the index. References are collected until they fill the allowed memory, as 8-byte prefixes, sorted and
without repetition; then every run of the index is compared with them. Two sorted columns are compared at the
speed of memory, and nothing is hashed or spilled.

It errs on one side only. Two ids with the same prefix keep each other's chunk needlessly; a chunk that is
referred to is never taken for unused. Of a chunk that is stored more than once, only the place where readers
find it is kept, and there the whole ids are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from ..format.index_segment import prefixes
from ..index.index import ChunkIndex

MEMORY = 128 << 20
"""Bytes of collected references."""
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class PackUsage:
    """Which parts of an index are live. chunks: bool per row; frames: bool per frame. Per pack, each name
    once, in order of the index: packs (hex), size (i8, of the object), filled and live (i8, stored bytes of
    its frames, and of the live ones)."""

    chunks: Array
    frames: Array
    packs: list[str]
    size: Array
    filled: Array
    live: Array

    def unused(self) -> list[str]:
        """The packs without a live chunk."""
        return [self.packs[i] for i in np.flatnonzero(self.live == 0).tolist()]

    def worth_repacking(self, below: float, budget: int, small: int = 0, many: int = 1) -> list[str]:
        """Packs worth merging into new ones, as long as at most `budget` live bytes are copied: those whose
        live fraction is below `below`, the cheapest per freed byte first; then the small ones, of less than
        `small` bytes, if there are `many`: fewer would soon be repacked again."""
        fraction = self.live / np.maximum(self.filled, 1)
        sparse = np.flatnonzero((self.live > 0) & (fraction < below))
        sparse = sparse[np.argsort(fraction[sparse], kind="stable")]
        crowd = np.flatnonzero((self.live > 0) & (fraction >= below) & (self.size < small))
        crowd = crowd[np.argsort(self.size[crowd], kind="stable")] if len(crowd) >= many else crowd[:0]
        chosen = np.concatenate([sparse, crowd])
        chosen = chosen[np.cumsum(self.live[chosen]) <= budget]
        return [self.packs[i] for i in chosen.tolist()]


def pack_usage(index: ChunkIndex, references: Iterable[Array], memory: int = MEMORY) -> PackUsage:
    """references: blocks of ids, u1[32n] each, flat."""
    chunks = live_chunks(index, references, memory)
    frames = np.zeros(index.frame_count, np.bool_)
    for run in index.runs:
        own = chunks[run.first : run.first + len(run.prefix)]
        frames[run.frame[own].astype(np.int64) + run.first_frame] = True
    # A pack may be listed twice: two commits at the same time may merge the same segment.
    number: dict[str, int] = {}
    listed = np.array([number.setdefault(name, len(number)) for name in index.packs], np.int64)
    size, filled, live = (np.zeros(len(number), np.int64) for _ in range(3))
    size[listed] = index.sizes
    filled[listed] = _per_pack(index, np.arange(index.frame_count))
    np.add.at(live, listed, _per_pack(index, np.flatnonzero(frames)))
    return PackUsage(chunks, frames, list(number), size, filled, live)


def _per_pack(index: ChunkIndex, frames: Array) -> Array:
    """Stored bytes of these frames in each pack, i8."""
    stored = np.zeros(len(index.packs), np.int64)
    if len(frames):
        np.add.at(stored, index.pack_of(frames), index.stored[frames].astype(np.int64))
    return stored


def live_chunks(index: ChunkIndex, references: Iterable[Array], memory: int = MEMORY) -> Array:
    """bool per row of the index."""
    live = np.zeros(len(index), np.bool_)
    for block in _sorted(references, max(1, memory // 8)):
        for run in index.runs:
            for start in range(0, len(run.prefix), _AT_ONCE):
                part = run.prefix[start : start + _AT_ONCE]
                at = np.searchsorted(block, part)
                at[at == len(block)] = 0
                live[run.first + start : run.first + start + len(part)] |= block[at] == part
    _only_where_found(index, live)
    return live


def _sorted(references: Iterable[Array], room: int) -> Iterator[Array]:
    """The references' prefixes, sorted, in blocks of at most `room`. A block ends only when it is mostly full
    of different ones: references that repeat cost nothing."""
    gathered = np.empty(room, np.uint64)
    used = 0
    for ids in references:
        rest = ids.reshape(-1, CHUNK_ID_BYTES)
        while len(rest):
            part = rest[: room - used]
            gathered[used : used + len(part)] = prefixes(part)
            used, rest = used + len(part), rest[len(part) :]
            if used == room:
                used = _distinct(gathered)
                if used * 4 > room * 3:
                    yield gathered[:used]
                    used = 0
    if used:
        used = _distinct(gathered[:used])
        yield gathered[:used]


def _distinct(values: Array) -> int:
    """Sorts in place and moves the different values to the front. How many they are."""
    values.sort()
    new = np.flatnonzero(values[1:] != values[:-1]) + 1
    values[1 : len(new) + 1] = values[new]
    return len(new) + 1


def _only_where_found(index: ChunkIndex, live: Array) -> None:
    """Clears the rows of a chunk in which a reader would not look for it."""
    for repeated in _repeated(index):
        for run in index.runs:
            first = np.searchsorted(run.prefix, repeated)
            counts = np.searchsorted(run.prefix, repeated, side="right") - first
            rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
            rows = rows[live[rows + run.first]]
            if len(rows):
                live[rows + run.first] = index.find(run.ids(rows).ravel()) == rows + run.first


def _repeated(index: ChunkIndex) -> Iterator[Array]:
    """The prefixes of more than one row, sorted, one range of prefixes at a time."""
    parts = 1 + len(index) // _AT_ONCE
    bounds = [(part << 64) // parts for part in range(1, parts)]
    places = [
        [0, *np.searchsorted(run.prefix, np.array(bounds, np.uint64)).tolist(), len(run.prefix)]
        for run in index.runs
    ]
    for part in range(parts if index.runs else 0):
        among = np.concatenate(
            [run.prefix[at[part] : at[part + 1]] for run, at in zip(index.runs, places, strict=True)]
        )
        among.sort()
        again = among[1:][among[1:] == among[:-1]]
        if len(again):
            yield np.unique(again)
