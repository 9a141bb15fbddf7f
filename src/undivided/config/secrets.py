"""Reads a secret from the place that a service file names, at the moment it is needed.

A service file holds only the place of a secret: {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}. The
secret stays in memory: it is passed to a client library or to the environment of a child, never to a command
line, a log, an error or the state of a point. So no message here quotes a value that was read or the output
of a command.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..host.signals import ended_with_us, signals_after
from ..model.errors import UndividedError

_log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds a password command may take."""

_HINT = "Write where the password is: {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}."


def secret(spec: Mapping[str, Any] | None, doing: str) -> str | None:
    """The secret at the place `spec`, without its final newline; None when there is no spec.

    doing: the operation that needs it, for messages. Raises UndividedError when it cannot be read or is
    empty.
    """
    if spec is None:
        return None
    place, where = next(iter(spec.items()))
    if place == "file":
        value = _from_file(where, doing)
    elif place == "env":
        value = _from_environment(where, doing)
    else:
        value = _from_command(where, doing)
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise UndividedError(f"the password from {place} is empty", doing=doing, hint=_HINT)
    return value


def _from_file(path: str, doing: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        cause = f"cannot read the password file {path}: {reason}"
        raise UndividedError(cause, doing=doing, hint=_HINT) from None


def _from_environment(name: str, doing: str) -> str:
    value = os.environ.get(name)
    if value is None:
        cause = f"the environment variable {name} is not set"
        raise UndividedError(cause, doing=doing, hint=f"Set {name} to the password.")
    return value


def _from_command(command: list[str], doing: str) -> str:
    program = command[0]
    try:
        code, output = _run(command)
    except subprocess.TimeoutExpired:
        cause = f"the password command {program} did not finish within {TIMEOUT:g} s"
        hint = "The command must not wait for input: it runs without a terminal."
        raise UndividedError(cause, doing=doing, hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its output is not text"
        raise UndividedError(f"cannot run the password command {program}: {reason}", doing=doing) from None
    if code:
        cause = f"the password command {program} failed with exit code {code}"
        raise UndividedError(cause, doing=doing, hint="Run it by hand to see why.")
    return output


def _run(command: list[str]) -> tuple[int, str]:
    """Exit code and output. A command that has not finished ends here with all its processes, also when a
    signal interrupts its start: it holds our standard error, and callers would wait for that to be closed."""
    process = None
    try:
        with signals_after():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # a group of its own, which can be ended as a whole
            )
        with ended_with_us(process.pid):
            output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, output
    finally:
        if process:
            with signals_after():
                _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends what still runs. A process in the background of a finished command, such as an agent, is kept."""
    if process.stdout:
        process.stdout.close()
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except PermissionError:
        _log.warning("process %d of a password command runs as another user and cannot be ended", process.pid)
