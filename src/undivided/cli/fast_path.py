"""The plain form of `protect`, without a command line library.

`undivided protect SERVICE [--json] [--config DIR] [--log-level LEVEL]` runs every few seconds, day and night.
Importing the library that gives the other commands their help and completion would take a good part of its
whole time. Every other form (a typo, --help, another option) is left to cli/app.py, which knows all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint


class Protection(NamedTuple):
    service: str
    config: Path | None
    json: bool


def read(arguments: Sequence[str]) -> Protection | None:
    """The options of a plain `protect`; None for any other arguments. The log level is read in logs.py."""
    words: list[str] = []
    config: Path | None = None
    json = False
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--json":
            json = True
        elif name in ("--config", "--log-level"):
            value = value if equals else next(rest, "")
            if not value or value.startswith("-"):
                return None
            config = Path(value) if name == "--config" else config
        elif word.startswith("-"):
            return None
        else:
            words.append(word)
    if len(words) != 2 or words[0] != "protect":
        return None
    return Protection(words[1], config, json)


def protect_service(name: str, config: Path | None, *, json: bool) -> int:
    """Takes a recovery point and shows it."""
    from ..operations.protect import protect
    from ..operations.records import point_record
    from ..operations.workspace import Workspace
    from .ask import human
    from .output import emit
    from .progress import progress

    with progress(f"protect {name}") as report:
        point = protect(Workspace(config, human()), name, progress=report)
    emit(json, point_record(point), _lines(point))
    return 0


def _lines(point: RecoveryPoint) -> list[str]:
    from .output import size

    lines = [
        f"{point.service}: point {point.id}, {point.consistency.value},"
        f" pause {point.pause_ms:.1f} ms, skew {point.skew_ms:.1f} ms",
        f"  {size(point.bytes_seen)} protected, {size(point.bytes_read)} read,"
        f" {size(point.bytes_stored)} stored, in {point.seconds:.2f} s",
    ]
    for name, part in point.components.items():
        lines.append(f"  {name}: {part.kind} at {part.position.text}")
        lines += [f"    note: {note}" for note in part.notes]
    return lines
