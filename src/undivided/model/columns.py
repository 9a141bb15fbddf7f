"""Columns as bytes: the encoding of tables in the vault and in the local caches.

A block is a header and one buffer per column. It can be read without our code: the header is JSON with the
name, the element type and the place of each column. Integers are little-endian. `Ragged` columns (byte
strings, lists of chunk ids) are two plain columns, `name` and `name:offsets`.

    "UDC1" | u32 header length | header JSON | column buffers, each zstd-compressed or raw by its header

Why not Arrow or Parquet: docs/decisions/columns-of-our-own.md.

Why in model/: `Ragged` is the type of the columns of `Entries`, and `encode` and `decode` are pure functions
from columns to bytes and back. They open no file. The vault's formats and the caches of tree/ and capture/
store these blocks, so the encoding must be below all three rooms.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DamageError

MAGIC = b"UDC1"
Array = npt.NDArray[Any]
_BLOCK = 1 << 12
"""Rows that are worked on at a time where memory would be many times theirs."""
_BYTES = 1 << 24
_DTYPES = {"u1": 1, "u2": 2, "u4": 4, "u8": 8, "i4": 4, "i8": 8}


@dataclass(frozen=True, slots=True)
class Ragged:
    """A column of n byte strings: `blob` u1[k], `offsets` i8[n+1], string i is
    blob[offsets[i]:offsets[i+1]]."""

    blob: Array
    offsets: Array

    @staticmethod
    def of(items: Iterable[bytes]) -> Ragged:
        items = items if isinstance(items, list) else list(items)
        offsets = np.zeros(len(items) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, items), np.int64, len(items)), out=offsets[1:])
        return Ragged(np.frombuffer(b"".join(items), np.uint8), offsets)

    @staticmethod
    def empty(count: int) -> Ragged:
        """A column of `count` empty strings."""
        return Ragged(np.zeros(0, np.uint8), np.zeros(count + 1, np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.blob[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        """One after the other, with few of them in memory."""
        for first in range(0, len(self), _BLOCK):
            ends = self.offsets[first : first + _BLOCK + 1]
            blob = self.blob[ends[0] : ends[-1]].tobytes()
            yield from (blob[a:b] for a, b in itertools.pairwise((ends - ends[0]).tolist()))

    def tolist(self) -> list[bytes]:
        blob, ends = self.blob.tobytes(), self.offsets.tolist()
        return [blob[a:b] for a, b in itertools.pairwise(ends)]

    def lengths(self) -> Array:
        return np.diff(self.offsets)

    def take(self, rows: Array) -> Ragged:
        """The strings at `rows`, in that order, without a Python object per string."""
        starts, lengths = self.offsets[:-1][rows], self.lengths()[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        blob = np.empty(offsets[-1], np.uint8)
        for first in range(0, len(rows), _BLOCK):  # the place of each byte takes eight bytes
            own = slice(first, first + _BLOCK)
            begin, end = offsets[first], offsets[min(first + _BLOCK, len(rows))]
            shift = np.repeat(starts[own] - (offsets[:-1][own] - begin), lengths[own])
            blob[begin:end] = self.blob[np.arange(end - begin) + shift]
        return Ragged(blob, offsets)

    @staticmethod
    def concat(parts: Sequence[Ragged]) -> Ragged:
        if not parts:
            return Ragged.empty(0)
        shifts = np.cumsum([0, *(int(p.offsets[-1]) for p in parts[:-1])])
        offsets = [p.offsets[1:] + shift for p, shift in zip(parts, shifts, strict=True)]
        blob = np.concatenate([p.blob[: p.offsets[-1]] for p in parts])
        return Ragged(blob, np.concatenate([np.zeros(1, np.int64), *offsets]))

    def same(self, other: Ragged) -> bool:
        return _same(self.offsets, other.offsets) and _same(self.blob, other.blob)


def _same(one: Array, other: Array) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(one[k : k + _BYTES], other[k : k + _BYTES]) for k in range(0, len(one), _BYTES)
    )


Column = Array | Ragged


def encode(
    columns: Mapping[str, Column], header: Mapping[str, Any] | None = None, *, level: int | None = 3
) -> bytes:
    """Columns and further keys of the JSON header to one block. level: of zstd; None stores raw buffers (for
    local files that are mapped)."""
    import zstandard

    flat: list[tuple[str, Array]] = []
    for name, column in columns.items():
        if isinstance(column, Ragged):
            flat += [(name, column.blob), (name + ":offsets", column.offsets)]
        else:
            flat.append((name, column))
    described: list[dict[str, str | int]] = []
    buffers: list[bytes | memoryview] = []
    compressor = zstandard.ZstdCompressor(level=level) if level is not None else None
    for name, array in flat:
        dtype = array.dtype.newbyteorder("<").str[1:]
        if dtype not in _DTYPES:
            raise TypeError(f"column {name}: the format has no element type {array.dtype}")
        raw: memoryview = np.ascontiguousarray(array, dtype="<" + dtype).ravel().view(np.uint8).data
        parts: list[bytes | memoryview] = (
            [compressor.compress(raw)] if compressor else [raw, b"\0" * (-len(raw) % 8)]
        )
        described.append({"name": name, "type": dtype, "count": array.size, "bytes": sum(map(len, parts))})
        buffers += parts
    meta = {"columns": described, "zstd": compressor is not None, **(header or {})}
    head = json.dumps(meta, separators=(",", ":")).encode()
    head += b" " * (-(len(MAGIC) + 4 + len(head)) % 8)
    return b"".join([MAGIC, struct.pack("<I", len(head)), head, *buffers])


def decode(block: bytes | memoryview) -> tuple[dict[str, Column], dict[str, Any]]:
    """One block to its columns and the further keys of its header. Raw blocks are not copied: the arrays are
    views of `block`.

    Raises DamageError if `encode` cannot have made the block.
    """
    import zstandard

    view = memoryview(block)
    try:
        if bytes(view[:4]) != MAGIC:
            raise ValueError("no column block")
        (length,) = struct.unpack_from("<I", view, 4)
        header: dict[str, Any] = json.loads(bytes(view[8 : 8 + length]))
        place, flat = 8 + length, {}
        decompressor = zstandard.ZstdDecompressor() if header["zstd"] else None
        for column in header["columns"]:
            stored = view[place : place + column["bytes"]]
            size = column["count"] * _DTYPES[column["type"]]
            raw = (
                decompressor.decompress(stored, max_output_size=size)
                if decompressor and size
                else stored[:size]
            )
            flat[column["name"]] = np.frombuffer(raw, "<" + column["type"], column["count"])
            place += column["bytes"]
    except (ValueError, KeyError, TypeError, struct.error, zstandard.ZstdError) as error:
        raise DamageError(
            f"not a column block: {error}", hint="Run `undivided verify --read-data`."
        ) from error
    columns: dict[str, Column] = {}
    for name, array in flat.items():
        if name.endswith(":offsets"):
            continue
        offsets = flat.get(name + ":offsets")
        columns[name] = Ragged(array, offsets) if offsets is not None else array
    return columns, {k: v for k, v in header.items() if k not in ("columns", "zstd")}
