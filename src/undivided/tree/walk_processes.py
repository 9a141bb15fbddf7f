"""A walk shared by several processes.

A walk is two or three short system calls an entry. Threads cannot share it: they would hand the interpreter
to each other at every call, which costs more than the call. So a process forks once it has found some hundred
directories that are still to be listed. The processes take jobs from one pipe, which was filled before the
fork, and each job is a few of these directories with all that they contain. At the end each child sends its
columns.

A child runs nothing but the walk and ends without returning, so locks, connections and buffers of other
threads are not touched. It closes every descriptor that it does not need, because a file lock or a connection
ends only when the last process has closed it. And it ends with its parent, also when the parent is killed.
A child that fails costs time, not correctness: the caller then walks alone. Where the system permits no more
processes, fewer share the walk.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import marshal
import os
import signal
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, cast

from ..model.errors import reason

T = TypeVar("T")
R = TypeVar("R")
FRONTIER = 256
"""Directories still to be listed from which a fork pays."""
PROCESSES = min(4, len(os.sched_getaffinity(0)))
_JOBS = 1024  # numbers of four bytes, which the smallest pipe holds
_JOB = struct.Struct("<I")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_log = logging.getLogger(__name__)


def share(
    items: Sequence[T],
    work: Callable[[T], None],
    child_work: Callable[[T], None],
    child_result: Callable[[], R],
    processes: int = PROCESSES,
    descriptors: Collection[int] = (),
) -> list[R] | None:
    """Does the work of every item in this process or in a child, in any order. descriptors: those that the
    work of a child uses; all others are closed there, except the standard streams. Returns what child_result
    returned in each child (any value that `marshal` knows), None when a child failed."""
    jobs = min(len(items), _JOBS)
    take, fill = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.write(fill, b"".join(map(_JOB.pack, range(jobs))))
    os.close(fill)

    def run(work: Callable[[T], None]) -> None:
        while number := _next(take):
            for item in items[_JOB.unpack(number)[0] :: jobs]:
                work(item)

    children: list[tuple[int, int]] = []
    try:
        for _ in range(processes - 1):
            try:
                children.append(_forked(lambda: run(child_work), child_result, {*descriptors, take}))
            except OSError as error:
                _log.info("the walk is shared by %d processes: %s", 1 + len(children), reason(error))
                break
        run(work)
        return cast(list[R] | None, _results(children))
    finally:
        os.close(take)
        for pid, result in children:
            os.close(result)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _next(take: int) -> bytes:
    """A job, nothing when all are taken. The end of the pipe would not say that: another thread may have
    forked while we had its other end open."""
    try:
        return os.read(take, _JOB.size)
    except BlockingIOError:
        return b""


def _forked(
    work: Callable[[], None], result: Callable[[], R], descriptors: Collection[int]
) -> tuple[int, int]:
    """A child at work: its process id, and the end of a pipe to read its result from."""
    parent = os.getpid()
    read, write = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read)
        os.close(write)
        raise
    if pid:
        os.close(write)
        return pid, read
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent was killed before prctl: no signal will come
        _close_all_but({*descriptors, write})
        gc.disable()  # it would copy every page that it looks at
        work()
        payload = memoryview(marshal.dumps(cast(Any, result())))
        payload = memoryview(struct.pack("<Q", len(payload)) + payload)
        while payload:
            payload = payload[os.write(write, payload) :]
    except Exception as error:  # noqa: BLE001  sent to the parent, which logs it
        os.write(write, struct.pack("<Q", 0) + repr(error).encode()[:1000])
    finally:
        os._exit(0)


def _close_all_but(descriptors: Collection[int]) -> None:
    """Closes this process's copies of all descriptors but these and the standard streams."""
    with os.scandir("/proc/self/fd") as found:
        inherited = {int(entry.name) for entry in found}
    for descriptor in inherited.difference(descriptors, (0, 1, 2)):
        os.closerange(descriptor, descriptor + 1)  # ignores that the one of the listing is closed by now


def _results(children: Sequence[tuple[int, int]]) -> list[object] | None:
    found: list[object] = []
    for pid, pipe in children:
        with open(pipe, "rb", closefd=False) as file:
            head = file.read(8)
            size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            payload = file.read(size) if size else file.read()
        if not size or len(payload) < size:
            cause = payload.decode() if payload and not size else "it was killed"
            _log.warning(
                "process %d, which shared a walk, failed: %s; the tree is walked by one process", pid, cause
            )
            return None
        found.append(marshal.loads(payload))  # noqa: S302  our own child made it
    return found
