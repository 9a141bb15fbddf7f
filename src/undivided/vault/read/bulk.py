"""Bulk restore: from the packs outwards, not from the files inwards.

Reading file by file opens a frame of many small files many times, or keeps frames in memory on a guess. Here
the needed chunks are sorted by where they lie; runs of neighbouring frames are read in one go, each frame is
opened once, and each of its chunks goes to every place that wants it.

A prune may give up a pack while a restore goes on, once it has copied what lives in it elsewhere. So what lay
in a pack that is gone is looked up again in the newest index; only when that knows no better it is damage.
"""

from __future__ import annotations

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
from ..crypto.aead import damaged
from ..format import pack as packs
from ..format.frames import FrameDecoder
from ..index.index import ChunkIndex
from ..stores.base import Store, parallel
from .histories import ContentKeys

Write = Callable[[int, int, memoryview], None]
Done = Callable[[int], None]
_RUN = 4 << 20
"""Stored bytes read in one go."""
_GAP = 256 << 10
"""Unneeded bytes between two frames that are cheaper to read than to skip."""
_MANY = 8
"""Chunks that make a frame one of small files. Giving these out is many short calls into the kernel, and
threads that take turns at the interpreter for each of them spend more on the turns than on the calls: so one
gives out at a time, while the others read and open the next frames."""
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


@dataclass(frozen=True)
class _Run:
    """Frames read in one go: for each (frame, first wanted place, end of its wanted places)."""

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
        decoder = FrameDecoder()
        try:
            while self._failure is None:
                run = runs.get_nowait()
                try:
                    self._one(run, wanted, write, done, decoder)
                except packs.PackMissingError as error:
                    self._look_again(run, error)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001  raised again by run
            self._failure = self._failure or error

    def _look_again(self, run: _Run, error: DamageError) -> None:
        """Leaves the run for another pass, over a newer index. Raises the error when there is none."""
        with self._lock:
            if self._fresh is None:
                self._fresh = self._newer(self._index)
            if self._fresh is None:
                raise error
            self._gone += [(first, end) for _, first, end in run.frames]

    def _one(self, run: _Run, wanted: _Wanted, write: Write, done: Done, decoder: FrameDecoder) -> None:
        what = packs.name_of(run.pack)
        data = memoryview(packs.read_part(self._store, run.pack, run.start, run.end - run.start))
        for frame, first, end in run.frames:
            place = self._index.place(frame)
            opener = self._contents.frames(place.session, place.sealed_key, what)
            sealed = data[place.offset - run.start : place.offset - run.start + place.stored]
            plain = decoder.decode(
                opener, place.session, place.counter, place.codec, sealed, place.plain, what
            )
            if end - first < _MANY:
                done(self._give(plain, wanted, first, end, write, what))
            else:
                with self._giving:
                    done(self._give(plain, wanted, first, end, write, what))

    def _give(self, plain: memoryview, wanted: _Wanted, first: int, end: int, write: Write, what: str) -> int:
        """Gives a frame's chunks to all places that want them; how many bytes that were."""
        offsets, lengths = wanted.offset[first:end].tolist(), wanted.length[first:end].tolist()
        rows, places = wanted.row[first:end].tolist(), wanted.at[first:end].tolist()
        ids = wanted.id[first:end].tobytes()
        checked = -1
        for k, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
            data = plain[offset : offset + length]
            if offset != checked:
                chunk = ids[k * CHUNK_ID_BYTES : (k + 1) * CHUNK_ID_BYTES]
                if blake3(data, key=self._id_key).digest() != chunk:
                    raise damaged(what, f"a chunk in it is not {chunk.hex()}")
                checked = offset
            write(rows[k], places[k], data)
        return sum(lengths)
