"""Writing files past the page cache.

The copy of restored bytes into the page cache costs more processor time than decrypting and decompressing
them, and it evicts what applications use. So whole pages go straight from the caller's memory to the disk
(O_DIRECT), when the memory is aligned like the file. The bytes before the first and after the last whole page
are written through the cache: no page is ever written both ways by one call.

Where the filesystem refuses, everything is written through the cache.
"""

from __future__ import annotations

import errno
import os

import numpy as np

Buffer = bytes | bytearray | memoryview

WORTH = 1 << 20
"""Size of a file from which direct writing pays."""
_PIECE = 256 << 10
"""Bytes from which one direct write is quicker than the cache."""
_PAGE = 4096
_REFUSED = (errno.EINVAL, errno.ENOTSUP)


def open_direct(fd: int) -> int:
    """A second descriptor of a file open for writing, which bypasses the cache; -1 where that is not
    possible. The first one stays for what is not aligned."""
    try:
        return os.open(b"/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:  # the filesystem has no such writing, or /proc is not mounted
        return -1


def write_at(fd: int, data: Buffer, offset: int, direct: int = -1) -> None:
    """Writes all of `data` at `offset`. direct: a descriptor from open_direct. The file should have its size
    already: a direct write that makes it longer waits for all others. Raises OSError."""
    view = memoryview(data)
    if direct >= 0 and len(view) >= _PIECE and _address(view) % _PAGE == offset % _PAGE:
        first = -offset % _PAGE
        last = first + (len(view) - first) // _PAGE * _PAGE
        done = _write_pages(direct, view[first:last], offset + first)
        _write_cached(fd, view[:first], offset)
        view, offset = view[first + done :], offset + first + done
    _write_cached(fd, view, offset)


def _write_pages(direct: int, view: memoryview, offset: int) -> int:
    """How many bytes were written, from the first on."""
    done = 0
    try:
        while done < len(view):
            done += os.pwrite(direct, view[done:], offset + done)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
    return done


def _write_cached(fd: int, view: memoryview, offset: int) -> None:
    done = 0
    while done < len(view):
        done += os.pwrite(fd, view[done:], offset + done)


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
