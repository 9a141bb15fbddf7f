"""Bytes on their way from a source into the vault.

Rows come as pieces, in the order in which somebody reads them: that suits a stream, and a file of any size.
Of small files there are tens of thousands, and one thread that opens them all would keep every core waiting.
So they come as a batch: which rows, how much room they need, and how to read them. Whoever has the room reads
them, on its own thread, right where the bytes are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole rows of a table. room: the most bytes they have together. read: puts their bytes one after
    another at the front of a buffer of that size, and returns how many each row had; it is called once, in
    any thread, and raises what hinders it."""

    rows: Sequence[int]
    room: int
    read: Callable[[memoryview], list[int]]


Piece = tuple[int, Buffer, bool] | Batch
"""(row, bytes, whether they end the row's data), or a batch of whole rows. Rows come in any order, each row's
pieces together and in order."""


def one_by_one(pieces: Iterable[Piece]) -> Iterator[tuple[int, Buffer, bool]]:
    """The same bytes with every batch read here and now, for who has no use of many threads."""
    for piece in pieces:
        if not isinstance(piece, Batch):
            yield piece
            continue
        view, at = memoryview(bytearray(piece.room)), 0
        for row, length in zip(piece.rows, piece.read(view), strict=True):
            if length:
                yield row, view[at : at + length], True
            at += length
