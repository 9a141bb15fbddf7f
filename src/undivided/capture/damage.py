"""Healing: what a verification found damaged in the vault is read anew from the source, if it still has it.

    verify     condemns a pack: its chunks count as stored no more
    protect    a component with files in it is read anew; the chunks are stored again, under the ids they had

    verify     condemns a timeline: a segment of it is lost, and every state after it with it
    protect    the component begins a new one: going on from the old would make points that nobody can recover

So the points of before are whole again with the new one, and rows that are as they were are not put twice.
A driver is told to read everything by an empty state in what it goes on from. Each point says up to which
entry of the log it has looked for wounds: while there are none, the next one reads no more of the log for it.
"""

from __future__ import annotations

from dataclasses import replace

from ..model.point import ComponentPoint
from ..vault.vault import Vault, Writer
from .source_cache import CachedState

SEEN = "damage_seen"
"""Key of a component's state at a point: the entry of the vault's log up to which its wounds are known."""
NEW_HISTORY = "read anew: a part of its history in the vault is lost, so a new one begins"


def wounds(remembered: CachedState | None, vault: Vault, writer: Writer) -> int:
    """How many of the component's files have bytes in packs that were condemned since its last point."""
    if remembered is None or not vault.damaged_since(since=int(remembered.point.state.get(SEEN, 0))):
        return 0
    return int(writer.missing(remembered.entries.content).sum())


def lost_history(remembered: CachedState | None, vault: Vault) -> bool:
    """Whether the component's timeline lost a segment, as was found since its last point."""
    if remembered is None:
        return False
    return remembered.point.timeline in vault.broken_timelines(since=int(remembered.point.state.get(SEEN, 0)))


def without_state(point: ComponentPoint) -> ComponentPoint:
    """What a driver goes on from when it is to read everything anew."""
    return replace(point, state={})


def note_of(count: int) -> str:
    return f"read anew: {count} {'file was' if count == 1 else 'files were'} in damaged packs"
