"""Dividing content into chunks, the units of deduplication.

    CONTENT  up to 256 KiB a file is one chunk; larger ones are cut where their content says so (FastCDC,
             128 KiB to 1 MiB, about 256), so an insertion moves boundaries only around itself
    BLOCKS   64 KiB at multiples of 64 KiB, the last one shorter: pages and disk images change in place

A producer may use its buffers again, so each byte is copied once, into a lent region. There it stays until
its frame is sealed. What cannot be cut yet, because more of its row may follow, moves on to the next region;
FastCDC looks at nothing before the start of a chunk, so the cuts do not depend on how the pieces came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..model.columns import Ragged
from ..model.entries import CHUNK_ID_BYTES, Layout
from ..model.errors import UndividedError
from .frames import TARGET
from .pipeline import REGION, Job, Pipeline, Region
from .seal import Buffer

BLOCK = 64 << 10
WHOLE = 256 << 10
SMALLEST, AVERAGE, LONGEST = 128 << 10, 256 << 10, 1 << 20
_MOST_CHUNKS = 4096  # of one job: a million empty-ish files must not become one


def cutter() -> Any:
    """A FastCDC of our parameters. Raises when only its pure Python fallback is there: 0.5 % of the speed."""
    try:
        from pyfastcdc.cy.fastcdc import FastCDC
    except ImportError as error:
        raise UndividedError(
            "the compiled part of pyfastcdc is missing, and without it backups would take 200 times as long",
            hint="Install pyfastcdc from a wheel, or with a C compiler and Cython.",
        ) from error
    return FastCDC(avg_size=AVERAGE, min_size=SMALLEST, max_size=LONGEST)


class Divider:
    """Divides the rows of one `store` call and hands them to the pipeline."""

    def __init__(self, pipeline: Pipeline, layout: Layout) -> None:
        self._pipeline = pipeline
        self._blocks = layout is Layout.BLOCKS
        self._cutter: Any = None
        self._region: Region | None = None
        self._fill = 0  # bytes in the region
        self._row_start = 0  # where the uncut rest of the row begins
        self._begun = False  # whether the row was found to be larger than one whole chunk
        self._jobs: list[Job] = []
        self._hashed = 0
        self._rows = array("q")  # of each chunk, in order
        self._start, self._lengths, self._pending = 0, list[int](), 0  # the job being put together

    def run(self, pieces: Iterable[tuple[int, Buffer, bool]], rows: int) -> tuple[Ragged, int]:
        """The content column of `rows` rows, and the bytes read."""
        total = 0
        try:
            with self._pipeline.caller():
                for row, data, last in pieces:
                    total += self._take(row, data, last)
                self._flush()
                self._let_go()
                self._pipeline.wait(lambda: self._hashed == len(self._jobs))
        finally:
            self._let_go()
        return _content(self._rows, self._jobs, rows), total

    def _take(self, row: int, data: Buffer, last: bool) -> int:
        size = len(data)
        if size + self._fill <= REGION and self._region:
            self._region.view[self._fill : self._fill + size] = data
            self._fill += size
        elif size:
            self._spread(row, memoryview(data).cast("B"))
        if last:
            self._cut(row, final=True)
        return size

    def _spread(self, row: int, data: memoryview) -> None:
        """Copies what does not fit into one region, cutting each full one."""
        while len(data):
            if self._region is None:
                self._renew(b"")
            elif self._fill == REGION:
                self._cut(row, final=False)
                self._flush()
                self._renew(bytes(self._region.view[self._row_start : self._fill]))
            assert self._region is not None
            room = min(REGION - self._fill, len(data))
            self._region.view[self._fill : self._fill + room] = data[:room]
            self._fill += room
            data = data[room:]

    def _cut(self, row: int, *, final: bool) -> None:
        """Makes chunks of the row's uncut rest: all of it when final, else what more bytes cannot change."""
        size = self._fill - self._row_start
        begun, self._begun = self._begun, not final and (self._begun or size > WHOLE)
        if not size:
            return
        if self._blocks:
            lengths = [BLOCK] * (size // BLOCK)
            if final and size % BLOCK:
                lengths.append(size % BLOCK)
        elif size <= WHOLE and not begun:
            lengths = [size] if final else []
        else:
            lengths = self._content_defined(size)
            if not final:
                lengths.pop()
        for length in lengths:
            self._add(row, length)
        self._row_start += sum(lengths)

    def _content_defined(self, size: int) -> list[int]:
        assert self._region is not None
        self._cutter = self._cutter or cutter()
        view = self._region.view[self._row_start : self._row_start + size]
        return [chunk.length for chunk in self._cutter.cut_buf(view)]

    def _add(self, row: int, length: int) -> None:
        full = self._pending + length > TARGET or len(self._lengths) >= _MOST_CHUNKS
        if full and self._lengths:
            self._flush()
        self._lengths.append(length)
        self._pending += length
        self._rows.append(row)

    def _flush(self) -> None:
        """Hands over the job that was put together."""
        if self._lengths and self._region:
            job = Job(self._region, self._start, self._lengths, self._one_hashed)
            self._jobs.append(job)
            self._pipeline.submit(job)
            self._start += self._pending
            self._lengths, self._pending = [], 0

    def _one_hashed(self) -> None:
        with self._pipeline.changed:
            self._hashed += 1
            self._pipeline.changed.notify_all()

    def _renew(self, carried: bytes) -> None:
        self._let_go()
        self._region = self._pipeline.lend()
        self._region.view[: len(carried)] = carried
        self._fill = len(carried)
        self._row_start = self._start = 0

    def _let_go(self) -> None:
        if self._region:
            self._pipeline.give_back(self._region)
            self._region = None
            self._fill = self._row_start = self._start = 0


def _content(chunk_rows: array[int], jobs: list[Job], rows: int) -> Ragged:
    """Chunk ids in the order they were cut, to one list per row."""
    owner = np.frombuffer(chunk_rows, np.int64) if chunk_rows else np.zeros(0, np.int64)
    ids = np.frombuffer(b"".join(job.ids for job in jobs), np.uint8)
    if len(owner) and (np.diff(owner) < 0).any():
        order = np.argsort(owner, kind="stable")
        ids = ids.reshape(-1, CHUNK_ID_BYTES)[order].ravel()
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=rows) * CHUNK_ID_BYTES, out=offsets[1:])
    return Ragged(ids, offsets)
