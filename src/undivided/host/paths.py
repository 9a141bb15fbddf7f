"""Where configuration, state and the primary vault live, and how files there are written.

    --config, UNDIVIDED_CONFIG   DIR                DIR/state            DIR/vault
    root                         /etc/undivided     /var/lib/undivided   /var/backups/undivided
    anyone else                  $XDG_CONFIG_HOME   $XDG_STATE_HOME      $XDG_DATA_HOME

Files there are written by host/atomic_files.py: old or new after a crash, never half of either.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from ..model.errors import UndividedError, error_context, translated
from .atomic_files import create_file, replace_file

_HINTS = {
    errno.EACCES: "Run it as the user whose configuration this is, or as root.",
    errno.EPERM: "Run it as the user whose configuration this is, or as root.",
    errno.ENOSPC: "Free some space there, then run it again.",
    errno.EDQUOT: "The quota is used up. Raise it or free some space, then run it again.",
    errno.EROFS: "The filesystem is mounted read-only.",
    errno.EIO: "The disk reports errors: look at the kernel log.",
}


class Places(NamedTuple):
    config: Path
    state: Path
    vault: Path
    """Where `init` puts the primary vault when it is not told."""


def places(config: Path | None) -> Places:
    """config: what --config said."""
    told = config or os.environ.get("UNDIVIDED_CONFIG")
    if told:
        base = Path(told).absolute()
        return Places(base, base / "state", base / "vault")
    if os.geteuid() == 0:
        return Places(Path("/etc/undivided"), Path("/var/lib/undivided"), Path("/var/backups/undivided"))
    return Places(
        _xdg("XDG_CONFIG_HOME", ".config") / "undivided",
        _xdg("XDG_STATE_HOME", ".local/state") / "undivided",
        _xdg("XDG_DATA_HOME", ".local/share") / "undivided" / "vault",
    )


def _xdg(variable: str, fallback: str) -> Path:
    told = os.environ.get(variable, "")
    return Path(told) if told.startswith("/") else Path.home() / fallback


def refused(error: OSError | UnicodeDecodeError, doing: str) -> UndividedError:
    """What the operating system did not do for us, or a file that is not what it should be."""
    if isinstance(error, UnicodeDecodeError):
        return UndividedError("it is not text", doing=doing, hint="It was damaged, or is another file.")
    return translated(error, doing, _HINTS)


def make_directory(path: Path) -> bool:
    """A directory for us alone. Returns whether it had to be made."""
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if path.is_dir():
            return False
        raise UndividedError(
            "there is a file of that name", doing=f"make directory {path}", hint="Move it away."
        ) from None
    except OSError as error:
        raise refused(error, f"make directory {path}") from error
    return True


def save(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Writes or replaces the file, durably."""
    with error_context(f"write {path}", _HINTS):
        replace_file(path, data, mode)


def save_new(path: Path, data: bytes) -> bool:
    """Writes the file, durably, for its owner alone. Returns False, and changes nothing, when it exists."""
    with error_context(f"write {path}", _HINTS):
        return create_file(path, data)
