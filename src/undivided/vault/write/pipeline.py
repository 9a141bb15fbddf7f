"""The pipeline from plain bytes to stored packs: here a backup spends its time, so all of it runs in
parallel.

    caller            cuts into chunks, in buffers lent by the pool            (chunker.py)
      │ jobs: about 1 MiB of chunks that lie next to each other, or a place for a batch of small files
    workers, one per core: read the batch ▸ hash ▸ is it known? ▸ compress ▸ seal into the open pack
      │ full packs                          (Dedup: dedup.py)
    uploaders: footer ▸ SHA-256 ▸ write and fsync                              (Uploader: uploads.py)

Everything heavy releases the interpreter's lock. Memory is bounded by the pools: a thread that is ahead
waits. A thread that fails stops the whole session: the error is raised to the next caller, and nothing is
committed.

Chunks that are small, or left over when their neighbours were known, are gathered until they fill a frame.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from blake3 import blake3

from ...model.entries import CHUNK_ID_BYTES
from ..crypto.aead import Sealer
from ..format.frames import TARGET, compress
from ..format.pack import CAPACITY, OpenPack

REGION = 8 << 20
"""Bytes of a lent buffer."""
_WORKERS = max(2, min(8, os.cpu_count() or 2))
_REGIONS = min(3, _WORKERS)


def pages(size: int) -> mmap.mmap:
    """Memory of its own: page-aligned, so that a store can write it without copying it first, and in huge
    pages where the kernel has them."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


class Region:
    """A lent buffer; `users` are the jobs that still look into it, and the caller that fills it."""

    def __init__(self) -> None:
        self.view = memoryview(pages(REGION))
        self.users = 0


@dataclass
class Job:
    """Chunks lying next to each other in a region from `start`, and the row of each. read: puts them there
    first, if they are not there yet. From the worker: ids, 32 bytes each."""

    region: Region
    start: int
    caller: Caller
    lengths: list[int] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))
    read: Callable[[], None] | None = None
    ids: bytes = b""


@dataclass
class _Gathered:
    """Chunks copied together until they fill a frame."""

    buffer: bytearray = field(default_factory=lambda: bytearray(2 * TARGET))
    used: int = 0
    ids: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


class Dedup(Protocol):
    """Decides which chunks are stored. Thread-safe."""

    def claim(self, ids: bytes) -> list[int]:
        """ids: 32 bytes each. The positions of those that are stored nowhere; from now on the caller stores
        them."""
        ...


class Uploader(Protocol):
    """Stores packs. Thread-safe."""

    def upload(self, pack: OpenPack) -> None:
        """Stores a full pack."""
        ...


class Caller:
    """One thread that hands jobs to the pipeline, and waits for all of its own. Not thread-safe."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.jobs: list[Job] = []
        self.hashed = 0
        """How many of the jobs have their ids. The pipeline's lock protects it."""
        self.error: BaseException | None = None
        """The first error of a batch."""

    def lend(self) -> Region:
        """A region to fill, with one user: this caller. Waits while all are in work."""
        return self._pipeline.lend()

    def give_back(self, region: Region) -> None:
        self._pipeline.give_back(region)

    def submit(self, job: Job) -> None:
        """Hands a job to the workers, which become users of its region."""
        self._pipeline.submit(job)
        self.jobs.append(job)

    def check(self) -> None:
        """Raises the first error of a batch."""
        if self.error:
            raise self.error

    def wait(self) -> None:
        """Until every chunk has its id. Raises the error of a batch, or of a thread that failed."""
        self._pipeline.wait(lambda: self.hashed == len(self.jobs))
        self.check()

    def wait_for_reads(self) -> None:
        """Until no worker reads for these jobs, and none will. Raises nothing."""
        self._pipeline.wait_for_reads(self.jobs)


