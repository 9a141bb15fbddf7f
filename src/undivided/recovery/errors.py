"""Errors that say what recovery was doing: what the operating system refuses, and what others left unsaid."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..model.errors import UndividedError

_HINTS = {
    errno.ENOSPC: "Free some space there, or recover to another filesystem.",
    errno.EDQUOT: "Free some space there, or recover to another filesystem.",
    errno.EACCES: "Recover as a user who may write there, as root to keep owners.",
    errno.EPERM: "Recover as a user who may write there, as root to keep owners.",
    errno.EROFS: "The filesystem is mounted read-only: remount it, or recover to another.",
    errno.EBUSY: "Something is mounted there or in use: recover to a directory beneath the mount point.",
    errno.EXDEV: "Two filesystems meet there: recover to a directory beneath the mount point.",
}


@contextmanager
def doing(what: str) -> Iterator[None]:
    """An OSError raised inside becomes an UndividedError that tells what was being done."""
    try:
        yield
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        at = f": {error.filename!s}" if error.filename else ""
        raise UndividedError(cause + at, doing=what, hint=_HINTS.get(error.errno or 0, "")) from error


@contextmanager
def naming(what: str) -> Iterator[None]:
    """An error raised inside that does not say what was being done, says this."""
    try:
        yield
    except UndividedError as error:
        error.doing = error.doing or what
        raise
