"""The chunker: content is cut into chunks, the units of deduplication.

    CONTENT  up to 256 KiB a file is one chunk; larger ones are cut where their content decides (FastCDC,
             128 KiB to 1 MiB, about 256), so an insertion moves boundaries only around itself
    BLOCKS   64 KiB at multiples of 64 KiB, the last one shorter: pages and disk images change in place

A producer may reuse its buffers, so bytes that it hands over are copied into a lent region; streams are read
into it directly. The bytes stay there until their frame is sealed. The end of a row that cannot be cut yet
moves on to the next region. FastCDC looks at nothing before the start of a chunk, so the cuts do not depend
on the sizes of the pieces.

A batch only gets its place in a region: the worker that takes it reads and cuts it. So many small files are
opened by all workers in parallel, and their content is never copied.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...model.columns import Ragged
from ...model.entries import CHUNK_ID_BYTES, Layout
from ...model.errors import UndividedError
from ...model.streams import Batch, Buffer, Piece, Stream
from ..format.frames import TARGET
from .pipeline import REGION, Job, Pipeline, Region

BLOCK = 64 << 10
WHOLE = 256 << 10
SMALLEST, AVERAGE, LONGEST = 128 << 10, 256 << 10, 1 << 20
_READ = 4 << 20
_MOST_CHUNKS = 4096  # of one job: a million empty-ish files must not become one
_own = threading.local()


def cutter() -> Any:
    """This thread's FastCDC with our parameters. Raises UndividedError when there is only its pure Python
    fallback, which has 0.5 % of the speed."""
    if not hasattr(_own, "cutter"):
        try:
            from pyfastcdc.cy.fastcdc import FastCDC
        except ImportError as error:
            raise UndividedError(
                "the compiled part of pyfastcdc is missing; without it backups would take 200 times as long",
                hint="Install pyfastcdc from a wheel, or with a C compiler and Cython.",
            ) from error
        _own.cutter = FastCDC(avg_size=AVERAGE, min_size=SMALLEST, max_size=LONGEST)
    return _own.cutter


class Chunker:
    """Cuts the rows of one `store` call and hands them to the pipeline."""

    def __init__(self, pipeline: Pipeline, layout: Layout) -> None:
        self._pipeline = pipeline
        self._blocks = layout is Layout.BLOCKS
        self._region: Region | None = None
        self._fill = 0  # bytes in the region
        self._row_start = 0  # where the uncut rest of the row begins
        self._begun = False  # whether the row was found to be larger than one whole chunk
        self._job: Job | None = None  # the one being put together
        self._pending = 0  # bytes in it

    def run(self, pieces: Iterable[Piece], rows: int) -> tuple[Ragged, int]:
        """The content column of `rows` rows, and the bytes read. Raises the error of a batch that failed."""
        with self._pipeline.caller() as self._caller:
            try:
                for piece in pieces:
                    if isinstance(piece, Batch):
                        self._place(piece)
                    elif isinstance(piece, Stream):
                        self._stream(piece)
                    else:
                        self._take(*piece)
                self._flush()
                self._let_go()
                self._caller.wait()
            finally:
                self._let_go()
                # The sources of batches may be closed as soon as we return, or raise.
                self._caller.wait_for_reads()
        jobs = self._caller.jobs
        return _content(jobs, rows), sum(sum(job.lengths) for job in jobs)

    def _place(self, batch: Batch) -> None:
        """A job that reads the batch. Its place follows the bytes in the region: no row is half done now."""
        self._caller.check()
        self._flush()
        if self._region is None or self._fill + batch.room > REGION:
            self._renew(b"")
        assert self._region is not None
        job = Job(self._region, self._fill, self._caller)
        job.read = lambda: self._read(batch, job)
        self._fill += batch.room
        self._row_start = self._fill
        self._caller.submit(job)

    def _read(self, batch: Batch, job: Job) -> None:
        """In a worker: reads the batch to its place, and cuts each of its rows."""
        view = job.region.view[job.start : job.start + batch.room]
        at = 0
        for row, size in zip(batch.rows, batch.read(view), strict=True):
            if 0 < size <= (BLOCK if self._blocks else WHOLE):
                job.lengths.append(size)
                job.rows.append(row)
            elif size:
                lengths = self._lengths(view[at : at + size], final=True, begun=False)
                job.lengths += lengths
                job.rows.extend([row] * len(lengths))
            at += size

    def _take(self, row: int, data: Buffer, last: bool) -> None:
        size = len(data)
        if size + self._fill <= REGION and self._region:
            self._region.view[self._fill : self._fill + size] = data
            self._fill += size
        elif size:
            self._copy(row, memoryview(data).cast("B"))
        if last:
            self._cut(row, final=True)

    def _copy(self, row: int, data: memoryview) -> None:
        """Copies data that does not fit into one region, and cuts each full one."""
        while len(data):
            room = self._room(row)[: len(data)]
            room[:] = data[: len(room)]
            self._fill += len(room)
            data = data[len(room) :]

    def _stream(self, stream: Stream) -> None:
        while got := stream.read(self._room(stream.row)[:_READ]):
            self._fill += got
        self._cut(stream.row, final=True)

    def _room(self, row: int) -> memoryview:
        """Where the row's next bytes go. A full region is cut and handed over first."""
        if self._region is None:
            self._renew(b"")
        elif self._fill == REGION:
            self._cut(row, final=False)
            self._flush()
            self._renew(bytes(self._region.view[self._row_start : self._fill]))
        assert self._region is not None
        return self._region.view[self._fill :]

    def _cut(self, row: int, *, final: bool) -> None:
        """Makes chunks of the row's uncut rest: of all of it when final, else of the part that further bytes
        cannot change."""
        size = self._fill - self._row_start
        begun, self._begun = self._begun, not final and (self._begun or size > WHOLE)
        if not size:
            return
        assert self._region is not None
        rest = self._region.view[self._row_start : self._fill]
        for length in self._lengths(rest, final=final, begun=begun):
            self._add(row, length)

    def _lengths(self, data: memoryview, *, final: bool, begun: bool) -> list[int]:
        """The chunks at the front of a row's rest. begun: whether the row had more before this."""
        size = len(data)
        if self._blocks:
            whole, rest = divmod(size, BLOCK)
            return [BLOCK] * whole + ([rest] if final and rest else [])
        if size <= WHOLE and not begun:
            return [size] if final else []
        lengths = [chunk.length for chunk in cutter().cut_buf(data)]
        return lengths if final else lengths[:-1]

    def _add(self, row: int, length: int) -> None:
        assert self._region is not None
        if self._job and (self._pending + length > TARGET or len(self._job.lengths) >= _MOST_CHUNKS):
            self._flush()
        if self._job is None:
            self._job = Job(self._region, self._row_start, self._caller)
        self._job.lengths.append(length)
        self._job.rows.append(row)
        self._pending += length
        self._row_start += length

    def _flush(self) -> None:
        """Hands over the job that was put together."""
        if self._job:
            self._caller.submit(self._job)
            self._job, self._pending = None, 0

    def _renew(self, carried: bytes) -> None:
        self._let_go()
        self._region = self._caller.lend()
        self._region.view[: len(carried)] = carried
        self._fill = len(carried)
        self._row_start = 0

    def _let_go(self) -> None:
        if self._region:
            self._caller.give_back(self._region)
            self._region = None
            self._fill = self._row_start = 0


def _content(jobs: list[Job], rows: int) -> Ragged:
    """Chunk ids in the order they were cut, to one list per row."""
    owner = np.frombuffer(b"".join(job.rows for job in jobs), np.int64)
    ids = np.frombuffer(b"".join(job.ids for job in jobs), np.uint8)
    if (np.diff(owner) < 0).any():
        order = np.argsort(owner, kind="stable")
        ids = ids.reshape(-1, CHUNK_ID_BYTES)[order].ravel()
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=rows) * CHUNK_ID_BYTES, out=offsets[1:])
    return Ragged(ids, offsets)
