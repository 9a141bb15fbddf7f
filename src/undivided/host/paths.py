"""The directories of configuration, state and the primary vault, and writing files there.

    --config, UNDIVIDED_CONFIG   DIR                DIR/state            DIR/vault
    root                         /etc/undivided     /var/lib/undivided   /var/backups/undivided
    anyone else                  $XDG_CONFIG_HOME   $XDG_STATE_HOME      $XDG_DATA_HOME

Files are written by host/atomic_files.py: a crash leaves the old or the new one, never half of either.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from ..model.errors import UndividedError, error_context, translated
from .atomic_files import create_file, replace_file

_HINTS = {
    errno.EACCES: "Run the command as the owner of the configuration, or as root.",
    errno.EPERM: "Run the command as the owner of the configuration, or as root.",
    errno.ENOSPC: "Free some space there, then run the command again.",
    errno.EDQUOT: "The quota is used up. Raise it or free some space, then run the command again.",
    errno.EROFS: "The filesystem is mounted read-only: remount it, or use another directory.",
    errno.EIO: "The disk reports errors: see the kernel log.",
}


class DefaultPaths(NamedTuple):
    config: Path
    state: Path
    vault: Path
    """The directory in which `init` creates the primary vault without --vault."""


def default_paths(config: Path | None) -> DefaultPaths:
    """config: the value of --config."""
    given = config or os.environ.get("UNDIVIDED_CONFIG")
    if given:
        base = Path(given).absolute()
        return DefaultPaths(base, base / "state", base / "vault")
    if os.geteuid() == 0:
        return DefaultPaths(
            Path("/etc/undivided"), Path("/var/lib/undivided"), Path("/var/backups/undivided")
        )
    return DefaultPaths(
        _xdg("XDG_CONFIG_HOME", ".config") / "undivided",
        _xdg("XDG_STATE_HOME", ".local/state") / "undivided",
        _xdg("XDG_DATA_HOME", ".local/share") / "undivided" / "vault",
    )


def _xdg(variable: str, fallback: str) -> Path:
    given = os.environ.get(variable, "")
    return Path(given) if given.startswith("/") else Path.home() / fallback


def file_error(error: OSError | UnicodeDecodeError, doing: str) -> UndividedError:
    """A file that the operating system refused to read or write, or that is not text, as an error of ours."""
    if isinstance(error, UnicodeDecodeError):
        return UndividedError(
            "the file is not text", doing=doing, hint="It is damaged, or another kind of file."
        )
    return translated(error, doing, _HINTS)


def make_directory(path: Path) -> bool:
    """Makes a directory for its owner alone. Returns False if it existed already."""
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if path.is_dir():
            return False
        raise UndividedError(
            "a file of this name exists", doing=f"make directory {path}", hint="Move the file away."
        ) from None
    except OSError as error:
        raise file_error(error, f"make directory {path}") from error
    return True


def save(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Writes or replaces the file, durably."""
    with error_context(f"write {path}", _HINTS):
        replace_file(path, data, mode)


def save_new(path: Path, data: bytes) -> bool:
    """Writes the file, durably, for its owner alone. Returns False, and changes nothing, when it exists."""
    with error_context(f"write {path}", _HINTS):
        return create_file(path, data)
