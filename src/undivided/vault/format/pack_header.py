"""The pack header: a pack's frames and chunks, in columns. It is sealed as the footer of the pack.

Per frame, in the order in which they lie in the pack without gaps:
    stored u4   bytes in the pack, tag included        plain u4    bytes after decompression
    codec u1    0 raw, 1 zstd                          counter u8  the nonce
    session u2  whose key sealed it: an index into     chunks u4   how many chunks it holds
                the list of sessions with the header
Per chunk, in the order in which they lie in the frame without gaps:
    id u1×32    keyed BLAKE3 of the plain bytes        length u4

An index segment holds the same facts with the chunks sorted for lookup (index_segment.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ...model.columns import Array, Column
from ...model.entries import CHUNK_ID_BYTES

SessionKeys = Sequence[tuple[bytes, bytes]]
"""(session, its sealed content key); the column `session` holds indexes into this list."""

FRAME_TYPES = {"stored": "u4", "plain": "u4", "codec": "u1", "counter": "u8", "session": "u2"}
_TYPES = {**FRAME_TYPES, "chunks": "u4", "id": "u1", "length": "u4"}


def typed(columns: Mapping[str, Column], types: Mapping[str, str]) -> dict[str, Array]:
    """The columns named in `types`. Raises ValueError when one is missing or of another type."""
    missing = types.keys() - columns.keys()
    if missing:
        raise ValueError(f"no column {min(missing)}")
    found: dict[str, Array] = {}
    for name, kind in types.items():
        column = columns[name]
        if not isinstance(column, np.ndarray) or column.dtype != np.dtype("<" + kind):
            raise ValueError(f"column {name} has another type")
        found[name] = column
    return found


@dataclass(frozen=True)
class PackHeader:
    """Columns as above; id has 32 bytes per chunk, flat."""

    stored: Array
    plain: Array
    codec: Array
    counter: Array
    session: Array
    chunks: Array
    id: Array
    length: Array

    def columns(self) -> dict[str, Column]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @staticmethod
    def of(columns: Mapping[str, Column], sessions: int) -> PackHeader:
        """sessions: how many there are. Raises ValueError when the columns are inconsistent: they are
        authentic, but their writer may have been wrong."""
        header = PackHeader(**typed(columns, _TYPES))
        frames, count = len(header.stored), len(header.length)
        each = (header.plain, header.codec, header.counter, header.session, header.chunks)
        if {len(column) for column in each} != {frames}:
            raise ValueError("the frame columns differ in length")
        if frames and int(header.session.max()) >= sessions:
            raise ValueError("a frame has an unknown session")
        if len(header.id) != count * CHUNK_ID_BYTES or int(header.chunks.sum(dtype=np.int64)) != count:
            raise ValueError("the chunk columns do not match the frames")
        if not np.array_equal(header.frame_sums(), header.plain):
            raise ValueError("the chunks of a frame do not add up to its size")
        return header

    def frame_sums(self) -> Array:
        """The plain size of each frame: the sum of its chunks."""
        ends = np.cumsum(self.length, dtype=np.int64)
        at = np.cumsum(self.chunks, dtype=np.int64)
        until = np.concatenate([np.zeros(1, np.int64), ends])[at]
        return np.diff(until, prepend=0)

    def frame_of_chunk(self) -> Array:
        """For each chunk, its frame."""
        return np.repeat(np.arange(len(self.chunks), dtype=np.uint32), self.chunks)

    def offset_of_chunk(self) -> Array:
        """For each chunk, its offset in its frame."""
        ends = np.cumsum(self.length, dtype=np.int64)
        bases = np.cumsum(self.plain, dtype=np.int64) - self.plain
        return (ends - self.length - np.repeat(bases, self.chunks)).astype(np.uint32)

    @staticmethod
    def concat(parts: Sequence[PackHeader]) -> PackHeader:
        joined = {
            name: np.concatenate([np.zeros(0, "<" + kind), *(getattr(p, name) for p in parts)])
            for name, kind in _TYPES.items()
        }
        return PackHeader(**joined)
