"""Where a password is said to be, turned into the password, at the moment it is needed.

A service file never holds a secret, only its place: {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}. The
value lives in memory only: it is given to a client library or a child's environment, never to a command line,
a log, an error or the state of a point. So no message here quotes what was read, nor what a command printed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..model.errors import UndividedError

PATIENCE = 30.0
"""Seconds a password command may take."""


def secret(spec: Mapping[str, Any] | None, doing: str) -> str | None:
    """The secret that `spec` points to, without its final newline; None when there is no spec.

    doing: what it is needed for, for the message. Raises UndividedError when it cannot be had or is empty.
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


_HINT = "Say where the password is: {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}."


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
        hint = f"Set {name} to the password."
        raise UndividedError(f"the environment has no {name}", doing=doing, hint=hint)
    return value


def _from_command(command: list[str], doing: str) -> str:
    program = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        cause = f"the password command {program} gave nothing within {PATIENCE:g} s"
        raise UndividedError(cause, doing=doing, hint="It must not ask: nobody is there to answer.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its output is not text"
        raise UndividedError(f"cannot run the password command {program}: {reason}", doing=doing) from None
    if done.returncode:
        cause = f"the password command {program} ended with {done.returncode}"
        raise UndividedError(cause, doing=doing, hint="Run it by hand to see why.")
    return done.stdout
