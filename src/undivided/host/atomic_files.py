"""Writes files so that a crash leaves the old or the new file, never half of either.

    write the bytes aside ▸ fsync the file ▸ rename or link it to its name ▸ fsync the directory

fsync makes the bytes of a file durable, but not its name: the name lies in the directory, which needs an
fsync of its own. Without it a file that was reported as written can be missing after a power loss.

The functions raise OSError. Each caller turns it into an error that names the purpose of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .crashpoints import crashpoint


def replace_file(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """Writes or replaces a file, durably."""
    with _written_aside(path, data, mode) as aside:
        os.rename(aside, path)
        crashpoint("save.replaced")
        sync_directory(os.path.dirname(path) or ".")


def create_file(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> bool:
    """Writes a new file, durably. Returns False, and changes nothing, when the name is taken."""
    with _written_aside(path, data, mode) as aside:
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(aside)
        crashpoint("save.replaced")
        sync_directory(os.path.dirname(path) or ".")
        return True


def write_synced(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """Writes a file and makes its bytes durable; its name is not durable yet. An old file of this name is
    removed first, not written over: another process may have it mapped into its memory."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def make_directories(path: str | os.PathLike[str]) -> bool:
    """mkdir -p that survives power loss: each new directory is made durable in its parent. Mode 0700. Returns
    False, and changes nothing, when the directory exists. Raises FileExistsError if a file has its name."""
    if os.path.isdir(path):
        return False
    parent = os.path.dirname(path) or "."
    make_directories(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if os.path.isdir(path):
            return False
        raise
    sync_directory(parent)
    return True


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written_aside(path: str | os.PathLike[str], data: bytes, mode: int) -> Iterator[str]:
    """The bytes under a name that only this process uses, in the same directory. A failure names `path`: the
    other name means nothing to an operator."""
    directory, name = os.path.split(os.fspath(path))
    aside = os.path.join(directory, f".{name}.{os.getpid()}")
    try:
        write_synced(aside, data, mode)
        crashpoint("save.written")
        yield aside
    except OSError as error:
        with suppress(OSError):  # half a file would take room on a full disk
            os.unlink(aside)
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
