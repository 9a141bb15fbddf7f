"""Bulk restore: driven by the packs, not by the files.

Reading file by file opens a frame of many small files many times, or keeps frames in memory on a guess. Here
the needed chunks are sorted by their place in the packs. Runs of neighbouring frames are read by one request,
each frame is opened once, and each of its chunks goes to every place that needs it.

Frames that continue one file are opened next to each other in one buffer and written by one call. The buffer
puts byte k of a file at an address that is k modulo the page size, so that the writer can write past the
page cache: the copy into the cache costs more than opening the frames.

A prune may delete a pack during a restore, after it has copied the live frames to another pack. So the chunks
of a missing pack are looked up again in the newest index. They are damaged only when no newer index exists.
"""

from __future__ import annotations

import mmap
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from ...model.columns import Array, Ragged
from ...model.entries import CHUNK_ID_BYTES
from ...model.errors import DamageError
from ..crypto.aead import TAG_BYTES, damaged
from ..format import pack as packs
from ..format.frames import LARGEST, FrameDecoder
from ..index.index import ChunkIndex
from ..stores.base import Store, parallel
from .histories import ContentKeys

Write = Callable[[int, int, memoryview], None]
Done = Callable[[int], None]
_RUN = 4 << 20
"""Stored bytes read by one request."""
_GAP = 256 << 10
"""Unneeded bytes between two frames that are cheaper to read than to skip."""
_SPAN = 8 << 20
"""Plain bytes of one file that are written by one call. Frames are at most half as large."""
_PAGE = 4096
_MANY = 8
"""Chunks that make a frame one of small files. Writing these is many short system calls, and threads that
take turns at the interpreter for each call spend more on the turns than on the calls. So one thread writes
at a time, while the others read and open the next frames."""
_THREADS = max(2, min(8, os.cpu_count() or 2))


@dataclass(frozen=True)
class _Wanted:
    """Every place that wants a chunk, sorted by where the chunk lies: frame, then offset in it."""

    frame: Array
    offset: Array
    length: Array
    row: Array
    at: Array
    id: Array

    def part(self, spans: list[tuple[int, int]]) -> tuple[Array, Array, Array]:
        """(id, row, at) of the places from each first to its end."""
        which = np.concatenate([np.arange(first, end) for first, end in spans])
        return self.id[which], self.row[which], self.at[which]

    def destination(self, number: int) -> tuple[int, int]:
        """(row, at) of one place."""
        return int(self.row[number]), int(self.at[number])

    def piece(self, first: int, end: int) -> _Piece | None:
        """The places of a frame as one range of one file, None when they are more than that."""
        row, at, offset = int(self.row[first]), int(self.at[first]), int(self.offset[first])
        length = int(self.length[first])
        if end - first > 1:
            shift = self.at[first:end] - self.offset[first:end]
            ends = self.offset[first:end] + self.length[first:end]
            if (
                (self.row[first:end] != row).any()
                or (shift != at - offset).any()
                or (ends[:-1] != self.offset[first + 1 : end]).any()
            ):
                return None
            length = int(ends[-1]) - offset
        return _Piece(row, at, offset, length)


@dataclass(frozen=True)
class _Piece:
    """`length` bytes from `offset` of a frame, which are the bytes of row `row` from `at`."""

    row: int
    at: int
    offset: int
    length: int


@dataclass
class _Span:
    """Bytes `begin` to `end` of the plain buffer, which are the bytes of row `row` from `at`."""

    row: int
    at: int
    begin: int
    end: int


class _Buffers:
    """What one thread reuses for every run, on page boundaries."""

    def __init__(self) -> None:
        self.sealed = memoryview(mmap.mmap(-1, max(_RUN, LARGEST + TAG_BYTES)))
        self.plain = memoryview(mmap.mmap(-1, _SPAN + _PAGE))
        self.decoder = FrameDecoder()


@dataclass(frozen=True)
class _Run:
    """Neighbouring frames, read by one request: for each (frame, first wanted place, end of its places)."""

    pack: str
    start: int
    end: int
    frames: list[tuple[int, int, int]]


