"""Starting and stopping an application by the service file: by its systemd unit, or by a command.

Shared by all drivers. A driver that can start its application itself asks here first, and starts it itself
only when the service file names neither. Commands are argument lists, run without a shell. A command must
return once it has passed the request on; the driver's health check finds out whether the application answers.
"""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import Sequence

from ...model.errors import UndividedError, translated
from ...model.service import Component

_log = logging.getLogger(__name__)

TIMEOUT = 120.0
"""Seconds a start or stop command may take."""


def start_by_options(component: Component, *, timeout: float = TIMEOUT) -> bool:
    """Starts by the options `unit` or `start`. False when neither is given. Raises UndividedError."""
    return _by_options(component, "start", timeout)


def stop_by_options(component: Component, *, timeout: float = TIMEOUT) -> bool:
    """Stops by the options `unit` or `stop`. False when neither is given. Raises UndividedError."""
    return _by_options(component, "stop", timeout)


def run_command(argv: Sequence[str], *, doing: str, timeout: float = TIMEOUT) -> None:
    """Runs a command to its end, detached from our terminal and signals. Raises UndividedError when it cannot
    be started, fails (with the end of its output), or takes too long."""
    # Not a pipe: a daemon that stays running would keep the pipe open, and we would wait for its end.
    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=timeout,
                check=False,
            ).returncode
        except OSError as error:
            raise translated(error, doing, "Check the command in the service file.") from error
        except subprocess.TimeoutExpired as error:
            raise UndividedError(
                f"{argv[0]} did not return within {timeout:g} s",
                doing=doing,
                hint="The command must start or stop the application in the background and return.",
            ) from error
        if code != 0:
            raise UndividedError(f"{argv[0]} exited with {code}{_last_lines(output.fileno())}", doing=doing)


def _by_options(component: Component, verb: str, timeout: float) -> bool:
    unit, command = component.get("unit"), component.get(verb)
    if unit is not None:
        command = ["systemctl", verb, unit]
    if not command:
        return False
    doing = f"{verb} {component.name}"
    # The program alone: the arguments of a command may hold a password.
    _log.info("%s: %s", doing, f"systemctl {verb} {unit}" if unit is not None else command[0])
    run_command(command, doing=doing, timeout=timeout)
    return True


def _last_lines(fd: int) -> str:
    with open(fd, "rb", closefd=False) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2000))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f": {' / '.join(lines[-3:])}" if lines else ""
