"""Errors that tell an operator what to do.

Every failure a user can meet is an `UndividedError`: what was being done, to what, why it failed, and a
hint. The class decides the exit code, so scripts can rely on it. Foreign exceptions are translated where they
arise (a driver, a store), never further up; what reaches the command line untranslated is a bug.
"""

from __future__ import annotations


class UndividedError(Exception):
    """A failure with its story.

    cause: lower-case, why it failed. doing: what was being done, and to what ("protect portal"). hint: a
    sentence that says what to do next.
    """

    exit_code = 1

    def __init__(self, cause: str, *, doing: str = "", hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.doing = doing
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.doing}: {self.cause}" if self.doing else self.cause
        return f"{text}\nHINT: {self.hint}" if self.hint else text


class UsageError(UndividedError):
    """The request itself is wrong: an option, a name, a service file."""

    exit_code = 2


class SourceError(UndividedError):
    """The source could not be captured wholly. No point was made."""

    exit_code = 3


class ObjectiveError(UndividedError):
    """A recovery objective is breached."""

    exit_code = 4


class DamageError(UndividedError):
    """Stored bytes are not what was written."""

    exit_code = 5


class NoVaultError(UndividedError):
    """There is no vault where one was looked for."""

    exit_code = 10


class WrongKeyError(UndividedError):
    """The key or passphrase does not open this vault."""

    exit_code = 12
