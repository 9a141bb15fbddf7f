"""The marks of damage in a vault's log: a verification sets them, and the next protection acts on them.

A door of its own, because `protect` asks it every time and must not load a verification for that.
"""

from __future__ import annotations

from collections.abc import Sequence

from .format.log_entry import LogEntry
from .index import damage_marks
from .vault import Vault

__all__ = ["broken_timelines", "damaged_since", "mark_damaged"]


def mark_damaged(vault: Vault, packs: Sequence[str], timelines: Sequence[str] = ()) -> LogEntry | None:
    """Marks these packs and timelines (a verification's Report.packs and .timelines) as damaged, so that the
    next protection stores again what the source still has. Returns None when all of them are marked
    already."""
    return damage_marks.mark_damaged(vault.commits, packs, timelines)


def damaged_since(vault: Vault, since: int = 0) -> bool:
    """Whether packs were marked damaged after log entry `since`. Then `Writer.missing` finds the files to
    read again."""
    return damage_marks.damaged_since(vault.commits, since)


def broken_timelines(vault: Vault, since: int = 0) -> frozenset[str]:
    """Timelines that were marked broken after log entry `since`: no new point can continue them."""
    return damage_marks.broken_timelines(vault.commits, since)
