"""Where log records go: standard error, one line each: level, logger, message.

The rooms below only write to `logging.getLogger(__name__)`; the level is chosen here, by --log-level or
UNDIVIDED_LOG. Without either only warnings and errors are shown. No record holds a secret.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from ..model.errors import UsageError

LEVELS = ("debug", "info", "warning", "error")
_OPTION, _VARIABLE = "--log-level", "UNDIVIDED_LOG"


def configure(arguments: Sequence[str]) -> None:
    """Sets the level of this run. Raises UsageError for a level that does not exist."""
    logger = logging.getLogger("undivided")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.WARNING)
    given, source = _given(arguments)
    if given is None:
        return
    if given.lower() not in LEVELS:
        raise UsageError(f"{source}: unknown level {given!r}", hint=f"Choose one of {', '.join(LEVELS)}.")
    logger.setLevel(given.upper())


def _given(arguments: Sequence[str]) -> tuple[str | None, str]:
    """The requested level, and the option or variable that gives it."""
    words = list(arguments)
    if "--" in words:
        words = words[: words.index("--")]
    for place, word in enumerate(words):
        if word == _OPTION and place + 1 < len(words):
            return words[place + 1], _OPTION
        if word.startswith(f"{_OPTION}="):
            return word.partition("=")[2], _OPTION
    return os.environ.get(_VARIABLE) or None, _VARIABLE


class _OneLine(logging.Formatter):
    """A record is one line, whatever its message and its traceback hold."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", "\\n")
