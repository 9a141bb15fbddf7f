"""The option file of a restored server, and how a server is started on a data directory.

A restored data directory carries a small `my.cnf`: the settings of the original without which its data would
not open or would mean something else, and the places of this component. Paths are left out where they are the
data directory's own, so that it can be moved.

The component's own option file (`defaults`) is used when it speaks of this data directory. One that speaks of
another is left alone: started from it, a copy would write the original's logs.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.errors import UndividedError, UsageError
from ...model.service import Component
from .programs import program
from .server_facts import SETTINGS

NAME = "my.cnf"
LOG = "mariadbd.log"
_LONGEST_SOCKET = 107
_USUAL_PORT = 3306
_KEPT = (
    *SETTINGS,
    "event_scheduler",
    "server_id",
    "log_bin",
    "binlog_format",
)


def socket_of(component: Component, directory: Path) -> str:
    """Where a server on `directory` listens. Raises UsageError when the path is too long for a socket."""
    path = str(component.get("socket") or directory / "mysqld.sock")
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise UsageError(
            f"the path of its socket is longer than {_LONGEST_SOCKET} bytes: {path}",
            doing=f"start {component.name}",
            hint="Name a shorter `socket` for this component.",
        )
    return path


def write_configuration(component: Component, into: Path, settings: Mapping[str, Any]) -> None:
    lines = [
        "# Written when this data directory was recovered. Used to start it where the service file names no",
        "# `defaults` that speak of it.",
        "[mariadbd]",
        *(f"{name}={settings[name]}" for name in _KEPT if settings.get(name) not in (None, "")),
        f"port={_own_port(component) or settings.get('port', _USUAL_PORT)}",
        f"bind_address={component.get('address', '127.0.0.1')}",
    ]
    if settings.get("skip_networking") == "ON":
        lines.append("skip_networking")
    if component.get("socket"):
        lines.append(f"socket={component.get('socket')}")
    (into / NAME).write_text("\n".join(lines) + "\n")
    (into / NAME).chmod(0o644)  # readable by all, or the server would not start as another account


def server_command(component: Component, directory: Path) -> list[str]:
    """How a server is started on `directory`. Raises UndividedError when no server is installed."""
    own = component.get("defaults")
    argv = [program(component, "mariadbd")]
    if own and datadir_in(component, own) == os.path.normpath(directory):
        return [*argv, f"--defaults-file={own}", f"--datadir={directory}", *_places(component)]
    carried = directory / NAME
    argv.append(f"--defaults-file={carried}" if carried.exists() else "--no-defaults")
    return [
        *argv,
        f"--datadir={directory}",
        f"--socket={socket_of(component, directory)}",
        f"--pid-file={directory / 'mariadbd.pid'}",
        f"--log-error={directory / LOG}",
        *(o for o in _places(component) if not o.startswith("--socket")),
    ]


def datadir_in(component: Component, defaults: str) -> str | None:
    """The data directory an option file speaks of, None when it names none."""
    argv = [program(component, "mariadbd"), f"--defaults-file={defaults}", "--print-defaults"]
    try:
        said = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UndividedError(f"{argv[0]}: {error}", doing=f"read {defaults}") from error
    found = re.findall(r"--datadir=(\S+)", said.stdout)
    return os.path.normpath(found[-1]) if found else None


def _places(component: Component) -> list[str]:
    said = {"socket": component.get("socket"), "port": _own_port(component)}
    return [f"--{name}={value}" for name, value in said.items() if value]


def _own_port(component: Component) -> int | None:
    """The port this component asks for. The usual one is what a component has that asks for none."""
    port = int(component.get("port", _USUAL_PORT))
    return None if port == _USUAL_PORT else port
