"""Asking a human for a passphrase, on the terminal."""

from __future__ import annotations

import sys

from ..model.errors import UsageError
from ..operations.passphrase import Ask, Question, generated_passphrase


def human() -> Ask | None:
    """How to ask; None when there is no terminal, or standard input or error is closed."""
    terminal = all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr))
    return _ask if terminal else None


def _ask(question: Question) -> str:
    from getpass import getpass

    if question is Question.PASSPHRASE:
        return getpass("Passphrase of the vault: ", stream=sys.stderr)
    first = getpass("New passphrase (leave it empty to get a generated one): ", stream=sys.stderr)
    if not first:
        made = generated_passphrase()
        sys.stderr.write(
            f"Your passphrase: {made}\nWrite it down now: without it nothing can be recovered.\n"
        )
        return made
    if getpass("The same again: ", stream=sys.stderr) != first:
        raise UsageError("the two passphrases differ", doing="set the passphrase", hint="Run it again.")
    return first
