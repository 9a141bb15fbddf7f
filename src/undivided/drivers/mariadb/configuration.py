"""The option file of a restored server, and the command that starts a server on a data directory.

A restored data directory carries a small `my.cnf`: the original's settings without which its data would not
open or would mean something else, and the addresses of this component. Paths inside the data directory are
left out, so that it can be moved.

The component's own option file (`defaults`) is used when it names this data directory. One that names another
is not used: a copy started from it would write the original's logs.
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
    """The socket of a server on `directory`. Raises UsageError when its path is too long for a socket."""
    path = str(component.get("socket") or directory / "mysqld.sock")
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise UsageError(
            f"the path of the server's socket is longer than {_LONGEST_SOCKET} bytes: {path}",
            doing=f"start {component.name}",
            hint="Name a shorter `socket` for this component.",
        )
    return path


def write_configuration(component: Component, into: Path, settings: Mapping[str, Any]) -> None:
    lines = [
        "# Written when this data directory was recovered. Undivided starts the server with it, unless the",
        "# service file has `defaults` that name this data directory.",
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
    """The command that starts a server on `directory`. Raises UndividedError when none is installed."""
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
    """The data directory that an option file names, None when it names none."""
    argv = [program(component, "mariadbd"), f"--defaults-file={defaults}", "--print-defaults"]
    try:
        output = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UndividedError(f"{argv[0]}: {error}", doing=f"read {defaults}") from error
    found = re.findall(r"--datadir=(\S+)", output)
    return os.path.normpath(found[-1]) if found else None


def _places(component: Component) -> list[str]:
    chosen = {"socket": component.get("socket"), "port": _own_port(component)}
    return [f"--{name}={value}" for name, value in chosen.items() if value]


def _own_port(component: Component) -> int | None:
    """The port that this component sets. The default port counts as not set."""
    port = int(component.get("port", _USUAL_PORT))
    return None if port == _USUAL_PORT else port
