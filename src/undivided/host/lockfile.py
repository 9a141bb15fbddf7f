"""One process at a time: a lock on a file. The kernel drops the lock when its holder ends, also when it is
killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..model.errors import UndividedError


@contextmanager
def exclusive(file: Path, doing: str, busy: str) -> Iterator[None]:
    """Only one process at a time runs this block. Raises UndividedError with the cause `busy` if another
    process is in it, OSError if the file cannot be created. The file stays: if it were removed, two processes
    could lock two files of the same name."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UndividedError(busy, doing=doing, hint="Wait until it has finished.") from None
        yield
    finally:
        os.close(lock)
