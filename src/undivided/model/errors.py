"""Errors with an operation, a cause and a hint for the operator.

Every failure that an operator can meet is an `UndividedError`. Its class decides the exit code, so that
scripts can rely on it. Foreign exceptions are translated where they arise (a driver, a store), never further
up: an exception that reaches the command line untranslated is a bug.

`error_context` is the one way to name an operation: it wraps the operation, translates errors of the
operating system, and completes errors that do not name their operation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class UndividedError(Exception):
    """A failure: operation, cause and hint.

    cause: lower-case. doing: the operation and its object ("protect portal"). hint: a sentence that names the
    next step.
    """

    exit_code = 1

    def __init__(self, cause: str, *, doing: str = "", hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.doing = doing
        self.hint = hint

    @property
    def summary(self) -> str:
        """Operation and cause in one line, without the hint."""
        return f"{self.doing}: {self.cause}" if self.doing else self.cause

    def __str__(self) -> str:
        return f"{self.summary}\nHINT: {self.hint}" if self.hint else self.summary


class UsageError(UndividedError):
    """The request itself is wrong: an option, a name, a service file."""

    exit_code = 2


class SourceError(UndividedError):
    """The source could not be captured as a whole. No point was made."""

    exit_code = 3


class ObjectiveError(UndividedError):
    """A recovery objective is breached."""

    exit_code = 4


class DamageError(UndividedError):
    """Stored bytes differ from the bytes that were written."""

    exit_code = 5


class NoVaultError(UndividedError):
    """There is no vault at the given place."""

    exit_code = 10


class WrongKeyError(UndividedError):
    """The key or passphrase does not open this vault."""

    exit_code = 12


@contextmanager
def error_context(
    doing: str, hint: str | Mapping[int, str] = "", *, raises: type[UndividedError] = UndividedError
) -> Iterator[None]:
    """Puts `doing` on every failure inside the block.

    An OSError becomes a `raises`, see `translated`. hint: one for all errors, or one for each errno. An
    UndividedError keeps its class, cause and hint, and gets `doing` only if it names no operation yet.
    """
    try:
        yield
    except OSError as error:
        raise translated(error, doing, hint, raises=raises) from error
    except UndividedError as error:
        error.doing = error.doing or doing
        raise


def translated(
    error: OSError,
    doing: str,
    hint: str | Mapping[int, str] = "",
    *,
    raises: type[UndividedError] = UndividedError,
) -> UndividedError:
    """An error of the operating system as one of ours: "/srv/x: permission denied". The file is left out if
    `doing` names it already. hint: one for all errors, or one for each errno."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    where = "" if not name or f"{name} " in f"{doing} " else f"{name}: "
    found = hint if isinstance(hint, str) else hint.get(error.errno or 0, "")
    return raises(f"{where}{reason(error)}", doing=doing, hint=found)


def reason(error: OSError) -> str:
    """The cause in lower case: "no space left on device"."""
    return (error.strerror or str(error)).lower()
