"""Servers as processes: which ones run on this host, on which data, and how one is started and stopped.

A server changes into its data directory when it starts, so its working directory is its data directory,
whatever its command line is.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from ...model.errors import UndividedError
from ..base import Found
from .programs import MariaDBOwner

NAMES = ("mariadbd", "mysqld")
_STOP = 600.0


def servers() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["name"]) if p.info["name"] in NAMES]


def serving(directory: str | os.PathLike[str]) -> list[psutil.Process]:
    """The servers that run on this data directory, as far as this user may see them."""
    place = os.path.realpath(directory)
    found = []
    for process in servers():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == place:
                found.append(process)
        except psutil.Error:
            continue
    return found


def launch(argv: list[str], directory: Path, doing: str) -> None:
    """Starts a server that continues when this process ends. Raises UndividedError when that fails."""
    try:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            check=True,
            **MariaDBOwner.of(directory).popen(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UndividedError(f"the server could not be started: {error}", doing=doing) from error


def terminate(directory: Path, doing: str) -> None:
    """Stops the server on `directory` cleanly and waits. Raises UndividedError when it does not end."""
    processes = serving(directory)
    for process in processes:
        try:
            process.send_signal(signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise UndividedError(
                f"no permission to stop process {process.pid}",
                doing=doing,
                hint="Run as the server's account or as root, or set the component's `unit` or `stop`.",
            ) from error
    deadline = time.monotonic() + _STOP
    while serving(directory):
        if time.monotonic() > deadline:
            raise UndividedError(f"the server did not end within {_STOP:g} s", doing=doing)
        time.sleep(0.05)


def find_servers() -> list[Found]:
    """The servers that run on this host, as components that could be protected."""
    sockets = _listening_sockets()
    answer = []
    for process in servers():
        try:
            line = process.cmdline()
            directory = process.cwd()
            ports = sorted(
                c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN
            )
        except psutil.Error:
            continue  # it ended, or this user may not look at it
        options: dict[str, Any] = {"path": directory}
        if ports:
            options["port"] = ports[0]
        if process.pid in sockets:
            options["socket"] = sockets[process.pid]
        defaults = re.search(r"--defaults-file=(\S+)", " ".join(line))
        if defaults:
            options["defaults"] = defaults[1]
        where = options.get("socket") or f"port {options.get('port', 'none')}"
        answer.append(Found("mariadb", options, process.pid, f"MariaDB on {directory}, listening on {where}"))
    return answer


def _listening_sockets() -> dict[int, str]:
    by_pid: dict[int, str] = {}
    for end in psutil.net_connections("unix"):
        path = str(end.laddr)  # the type is internet address; for a UNIX socket it is the path
        if end.pid and path.startswith("/"):
            by_pid.setdefault(end.pid, path)
    return by_pid
