"""The files of an operator: configuration, services, keys.

`file_errors` is `error_context` for them: it adds the hint that fits the error. They are written by
host/atomic_files.py, so that a crash leaves the old or the new file, never half of either.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..model.errors import UndividedError, error_context

_OWNER = "Run the command as the owner of the configuration, or as root."
_HINTS = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EEXIST: "A file has the name of the directory. Move the file away.",
    errno.ENOTDIR: "A file has the name of the directory. Move the file away.",
    errno.ENOSPC: "Free some space there, then run the command again.",
    errno.EDQUOT: "The quota is used up. Raise it or free some space, then run the command again.",
    errno.EROFS: "The filesystem is mounted read-only: remount it, or use another directory.",
    errno.EIO: "The disk reports errors: see the kernel log.",
}


@contextmanager
def file_errors(
    doing: str, hint: str = "", *, raises: type[UndividedError] = UndividedError
) -> Iterator[None]:
    """Puts `doing` on every failure inside the block: an OSError, or a file that is not text, becomes a
    `raises`. hint: empty for the one that fits the error."""
    try:
        with error_context(doing, hint or _HINTS, raises=raises):
            yield
    except UnicodeDecodeError as error:
        usual = "It is damaged, or another kind of file."
        raise raises("the file is not text", doing=doing, hint=hint or usual) from error


def read_text(path: Path) -> str | None:
    """None when the file does not exist."""
    with file_errors(f"read {path}"):
        try:
            return path.read_text()
        except FileNotFoundError:
            return None


def read_bytes(path: Path) -> bytes | None:
    """None when the file does not exist."""
    with file_errors(f"read {path}"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