class BulkRestore:
    """One bulk restore. newer: an index that is newer than the one given to it, None when there is none."""

    def __init__(
        self,
        store: Store,
        id_key: bytes,
        contents: ContentKeys,
        index: ChunkIndex,
        rows_of: Callable[[ChunkIndex, Array], Array],
        newer: Callable[[ChunkIndex], ChunkIndex | None],
    ) -> None:
        self._store, self._id_key, self._contents, self._index = store, id_key, contents, index
        self._rows_of, self._newer = rows_of, newer
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._giving = threading.Lock()
        self._fresh: ChunkIndex | None = None
        self._gone: list[tuple[int, int]] = []

    def run(self, content: Ragged, rows: Array, write: Write, done: Done) -> None:
        wanted = self._wanted(content, rows)
        self._give_all(wanted, write, done)
        while self._fresh is not None:
            self._index, self._fresh = self._fresh, None
            id_, row, at = wanted.part(self._gone)
            self._gone = []
            wanted = self._located(self._rows_of(self._index, id_.ravel()), id_, row, at)
            self._give_all(wanted, write, done)

    def _give_all(self, wanted: _Wanted, write: Write, done: Done) -> None:
        runs: queue.SimpleQueue[_Run] = queue.SimpleQueue()
        for run in self._runs(wanted):
            runs.put(run)
        count = min(max(_THREADS, parallel(self._store)), runs.qsize())
        threads = [
            threading.Thread(target=self._drain, args=(runs, wanted, write, done), daemon=True)
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failure:
            raise self._failure

    def _wanted(self, content: Ragged, rows: Array) -> _Wanted:
        firsts = content.offsets[rows] // CHUNK_ID_BYTES
        counts = content.offsets[rows + 1] // CHUNK_ID_BYTES - firsts
        ends = np.cumsum(counts)
        chunks = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(firsts - ends + counts, counts)
        ids = content.blob.reshape(-1, CHUNK_ID_BYTES)[chunks]
        found = self._rows_of(self._index, ids.ravel())
        length = self._index.length[found].astype(np.int64)
        until = np.cumsum(length) - length
        first_of_row = np.concatenate([until, np.zeros(1, np.int64)])[ends - counts]
        at = until - np.repeat(first_of_row, counts)
        return self._located(found, ids, np.repeat(rows, counts), at)

    def _located(self, found: Array, ids: Array, row: Array, at: Array) -> _Wanted:
        """found: the index's row of each."""
        index = self._index
        frame, offset = index.frame[found], index.offset[found]
        length = index.length[found].astype(np.int64)
        order = np.lexsort((offset, frame))
        return _Wanted(frame[order], offset[order], length[order], row[order], at[order], ids[order])

    def _runs(self, wanted: _Wanted) -> list[_Run]:
        if not len(wanted.frame):
            return []
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(wanted.frame) != 0]))
        ends = np.append(firsts[1:], len(wanted.frame))
        frames = wanted.frame[firsts]
        index = self._index
        pack = index.pack_of(frames).tolist()
        offset = index.frame_offset[frames].tolist()
        stored = index.stored[frames].tolist()
        runs: list[_Run] = []
        run: _Run | None = None
        owner = -1
        for i, part in enumerate(zip(frames.tolist(), firsts.tolist(), ends.tolist(), strict=True)):
            start, end = offset[i], offset[i] + stored[i]
            if run and owner == pack[i] and start - run.end <= _GAP and end - run.start <= _RUN:
                run.frames.append(part)
                run = _Run(run.pack, run.start, end, run.frames)
                runs[-1] = run
            else:
                owner = pack[i]
                run = _Run(index.packs[owner], start, end, [part])
                runs.append(run)
        return runs

    def _drain(self, runs: queue.SimpleQueue[_Run], wanted: _Wanted, write: Write, done: Done) -> None:
        buffers = _Buffers()
        try:
            while self._failure is None:
                run = runs.get_nowait()
                try:
                    self._restore(run, wanted, write, done, buffers)
                except packs.PackMissingError as error:
                    self._look_again(run, error)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001  raised again by run
            self._failure = self._failure or error

    def _look_again(self, run: _Run, error: DamageError) -> None:
        """Leaves the run to another pass with a newer index. Raises the error when none exists."""
        with self._lock:
            if self._fresh is None:
                self._fresh = self._newer(self._index)
            if self._fresh is None:
                raise error
            self._gone += [(first, end) for _, first, end in run.frames]

    def _restore(self, run: _Run, wanted: _Wanted, write: Write, done: Done, buffers: _Buffers) -> None:
        name = packs.name_of(run.pack)
        data = buffers.sealed[: run.end - run.start]
        packs.read_part_into(self._store, run.pack, run.start, data)
        span = _Span(-1, 0, 0, 0)

        def flush() -> None:
            if span.end > span.begin:
                write(span.row, span.at, buffers.plain[span.begin : span.end])
                done(span.end - span.begin)
            span.row, span.end = -1, span.begin

        # Writers work on several parts of a file at once, so its frames are interleaved in the pack.
        for frame, first, end in sorted(run.frames, key=lambda part: wanted.destination(part[1])):
            place = self._index.place(frame)
            piece = wanted.piece(first, end)
            continues = (
                piece is not None
                and piece.offset == 0
                and span.row == piece.row
                and span.at + span.end - span.begin == piece.at
                and span.end + place.plain <= len(buffers.plain)
            )
            if not continues:
                flush()
            start = span.end if continues else (piece.at - piece.offset) % _PAGE if piece else 0
            opened = buffers.decoder.decode(
                self._contents.frames(place.session, place.sealed_key, name),
                place.session,
                place.counter,
                place.codec,
                data[place.offset - run.start : place.offset - run.start + place.stored],
                place.plain,
                name,
                buffers.plain[start:],
            )
            self._check(opened, wanted, first, end, name)
            if piece:
                if not continues:
                    span = _Span(piece.row, piece.at, start + piece.offset, start + piece.offset)
                span.end += piece.length
            elif end - first < _MANY:
                done(_give(opened, wanted, first, end, write))
            else:
                with self._giving:
                    done(_give(opened, wanted, first, end, write))
        flush()

    def _check(self, plain: memoryview, wanted: _Wanted, first: int, end: int, name: str) -> None:
        """Raises DamageError naming the pack unless each wanted chunk of a frame has its id."""
        offsets, lengths = wanted.offset[first:end].tolist(), wanted.length[first:end].tolist()
        ids = wanted.id[first:end].tobytes()
        checked = -1
        for k, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
            if offset != checked:
                chunk = ids[k * CHUNK_ID_BYTES : (k + 1) * CHUNK_ID_BYTES]
                if blake3(plain[offset : offset + length], key=self._id_key).digest() != chunk:
                    raise damaged(name, f"a chunk in it is not {chunk.hex()}")
                checked = offset


def _give(plain: memoryview, wanted: _Wanted, first: int, end: int, write: Write) -> int:
    """Gives the chunks of a frame to all places that want them; returns the bytes given."""
    offsets, lengths = wanted.offset[first:end].tolist(), wanted.length[first:end].tolist()
    rows, places = wanted.row[first:end].tolist(), wanted.at[first:end].tolist()
    for offset, length, row, place in zip(offsets, lengths, rows, places, strict=True):
        write(row, place, plain[offset : offset + length])
    return sum(lengths)
