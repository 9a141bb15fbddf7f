"""The pipeline from plain bytes to stored packs: where a backup's time goes, so all of it runs side by side.

    caller            divides into chunks, in buffers lent by the pool        (chunker.py)
      │ jobs: about 1 MiB of chunks that lie next to each other, or a place for a batch of small files
    workers, one per core: read the batch ▸ hash ▸ is it known? ▸ compress ▸ seal into the open pack
      │ full packs
    uploaders: footer ▸ SHA-256 ▸ write and fsync

Everything heavy releases the interpreter's lock. Memory is bounded by the pools: whoever is ahead waits. A
thread that fails stops the whole session: the error is raised to whoever calls next, and nothing is
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
from typing import Any

import numpy as np
from blake3 import blake3

from ...model.entries import CHUNK_ID_BYTES
from ..crypto.aead import Sealer
from ..format.frames import TARGET, compress
from ..format.pack import CAPACITY, OpenPack

REGION = 8 << 20
"""Bytes of a lent buffer."""
_REGIONS = 3
_WORKERS = max(2, min(8, os.cpu_count() or 2))


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
    first, if they are not there yet. From the worker: ids, 32 bytes each, and what `read` failed with."""

    region: Region
    start: int
    done: Callable[[Job], None]
    lengths: list[int] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))
    read: Callable[[], None] | None = None
    ids: bytes = b""
    error: BaseException | None = None


@dataclass
class _Gathered:
    """Chunks copied together until they fill a frame."""

    buffer: bytearray = field(default_factory=lambda: bytearray(2 * TARGET))
    used: int = 0
    ids: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


class Pipeline:
    """Threads, pools and the open pack of one session. Threads are started by the first job."""

    def __init__(
        self,
        id_key: bytes,
        session: bytes,
        sealer: Sealer,
        claim: Callable[[bytes], list[int]],
        upload: Callable[[OpenPack], None],
        uploads: int = 2,
    ) -> None:
        """claim: ids of a job → positions of those nobody has stored yet. upload: stores a full pack;
        uploads: how many at once."""
        self._id_key, self._session, self._sealer = id_key, session, sealer
        self._claim, self._upload, self._uploads = claim, upload, uploads
        self.changed = threading.Condition()
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
    def caller(self) -> Iterator[None]:
        """Each caller that fills regions is owed one: so none waits for another's producer."""
        with self.changed:
            self._callers += 1
        try:
            yield
        finally:
            with self.changed:
                self._callers -= 1

    def lend(self) -> Region:
        """A region to fill, with one user: the caller. Waits while all are in work."""
        with self.changed:
            self._wait(lambda: self._free_regions or self._regions < _REGIONS + self._callers)
            if self._free_regions:
                region = self._free_regions.pop()
            else:
                region = Region()
                self._regions += 1
            region.users = 1
            return region

    def give_back(self, region: Region) -> None:
        with self.changed:
            region.users -= 1
            if not region.users:
                self._free_regions.append(region)
                self.changed.notify_all()

    def submit(self, job: Job) -> None:
        """Hands a job to the workers, which become users of its region."""
        with self.changed:
            self._check()
            job.region.users += 1
            self._working += 1
        self._start()
        self._jobs.put(job)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Until `condition` holds; it is asked again after each change. Raises what a thread failed with."""
        with self.changed:
            self._wait(condition)

    def wait_for_reads(self, jobs: Sequence[Job]) -> None:
        """Until no worker reads for these jobs, nor ever will. Raises nothing."""
        with self.changed:
            while any(job.read for job in jobs):
                self.changed.wait()

    def drain(self) -> None:
        """Returns when every chunk handed in is in a stored pack."""
        self.wait(lambda: not self._working)
        with self.changed:
            gathered, self._gathered = self._gathered, None
        if gathered:
            self._frame_gathered(gathered)
        with self.changed:
            if self._open:
                self._close(self._open)
        self.wait(lambda: not self._uploading)

    def close(self) -> None:
        """Ends the threads and frees the buffers. What was not drained is abandoned."""
        with self.changed:
            self._failure = self._failure or RuntimeError("the session is closed")
            self.changed.notify_all()
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
        with self.changed:
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
            with self.changed:
                job.read = None
                self._working -= 1
                self.changed.notify_all()

    def _run_uploads(self) -> None:
        while (pack := self._packs.get()) is not None:
            if not self._failure:
                self._guarded(self._upload, pack)
            with self.changed:
                self._free_packs.append(pack.buffer)
                self._uploading -= 1
                self.changed.notify_all()

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001  it is raised again to the session's owner
            with self.changed:
                self._failure = self._failure or error
                self.changed.notify_all()

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _wait(self, condition: Callable[[], Any]) -> None:
        self._check()
        while not condition():
            self.changed.wait()
            self._check()

    # ── a worker's side ─────────────────────────────────────────────────────────────────────────────────────

    def _work(self, job: Job) -> None:
        if job.read:
            try:
                job.read()
            except BaseException as error:  # noqa: BLE001  it is the caller's, and raised to him alone
                job.error = error
                job.lengths.clear()
            job.read = None
        view, at, key = job.region.view, job.start, self._id_key
        ids = []
        for length in job.lengths:
            ids.append(blake3(view[at : at + length], key=key).digest())
            at += length
        job.ids = b"".join(ids)
        job.done(job)
        fresh = self._claim(job.ids)
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
            with self.changed:
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
        with self.changed:
            self._spare.append(gathered)

    def _frame(self, plain: memoryview, ids: bytes, lengths: list[int]) -> None:
        """Compresses and seals one frame into the open pack."""
        assert len(ids) == CHUNK_ID_BYTES * len(lengths)
        codec, packed = compress(plain)
        with self.changed:
            if self._open and not self._open.fits(len(packed)):
                self._close(self._open)
            while self._open is None:
                self._wait(lambda: self._open or self._free_packs or self._buffers <= self._uploads)
                if self._open is None:
                    self._open = OpenPack(self._pack_buffer())
            pack = self._open
            counter = self._sealer.count()
            out = pack.allocate(len(packed), len(plain), codec, counter, ids, lengths)
        self._sealer.seal_into(counter, packed, self._session, out)
        with self.changed:
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
