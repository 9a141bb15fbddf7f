"""A passphrase: from the environment, a file or a command, else asked for on a terminal.

It never comes from an argument, where `ps` would show it to everyone.
"""

from __future__ import annotations

import os
import shlex
import sys

from ..model.errors import UndividedError, UsageError

HINT = (
    "Set UNDIVIDED_PASSPHRASE_FILE to a file that holds it, UNDIVIDED_PASSPHRASE_COMMAND to a program that "
    "prints it, or UNDIVIDED_PASSPHRASE to the passphrase itself."
)
_WORDS = 8


def passphrase() -> str:
    """The passphrase of an existing vault. Raises UsageError when nobody can say it."""
    return given() or _ask("Passphrase of the vault: ")


def new_passphrase(variable: str = "UNDIVIDED_PASSPHRASE") -> str:
    """A new passphrase: as the environment says, or asked for twice, or made up when nothing is typed."""
    found = given(variable)
    if found:
        return found
    first = _ask("New passphrase (nothing: one is made for you): ", empty=True)
    if not first:
        made = _made()
        sys.stderr.write(
            f"Your passphrase: {made}\nWrite it down now: without it nothing can be recovered.\n"
        )
        return made
    if _ask("The same again: ") != first:
        raise UsageError("the two passphrases differ", doing="set the passphrase", hint="Run it again.")
    return first


def given(variable: str = "UNDIVIDED_PASSPHRASE") -> str | None:
    """What the environment says, or None. Raises UsageError when it points to nothing."""
    environment = os.environ
    if environment.get(variable):
        return environment[variable]
    if file := environment.get(f"{variable}_FILE"):
        return _from({"file": file}, f"{variable}_FILE")
    return from_command(f"{variable}_COMMAND")


def from_command(variable: str) -> str | None:
    """What the program prints that the environment variable calls; None when it is not set."""
    command = os.environ.get(variable)
    try:
        return _from({"command": shlex.split(command)}, variable) if command else None
    except ValueError as error:
        raise UsageError(f"cannot be read: {error}", doing=variable) from None


def _from(spec: dict[str, object], variable: str) -> str | None:
    from ..config.secrets import secret

    try:
        return secret(spec, variable)
    except UndividedError as error:
        raise UsageError(error.cause, doing=f"get the passphrase by {variable}", hint=HINT) from None


def _ask(prompt: str, empty: bool = False) -> str:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("no passphrase given, and no terminal to ask on", hint=HINT)
    from getpass import getpass

    answer = getpass(prompt, stream=sys.stderr)
    if not answer and not empty:
        raise UsageError("an empty passphrase", hint=HINT)
    return answer


def _made() -> str:
    """About 160 random bits, in groups that can be copied by hand; no letters that look like digits."""
    import secrets

    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(_WORDS))
