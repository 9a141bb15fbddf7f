"""The plain form of `protect`, read without loading a command line library.

`undivided protect SERVICE [--json] [--config DIR]` runs every few seconds, day and night; importing the
library that gives everybody else help and completion would be a good part of its whole time. Anything but
exactly this form (a typo, --help, an option more) is left to cli/app.py, which knows them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Protection(NamedTuple):
    service: str
    config: Path | None
    json: bool


def read(arguments: Sequence[str]) -> Protection | None:
    """What `protect` was asked for, or None when these arguments are anything else."""
    words: list[str] = []
    config: Path | None = None
    json = False
    rest = iter(arguments)
    for word in rest:
        if word == "--json":
            json = True
        elif word == "--config":
            value = next(rest, "")
            if not value or value.startswith("-"):
                return None
            config = Path(value)
        elif word.startswith("--config=") and word != "--config=":
            config = Path(word.removeprefix("--config="))
        elif word.startswith("-"):
            return None
        else:
            words.append(word)
    if len(words) != 2 or words[0] != "protect":
        return None
    return Protection(words[1], config, json)
