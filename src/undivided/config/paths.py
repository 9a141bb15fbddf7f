"""The directories of configuration, state and the primary vault, where no option names others.

--config, UNDIVIDED_CONFIG   DIR                DIR/state            DIR/vault
root                         /etc/undivided     /var/lib/undivided   /var/backups/undivided
anyone else                  $XDG_CONFIG_HOME   $XDG_STATE_HOME      $XDG_DATA_HOME
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


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