class Pipeline:
    """Threads, pools and the open pack of one session. Threads are started by the first job."""

    def __init__(
        self,
        id_key: bytes,
        session: bytes,
        sealer: Sealer,
        dedup: Dedup,
        uploader: Uploader,
        uploads: int = 2,
    ) -> None:
        """uploads: how many run in parallel."""
        self._id_key, self._session, self._sealer = id_key, session, sealer
        self._dedup, self._uploader, self._uploads = dedup, uploader, uploads
        # One more than uploads, so that filling never waits for storing. Two processors take longer to fill a
        # pack than a disk takes to store one.
        self._most_buffers = uploads + (_WORKERS > 2 or uploads != 2)
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._packs: queue.SimpleQueue[OpenPack | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._free_regions: list[Region] = []
        self._free_packs: list[mmap.mmap] = []
        self._regions = self._buffers = self._callers = 0
        self._working = self._uploading = 0
        self._open: OpenPack | None = None
        self._gathered: _Gathered | None = None
        self._spare: list[_Gathered] = []

    # ── the caller's side ───────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def caller(self) -> Iterator[Caller]:
        """Each caller adds a region to the pool: so none waits for another caller's producer."""
        with self._changed:
            self._callers += 1
        try:
            yield Caller(self)
        finally:
            with self._changed:
                self._callers -= 1
                if not self._callers:  # the next caller may come much later, or never
                    self._free_buffers()

    def lend(self) -> Region:
        """A region to fill, with one user: the caller. Waits while all are in use."""
        with self._changed:
            self._wait(lambda: self._free_regions or self._regions < _REGIONS + self._callers)
            if self._free_regions:
                region = self._free_regions.pop()
            else:
                region = Region()
                self._regions += 1
            region.users = 1
            return region

    def give_back(self, region: Region) -> None:
        with self._changed:
            region.users -= 1
            if not region.users:
                if self._callers:
                    self._free_regions.append(region)
                else:
                    self._regions -= 1
                self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """Hands a job to the workers, which become users of its region."""
        with self._changed:
            self._check()
            job.region.users += 1
            self._working += 1
        self._start()
        self._jobs.put(job)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Until `condition` holds; it is checked again after each change. Raises the error of a thread that
        failed."""
        with self._changed:
            self._wait(condition)

    def wait_for_reads(self, jobs: Sequence[Job]) -> None:
        """Until no worker reads for these jobs, and none will. Raises nothing."""
        with self._changed:
            while any(job.read for job in jobs):
                self._changed.wait()

    def drain(self) -> None:
        """Returns when every chunk handed in is in a stored pack."""
        self.wait(lambda: not self._working)
        with self._changed:
            gathered, self._gathered = self._gathered, None
        if gathered:
            self._frame_gathered(gathered)
        with self._changed:
            if self._open:
                self._close(self._open)
        self.wait(lambda: not self._uploading)

    def _free_buffers(self) -> None:
        """Under the lock: returns the unused memory."""
        self._regions -= len(self._free_regions)
        self._buffers -= len(self._free_packs)
        self._free_regions.clear()
        self._free_packs.clear()

    def close(self) -> None:
        """Ends the threads and frees the buffers. Chunks that were not drained are abandoned."""
        with self._changed:
            self._failure = self._failure or RuntimeError("the session is closed")
            self._changed.notify_all()
        for _ in self._threads:
            self._jobs.put(None)
            self._packs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._free_regions.clear()
        self._free_packs.clear()

    # ── threads ─────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        with self._changed:
            if self._threads:
                return
            kinds = [self._run_jobs] * _WORKERS + [self._run_uploads] * self._uploads
            self._threads = [threading.Thread(target=k, name="undivided-vault", daemon=True) for k in kinds]
        for thread in self._threads:
            thread.start()

    def _run_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._failure:
                self._guarded(self._work, job)
            with self._changed:
                job.read = None
                self._working -= 1
                self._changed.notify_all()
            del job  # while it waits, a thread keeps no buffer alive

    def _run_uploads(self) -> None:
        while (pack := self._packs.get()) is not None:
            if not self._failure:
                self._guarded(self._uploader.upload, pack)
            with self._changed:
                if self._callers:
                    self._free_packs.append(pack.buffer)
                else:
                    self._buffers -= 1
                self._uploading -= 1
                self._changed.notify_all()
            del pack

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001  it is raised again to the session's owner
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _wait(self, condition: Callable[[], Any]) -> None:
        self._check()
        while not condition():
            self._changed.wait()
            self._check()

    # ── a worker's side ─────────────────────────────────────────────────────────────────────────────────────

    def _work(self, job: Job) -> None:
        if job.read:
            try:
                job.read()
            except BaseException as error:  # noqa: BLE001  raised to its caller alone
                job.caller.error = job.caller.error or error
                job.lengths.clear()
            job.read = None
        view, at, key = job.region.view, job.start, self._id_key
        ids = []
        for length in job.lengths:
            ids.append(blake3(view[at : at + length], key=key).digest())
            at += length
        job.ids = b"".join(ids)
        with self._changed:
            job.caller.hashed += 1
            self._changed.notify_all()
        fresh = self._dedup.claim(job.ids)
        if len(fresh) == len(ids) and (at - job.start >= TARGET // 2):
            self._frame(view[job.start : at], job.ids, job.lengths)
        elif fresh:
            self._gather(view, job, ids, fresh)
        self.give_back(job.region)

    def _gather(self, view: memoryview, job: Job, ids: list[bytes], fresh: list[int]) -> None:
        starts = (np.cumsum(job.lengths) - job.lengths + job.start).tolist()
        for i in fresh:
            start, length = starts[i], job.lengths[i]
            if length >= TARGET:
                self._frame(view[start : start + length], ids[i], [length])
                continue
            full = None
            with self._changed:
                gathered = self._gathered
                if gathered is None:
                    gathered = self._gathered = self._spare.pop() if self._spare else _Gathered()
                end = gathered.used + length
                gathered.buffer[gathered.used : end] = view[start : start + length]
                gathered.used = end
                gathered.ids.append(ids[i])
                gathered.lengths.append(length)
                if end >= TARGET:
                    full, self._gathered = gathered, None
            if full:
                self._frame_gathered(full)

    def _frame_gathered(self, gathered: _Gathered) -> None:
        plain = memoryview(gathered.buffer)[: gathered.used]
        self._frame(plain, b"".join(gathered.ids), gathered.lengths)
        gathered.used = 0
        gathered.ids, gathered.lengths = [], []
        with self._changed:
            self._spare.append(gathered)

    def _frame(self, plain: memoryview, ids: bytes, lengths: list[int]) -> None:
        """Compresses and seals one frame into the open pack."""
        assert len(ids) == CHUNK_ID_BYTES * len(lengths)
        codec, packed = compress(plain)
        with self._changed:
            if self._open and not self._open.fits(len(packed)):
                self._close(self._open)
            while self._open is None:
                self._wait(lambda: self._open or self._free_packs or self._buffers < self._most_buffers)
                if self._open is None:
                    self._open = OpenPack(self._pack_buffer())
            pack = self._open
            counter = self._sealer.count()
            out = pack.allocate(len(packed), len(plain), codec, counter, ids, lengths)
        self._sealer.seal_into(counter, packed, self._session, out)
        with self._changed:
            pack.pending -= 1
            if pack.closed and not pack.pending:
                self._packs.put(pack)

    def _pack_buffer(self) -> mmap.mmap:
        if self._free_packs:
            return self._free_packs.pop()
        self._buffers += 1
        return pages(CAPACITY)

    def _close(self, pack: OpenPack) -> None:
        pack.closed = True
        self._open = None
        self._uploading += 1
        if not pack.pending:
            self._packs.put(pack)
