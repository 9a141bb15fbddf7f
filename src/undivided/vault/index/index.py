"""The index in memory: in which pack, frame and place each chunk lies.

The segments stay separate, as they were stored (vault/format/index_segment.py), sorted by the first 8 bytes
of the ids. Their number is logarithmic, or one per two million chunks. A lookup takes many ids at once and
searches the segments from the newest to the oldest, so a chunk that is stored twice is found in its newest
place: this is how a new upload replaces chunks in a damaged pack. Nothing is built at opening.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from ..format.index_segment import (
    MAGIC,
    PREFIX_BYTES,
    PURPOSE,
    SUFFIX_BYTES,
    IndexSegment,
    SortedIds,
    StoredPack,
    name_of,
    prefixes,
    segments_of,
)
from .concatenated import ConcatenatedArray

__all__ = [
    "MAGIC",
    "PURPOSE",
    "ChunkIndex",
    "IndexSegment",
    "Place",
    "StoredPack",
    "name_of",
    "segments_of",
]


@dataclass(frozen=True)
class Place:
    """A frame: where it lies, and what is needed to open it."""

    pack: str
    offset: int
    stored: int
    plain: int
    codec: int
    counter: int
    session: bytes
    sealed_key: bytes


@dataclass(frozen=True)
class Run:
    """Rows of one segment, sorted by prefix. first, first_frame: the numbers of the first row and the first
    frame in the whole index."""

    first: int
    first_frame: int
    id: SortedIds
    frame: Array
    offset: Array
    length: Array

    @property
    def prefix(self) -> Array:
        return self.id.prefix

    def ids(self, rows: Array | slice) -> Array:
        """u1[n,32]. rows: within the run."""
        prefix = self.prefix[rows].astype(">u8").view(np.uint8).reshape(-1, PREFIX_BYTES)
        return np.concatenate([prefix, self.id.suffix[rows].view(np.uint8).reshape(-1, SUFFIX_BYTES)], axis=1)


class PackNames(Sequence[str]):
    """Hex digests, made on demand: as strings they would take more memory than the rows of their chunks."""

    def __init__(self, names: Sequence[Array]) -> None:
        self._names = [part.reshape(-1, 32) for part in names]
        self._firsts = np.cumsum([0, *(len(part) for part in self._names)]).tolist()

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        part = bisect_right(self._firsts, number) - 1
        name: bytes = self._names[part][number - self._firsts[part]].tobytes()
        return name.hex()


class FrameOffsets:
    """Where each frame begins in its pack, summed up on demand: stored, it would cost a byte a chunk."""

    def __init__(self, stored: Sequence[Array], first_frames: Array, packs: Array) -> None:
        """stored: per segment, the stored bytes of its frames; first_frames: per segment, the number of its
        first frame; packs: per pack, the number of its first frame."""
        self._stored, self._first_frames, self._packs = stored, first_frames, packs

    @overload
    def __getitem__(self, frames: int) -> int: ...
    @overload
    def __getitem__(self, frames: Array) -> Array: ...
    def __getitem__(self, frames: int | Array) -> int | Array:
        if not isinstance(frames, np.ndarray):
            return int(self[np.array([frames])][0])
        offsets = np.empty(len(frames), np.int64)
        begin = self._packs[np.searchsorted(self._packs, frames, side="right") - 1]
        segment = np.searchsorted(self._first_frames, frames, side="right") - 1
        for number in np.flatnonzero(np.bincount(segment)).tolist():
            own = segment == number
            low, high = int(begin[own].min()), int(frames[own].max())
            base = int(self._first_frames[number])
            sums = np.zeros(high - low + 1, np.int64)
            np.cumsum(self._stored[number][low - base : high - base], out=sums[1:])
            offsets[own] = sums[frames[own] - low] - sums[begin[own] - low]
        return offsets


class ChunkIndex:
    """Segments for lookup. Immutable, hence thread-safe.

    Rows are chunks; rows, frames and packs are numbered through all segments. Per row: frame, offset (in the
    frame), length; per frame: stored, plain, frame_offset (in the pack); each is indexed by one number or an
    array of them. Per pack: packs (hex digests), sizes. About 50 bytes a chunk.
    """

    def __init__(
        self,
        segments: Iterable[IndexSegment],
        unusable: frozenset[str] = frozenset(),
        damaged: frozenset[str] = frozenset(),
        names: Sequence[str] = (),
    ) -> None:
        """segments: newest first. unusable: packs (hex digests) whose chunks are left out; damaged: packs
        that are the last choice. names: of the segments, if they are stored."""
        self.segments = list(segments)
        self.names = list(names)
        self.packs = PackNames([s.pack for s in self.segments])
        self.sizes = np.concatenate([np.zeros(0, "<u8"), *(s.size for s in self.segments)])
        frames = np.concatenate([np.zeros(0, "<u4"), *(s.frames for s in self.segments)])
        self._first_frame_of_pack = np.cumsum(frames, dtype=np.int64) - frames
        firsts = np.cumsum([0, *(len(s.stored) for s in self.segments)]).tolist()
        self.frame_count = int(firsts[-1])
        self._first_frames: list[int] = firsts[:-1]
        self.stored = ConcatenatedArray([s.stored for s in self.segments])
        self.plain = ConcatenatedArray([s.plain for s in self.segments])
        self.frame_offset = FrameOffsets(
            [s.stored for s in self.segments], np.array(firsts[:-1], np.int64), self._first_frame_of_pack
        )

        self.runs: list[Run] = []
        self._add(firsts, [self._rows(s, unusable | damaged, outside=True) for s in self.segments])
        if damaged:
            self._add(firsts, [self._rows(s, damaged - unusable, outside=False) for s in self.segments])
        bases = [run.first_frame for run in self.runs]
        self.frame = ConcatenatedArray([run.frame for run in self.runs], bases)
        self.offset = ConcatenatedArray([run.offset for run in self.runs])
        self.length = ConcatenatedArray([run.length for run in self.runs])

    def __len__(self) -> int:
        return len(self.frame) if self.runs else 0

    def _rows(self, segment: IndexSegment, packs: frozenset[str], *, outside: bool) -> Array | None:
        """The segment's rows inside or outside these packs; None for all rows."""
        within = np.array([name in packs for name in segment.names()], np.bool_) if packs else None
        if within is None or not within.any():
            return None if outside else np.zeros(0, np.int64)
        chosen: Array = np.repeat(within != outside, segment.frames)[segment.frame]
        return np.flatnonzero(chosen)

    def _add(self, first_frames: list[int], chosen: list[Array | None]) -> None:
        for segment, first_frame, rows in zip(self.segments, first_frames[:-1], chosen, strict=True):
            own: Array | slice = slice(None) if rows is None else rows
            prefix = segment.prefix[own]
            if not len(prefix):
                continue
            self.runs.append(
                Run(
                    first=self.runs[-1].first + len(self.runs[-1].prefix) if self.runs else 0,
                    first_frame=first_frame,
                    id=SortedIds(prefix, segment.suffix.reshape(-1, SUFFIX_BYTES)[own].view(np.uint64)),
                    frame=segment.frame[own],
                    offset=segment.offset[own],
                    length=segment.length[own],
                )
            )

    def find(self, ids: Array) -> Array:
        """ids: u1[32n], flat. The row of each, i8[n], -1 for an unknown id."""
        wanted = np.ascontiguousarray(ids).reshape(-1, CHUNK_ID_BYTES)
        found = np.full(len(wanted), -1, np.int64)
        prefix, words = prefixes(wanted), wanted.view(np.uint64)
        # In sorted order each search ends near the last one: many at once then cost a tenth.
        pending = np.argsort(prefix)
        for number, run in enumerate(self.runs):
            if number:
                pending = pending[found[pending] < 0]
            if not len(pending):
                break
            which, rows = run.id.find(prefix, words, pending)
            found[which] = rows + run.first
        return found

    def pack_of(self, frames: Array) -> Array:
        """The number of the pack of each frame."""
        packs: Array = np.searchsorted(self._first_frame_of_pack, frames, side="right") - 1
        return packs

    def place(self, frame: int) -> Place:
        number = bisect_right(self._first_frames, frame) - 1
        segment, base = self.segments[number], self._first_frames[number]
        local = frame - base
        session, sealed_key = segment.sessions[int(segment.session[local])]
        pack = int(np.searchsorted(self._first_frame_of_pack, frame, side="right")) - 1
        before = segment.stored[int(self._first_frame_of_pack[pack]) - base : local]
        return Place(
            pack=self.packs[pack],
            offset=int(before.sum(dtype=np.int64)),
            stored=int(segment.stored[local]),
            plain=int(segment.plain[local]),
            codec=int(segment.codec[local]),
            counter=int(segment.counter[local]),
            session=session,
            sealed_key=sealed_key,
        )

    def ids(self) -> Iterator[Array]:
        """Blocks of u1[n,32], in order of rows."""
        for run in self.runs:
            yield run.ids(slice(None))
