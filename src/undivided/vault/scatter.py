"""Bulk restore: from the packs outwards, not from the files inwards.

Reading file by file opens a frame of many small files many times, or keeps frames in memory on a guess. Here
the needed chunks are sorted by where they lie; runs of neighbouring frames are read in one go, each frame is
opened once, and each of its chunks goes to every place that wants it.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from ..model.columns import Array, Ragged
from ..model.entries import CHUNK_ID_BYTES
from . import pack as packs
from .contents import ContentKeys
from .frames import FrameDecoder
from .index import Index
from .seal import damaged
from .stores.base import Store

Write = Callable[[int, int, memoryview], None]
_RUN = 4 << 20
"""Stored bytes read in one go."""
_GAP = 256 << 10
"""Unneeded bytes between two frames that are cheaper to read than to skip."""
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


@dataclass(frozen=True)
class _Run:
    """Frames read in one go: for each (frame, first wanted place, end of its wanted places)."""

    pack: str
    start: int
    end: int
    frames: list[tuple[int, int, int]]


class Scatter:
    """One bulk restore."""

    def __init__(
        self,
        store: Store,
        id_key: bytes,
        contents: ContentKeys,
        index: Index,
        rows_of: Callable[[Index, Array], Array],
    ) -> None:
        self._store, self._id_key, self._contents, self._index = store, id_key, contents, index
        self._rows_of = rows_of
        self._failure: BaseException | None = None

    def run(self, content: Ragged, rows: Array, write: Write) -> None:
        wanted = self._wanted(content, rows)
        runs: queue.SimpleQueue[_Run] = queue.SimpleQueue()
        for run in self._runs(wanted):
            runs.put(run)
        count = min(_THREADS, runs.qsize())
        threads = [
            threading.Thread(target=self._drain, args=(runs, wanted, write), daemon=True)
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
        index = self._index
        found = self._rows_of(index, ids.ravel())
        length = index.length[found].astype(np.int64)
        until = np.cumsum(length) - length
        first_of_row = np.concatenate([until, np.zeros(1, np.int64)])[ends - counts]
        at = until - np.repeat(first_of_row, counts)
        frame, offset = index.frame[found], index.offset[found]
        order = np.lexsort((offset, frame))
        return _Wanted(
            frame[order], offset[order], length[order], np.repeat(rows, counts)[order], at[order], ids[order]
        )

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

    def _drain(self, runs: queue.SimpleQueue[_Run], wanted: _Wanted, write: Write) -> None:
        decoder = FrameDecoder()
        try:
            while self._failure is None:
                self._one(runs.get_nowait(), wanted, write, decoder)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001  raised again by run
            self._failure = self._failure or error

    def _one(self, run: _Run, wanted: _Wanted, write: Write, decoder: FrameDecoder) -> None:
        what = packs.name_of(run.pack)
        data = memoryview(packs.read_part(self._store, run.pack, run.start, run.end - run.start))
        for frame, first, end in run.frames:
            place = self._index.place(frame)
            opener = self._contents.frames(place.session, place.sealed_key, what)
            sealed = data[place.offset - run.start : place.offset - run.start + place.stored]
            plain = decoder.decode(
                opener, place.session, place.counter, place.codec, sealed, place.plain, what
            )
            self._give(plain, wanted, first, end, write, what)

    def _give(
        self, plain: memoryview, wanted: _Wanted, first: int, end: int, write: Write, what: str
    ) -> None:
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
