"""Bytes on their way from a source into the vault.

What comes from elsewhere, a pipe or a connection, is handed over in buffers. Files are not: whoever has room
for their bytes is told how to read them, and reads them right where they are wanted, so that nobody copies a
gigabyte from one buffer to another. A large file is read in order, as a stream. Of small ones there are tens
of thousands, and one thread that opens them all would keep every core waiting: they come as batches, each
read on whatever thread has the room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Buffer = bytes | bytearray | memoryview
_BUFFER = 4 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole rows of a table. room: the most bytes they have together. read: puts their bytes one after
    another at the front of a buffer of that size, and returns how many each row had; it is called once, in
    any thread, and raises what hinders it."""

    rows: Sequence[int]
    room: int
    read: Callable[[memoryview], list[int]]


@dataclass(frozen=True, slots=True)
class Stream:
    """All of one row. read: puts its next bytes at the front of a buffer and returns how many, 0 at the end;
    called on the thread that asks for pieces, until the end and before it asks for the next piece."""

    row: int
    read: Callable[[memoryview], int]


Piece = tuple[int, Buffer, bool] | Stream | Batch
"""(row, bytes, whether they end the row's data), all of a row, or whole rows. Rows come in any order, each
row's pieces together and in order."""


def one_by_one(pieces: Iterable[Piece]) -> Iterator[tuple[int, Buffer, bool]]:
    """The same bytes, all read here and now, for who has no room of his own."""
    for piece in pieces:
        if isinstance(piece, Stream):
            view = memoryview(bytearray(_BUFFER))
            while got := piece.read(view):
                yield piece.row, view[:got], False
            yield piece.row, b"", True
        elif isinstance(piece, Batch):
            view, at = memoryview(bytearray(piece.room)), 0
            for row, length in zip(piece.rows, piece.read(view), strict=True):
                if length:
                    yield row, view[at : at + length], True
                at += length
        else:
            yield piece
