"""A passphrase: from the environment, a file or a command; else a human is asked for it.

It never comes from an argument, because `ps` would show it to everyone. How a human is asked (a terminal, a
form) is the business of the face, which gives an `Ask`.
"""

from __future__ import annotations

import enum
import os
import shlex
from collections.abc import Callable

from ..model.errors import UndividedError, UsageError

HINT = (
    "Set UNDIVIDED_PASSPHRASE_FILE to a file that holds it, UNDIVIDED_PASSPHRASE_COMMAND to a program that "
    "prints it, or UNDIVIDED_PASSPHRASE to the passphrase itself."
)
_GROUPS = 8


class Question(enum.Enum):
    """The questions to a human."""

    PASSPHRASE = enum.auto()
    """The passphrase of an existing vault."""
    NEW_PASSPHRASE = enum.auto()
    """A new one. The face makes sure that it is what the human meant, and may offer
    `generated_passphrase`."""


Ask = Callable[[Question], str]
"""How a face asks a human. Raises UsageError when the answer cannot be used."""


def passphrase(ask: Ask | None) -> str:
    """The passphrase of an existing vault. Raises UsageError when there is no way to get it."""
    return from_environment() or _answer(ask, Question.PASSPHRASE)


def new_passphrase(ask: Ask | None, variable: str = "UNDIVIDED_PASSPHRASE") -> str:
    """A new passphrase: from the environment, else from a human. Raises UsageError when there is no way to
    get it."""
    return from_environment(variable) or _answer(ask, Question.NEW_PASSPHRASE)


def from_environment(variable: str = "UNDIVIDED_PASSPHRASE") -> str | None:
    """The passphrase that the environment gives, or None. Raises UsageError when the file or the program that
    it names gives none."""
    environment = os.environ
    if environment.get(variable):
        return environment[variable]
    if file := environment.get(f"{variable}_FILE"):
        return _from({"file": file}, f"{variable}_FILE")
    return from_command(f"{variable}_COMMAND")


def from_command(variable: str) -> str | None:
    """The output of the program that the environment variable names; None when it is not set."""
    command = os.environ.get(variable)
    try:
        return _from({"command": shlex.split(command)}, variable) if command else None
    except ValueError as error:
        raise UsageError(f"not a command line: {error}", doing=f"read {variable}", hint=HINT) from None


def generated_passphrase() -> str:
    """About 160 random bits, in groups that can be copied by hand; no letters that look like digits."""
    import secrets

    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(_GROUPS))


def _from(spec: dict[str, object], variable: str) -> str | None:
    from ..config.secrets import secret

    try:
        return secret(spec, variable)
    except UndividedError as error:
        raise UsageError(error.cause, doing=f"get the passphrase by {variable}", hint=HINT) from None


def _answer(ask: Ask | None, question: Question) -> str:
    if ask is None:
        raise UsageError("no passphrase is given, and there is no terminal to ask on", hint=HINT)
    answer = ask(question)
    if not answer:
        raise UsageError("the passphrase is empty", hint=HINT)
    return answer
