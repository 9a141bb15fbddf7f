"""One process at a time: a lock on a file, which ends with its holder however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..model.errors import UndividedError


@contextmanager
def alone(file: Path, doing: str, busy: str) -> Iterator[None]:
    """Raises UndividedError with `busy` as its cause while another process is inside; OSError when the file
    cannot be made. The file stays: removing it would let two processes lock two files of one name."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UndividedError(busy, doing=doing, hint="Wait for it to end.") from None
        yield
    finally:
        os.close(lock)
