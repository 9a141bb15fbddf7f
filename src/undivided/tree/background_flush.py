"""The disk at work while a tree is being written.

The kernel keeps written files in memory for seconds, so the flush that makes a restored tree durable would
find nearly all of it still to be done, with the processors idle. A thread of its own flushes the filesystem
each time some megabytes more were written. What fails there is reported by the last flush: each open
descriptor sees every error of its filesystem once.
"""

from __future__ import annotations

import os
import threading

from ..host.rooted import syncfs

_EVERY = 64 << 20


class BackgroundFlush:
    """One thread, started by the first megabytes. fd: of the directory that is written to."""

    def __init__(self, fd: int) -> None:
        self._fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        self._written = 0
        self._due = threading.Semaphore(0)
        self._ended = False
        self._thread: threading.Thread | None = None

    def add(self, count: int) -> None:
        """Bytes were written. From any thread; a count that is lost to a race only delays a flush."""
        self._written += count
        if self._written < _EVERY:
            return
        self._written = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._flush, name="undivided-flush", daemon=True)
            self._thread.start()
        self._due.release()

    def close(self) -> None:
        """Ends the thread after the flush that is under way. Idempotent."""
        self._ended = True
        if self._thread:
            self._due.release()
            self._thread.join()
            self._thread = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _flush(self) -> None:
        while True:
            self._due.acquire()
            while self._due.acquire(blocking=False):
                pass
            if self._ended:
                return
            try:
                syncfs(self._fd)
            except OSError:
                return  # the last flush, through another descriptor, reports it
