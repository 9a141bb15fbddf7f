"""Opens paths below a directory, and never outside it.

Other processes may write where a recovery writes, and an image may come from an attacker. So no path is
resolved through a symbolic link. The kernel guarantees this in one call (`openat2` with RESOLVE_BENEATH and
RESOLVE_NO_SYMLINKS, Linux 5.6), even while another process replaces a directory by a link. On older kernels,
and where a sandbox forbids the call, each component is opened by itself with O_NOFOLLOW: as safe, but slower.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType

from .names import ROOT, parent_of

_log = logging.getLogger(__name__)

_SYS_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS
HERE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""Flags to open a directory in which only names are looked up."""

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_WRITE = 2


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_BYTES = ctypes.sizeof(_How)


@lru_cache(maxsize=64)
def _how(flags: int, mode: int) -> tuple[_How, int]:
    """One structure per kind of call. Threads share it, because the kernel only reads it."""
    how = _How(flags, mode, _RESOLVE)
    return how, ctypes.addressof(how)


class RootedDirectory:
    """A directory below which paths are opened. Thread-safe; a context manager."""

    def __init__(self, root: str | bytes | os.PathLike[str]) -> None:
        """Raises OSError if root is no directory."""
        self.fd = os.open(root, HERE)
        self.device = os.fstat(self.fd).st_dev
        self.has_openat2 = True

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A descriptor of `path` below the root, close-on-exec. Raises OSError: ELOOP or EXDEV if a symbolic
        link or anything else leads outside."""
        flags |= os.O_CLOEXEC
        if self.has_openat2:
            _, address = _how(flags, mode)
            fd = _syscall(_SYS_OPENAT2, self.fd, path, address, _HOW_BYTES)
            if fd >= 0:
                return int(fd)
            code = ctypes.get_errno()
            if code == errno.EAGAIN:  # another process renamed something during the resolution
                return self.open(path, flags, mode)
            if code not in (errno.ENOSYS, errno.EPERM):
                raise OSError(code, os.strerror(code), path)
            self.has_openat2 = code == errno.EPERM and self._works()
            if self.has_openat2:
                raise OSError(code, os.strerror(code), path)
            _log.debug("openat2 is not available (%s): paths are opened step by step", os.strerror(code))
        return self._step_by_step(path, flags, mode)

    @contextmanager
    def directory(self, path: bytes) -> Iterator[int]:
        """A descriptor of a directory (O_PATH), for calls that take one and a single name."""
        fd = self.open(path, HERE)
        try:
            yield fd
        finally:
            os.close(fd)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> RootedDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _works(self) -> bool:
        """False if a sandbox forbids the call: then the error was not about the file."""
        _, address = _how(HERE, 0)
        fd = _syscall(_SYS_OPENAT2, self.fd, ROOT, address, _HOW_BYTES)
        if fd >= 0:
            os.close(fd)
        return bool(fd >= 0)

    def _step_by_step(self, path: bytes, flags: int, mode: int) -> int:
        if b".." in path.split(b"/") or path.startswith(b"/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        here = os.dup(self.fd)
        try:
            folder = parent_of(path)
            for name in folder.split(b"/") if folder != ROOT else ():
                below = os.open(name, HERE | os.O_NOFOLLOW, dir_fd=here)
                os.close(here)
                here = below
            return os.open(path.rpartition(b"/")[2], flags | os.O_NOFOLLOW, mode, dir_fd=here)
        finally:
            os.close(here)


def syncfs(fd: int) -> None:
    """Writes the filesystem of an open file to the disk. Raises OSError if that failed."""
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def begin_flushing(fd: int, offset: int, length: int) -> None:
    """Starts to write a part of a file to the disk, without waiting. Only a hint to the kernel: `syncfs`
    writes the rest and reports errors."""
    _sync_file_range(fd, offset, length, _WRITE)
