"""Bytes on their way from a source into the vault.

Bytes from a pipe or a connection are passed on in buffers. Files are not: the consumer gets a function that
reads them into its own buffer, so that no gigabyte is copied from one buffer to another. A large file is a
stream, read in order. Small files are many, and one thread that opens them all would keep every core waiting:
they come in batches, each read on any thread that has a free buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Buffer = bytes | bytearray | memoryview
_BUFFER = 4 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole rows of a table. room: the most bytes that they have together. read: writes their bytes one after
    another to the front of a buffer of this size, and returns the number of bytes of each row. It is called
    once, on any thread, and raises its errors there."""

    rows: Sequence[int]
    room: int
    read: Callable[[memoryview], list[int]]


@dataclass(frozen=True, slots=True)
class Stream:
    """All bytes of one row. read: writes its next bytes to the front of a buffer and returns their number, 0
    at the end. The thread that iterates over the pieces calls it until the end, before it takes the next
    piece."""

    row: int
    read: Callable[[memoryview], int]


Piece = tuple[int, Buffer, bool] | Stream | Batch
"""(row, bytes, whether these are the row's last bytes), a whole row, or whole rows. Rows come in any order;
the pieces of a row come together and in order."""


def one_by_one(pieces: Iterable[Piece]) -> Iterator[tuple[int, Buffer, bool]]:
    """The same bytes, all read on this thread, for consumers without buffers of their own."""
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
