"""Changes of a tree since it was walked: inotify with one watch per directory, which needs no privilege.

Each watch is placed before its directory is listed, so no change is missed in between. Events are hints: they
say which names to look at again. The caller has to deal with changes that inotify does not report: writes
through a shared mapping, writes through another name of the file outside the tree, and every change after the
queue has overflowed (`lost`).
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import select
import struct
import threading
from collections.abc import Iterable

from ..host.names import ROOT

_CREATE, _DELETE, _MODIFY, _ATTRIB, _CLOSE_WRITE = 0x100, 0x200, 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x400, 0x800
_OVERFLOW, _IGNORED, _ONLYDIR = 0x4000, 0x8000, 0x01000000
_MASK = (
    _CREATE | _DELETE | _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE_SELF | _MOVE_SELF
    | _ONLYDIR
)  # fmt: skip
_HEAD = struct.Struct("iIII")
_CHUNK = 1 << 16

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


class InotifyWatch:
    """Collects the paths that may have changed. A thread empties the kernel's queue, which is short."""

    def __init__(self) -> None:
        self.lost = False
        """Whether events were missed, or a directory could not be watched: only a walk finds all changes
        now."""
        self._lock = threading.Lock()
        self._paths: dict[int, bytes] = {}
        self._touched: set[bytes] = set()
        self._early: list[tuple[int, int, bytes]] | None = None
        self._thread: threading.Thread | None = None
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = os.eventfd(0)
        if self._fd < 0:
            self._lose(f"inotify is not available: {os.strerror(ctypes.get_errno()).lower()}")
            return
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()

    @property
    def descriptor(self) -> int:
        """Of the kernel's queue; -1 when there is none."""
        return self._fd

    def entering(self, fd: int, path: bytes) -> None:
        """Watches an open directory. Placing it again under a new path moves it there."""
        if self._fd < 0:
            return
        with self._lock:
            number = _libc.inotify_add_watch(self._fd, b"/proc/self/fd/%d" % fd, _MASK)
            if number < 0:
                self._refused(ctypes.get_errno())
                return
            if number in self._paths:
                self._drain()  # the events up to now belong to the old path
            self._paths[number] = path

    def expect(self) -> None:
        """Other processes are about to place watches on this queue (`place`): events that name an unknown
        watch are kept until `adopt` explains them."""
        with self._lock:
            self._early = []

    def place(self, fd: int) -> tuple[int, int]:
        """Places a watch and nothing else, for a forked child: (its number, 0) or (-1, errno)."""
        number = _libc.inotify_add_watch(self._fd, b"/proc/self/fd/%d" % fd, _MASK) if self._fd >= 0 else -1
        return number, ctypes.get_errno() if number < 0 else 0

    def adopt(self, placed: Iterable[tuple[int, int, bytes]]) -> None:
        """What other processes placed: (number, errno, path) of each directory."""
        with self._lock:
            for number, code, path in placed:
                if number < 0:
                    self._refused(code)
                elif self._paths.setdefault(number, path) != path:
                    # Renamed during the walk: which of the names is the newer one is not known.
                    self._lose("a directory was renamed during the walk")
            early, self._early = self._early or [], None
            for event in early:
                self._take(*event)

    def take_touched(self) -> set[bytes]:
        """The paths touched since the last call."""
        with self._lock:
            self._drain()
            touched, self._touched = self._touched, set()
            return touched

    def recovered(self) -> None:
        """A full walk has found all changes up to now: lost events no longer matter."""
        if self._fd >= 0:
            self.lost = False

    def end(self) -> None:
        """No further calls will come. The kernel takes 15 ms to remove ten thousand watches: the thread waits
        for it, not the caller. Idempotent."""
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        if self._wake >= 0:
            self.end()
            if self._thread:
                self._thread.join()
            os.close(self._wake)
            self._wake = -1

    def _follow(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._wake in ready:
                with self._lock:
                    fd, self._fd = self._fd, -1
                os.close(fd)
                return
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        while self._fd >= 0:
            try:
                events = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                return
            place = 0
            while place < len(events):
                number, mask, _, length = _HEAD.unpack_from(events, place)
                place += _HEAD.size
                name = events[place : place + length].rstrip(b"\0")
                place += length
                self._take(number, mask, name)

    def _refused(self, code: int) -> None:
        """A directory could not be watched. One that is gone needs no watch."""
        if self._fd >= 0 and code not in (errno.ENOENT, errno.ENOTDIR):
            hint = "; raise fs.inotify.max_user_watches" if code == errno.ENOSPC else ""
            self._lose(f"a directory cannot be watched: {os.strerror(code).lower()}{hint}")

    def _lose(self, reason: str) -> None:
        if not self.lost:
            _log.warning("changes of the tree are found by reading all of it again: %s", reason)
        self.lost = True

    def _take(self, number: int, mask: int, name: bytes) -> None:
        if mask & _OVERFLOW:
            self._lose("the queue of inotify events has overflowed")
            return
        folder = self._paths.get(number)
        if folder is None:
            if self._early is not None:
                self._early.append((number, mask, name))
            return
        if mask & _IGNORED:
            del self._paths[number]
            return
        if not name:
            self._touched.add(folder)
            return
        if mask & (_CREATE | _DELETE | _MOVED_FROM | _MOVED_TO):
            self._touched.add(folder)  # its own times have changed
        self._touched.add(name if folder == ROOT else folder + b"/" + name)
