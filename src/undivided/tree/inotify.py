"""What changes in a tree while we look elsewhere: inotify, a watch per directory, so it needs no privilege.

Each watch is placed before its directory is listed, so nothing falls between. The events are hints: which
names to look at again. What inotify cannot see is known and left to the caller: writes through a shared
mapping, through another name of the file outside the tree, and everything once its queue has run over
(`lost`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading

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

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


class InotifyWatch:
    """Collects the paths that may have changed. A thread empties the kernel's queue, which is short."""

    def __init__(self) -> None:
        self.lost = False
        """Whether events were missed, or a directory could not be watched: only a walk knows now."""
        self._lock = threading.Lock()
        self._paths: dict[int, bytes] = {}
        self._touched: set[bytes] = set()
        self._thread: threading.Thread | None = None
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = os.eventfd(0)
        if self._fd < 0:
            self.lost = True
            return
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()

    def entering(self, fd: int, path: bytes) -> None:
        """Watches an open directory. Placing it again under a new path moves it there."""
        if self._fd < 0:
            return
        with self._lock:
            number = _libc.inotify_add_watch(self._fd, b"/proc/self/fd/%d" % fd, _MASK)
            if number < 0:
                if ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR):
                    self.lost = True
                return
            if number in self._paths:
                self._drain()  # what has come until now was meant for the old path
            self._paths[number] = path

    def taken(self) -> set[bytes]:
        """The paths touched up to now, each told once."""
        with self._lock:
            self._drain()
            touched, self._touched = self._touched, set()
            return touched

    def found_again(self) -> None:
        """A full walk has seen everything up to now: what was lost no longer matters."""
        if self._fd >= 0:
            self.lost = False

    def end(self) -> None:
        """Nothing will be asked any more. The kernel takes 15 ms to let ten thousand watches go: the thread
        waits for it, not the caller. Idempotent."""
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

    def _take(self, number: int, mask: int, name: bytes) -> None:
        if mask & _OVERFLOW:
            self.lost = True
            return
        folder = self._paths.get(number)
        if folder is None:
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
