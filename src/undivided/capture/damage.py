"""Re-uploading damage: data that a verification found damaged in the vault is read again from the source.

    verify     marks a pack damaged: its chunks no longer count as stored
    protect    reads a component with files in it again in full; the chunks are stored under their old ids

    verify     marks a timeline broken: a segment of it is lost, and with it every later state
    protect    starts a new timeline: continuing the broken one would make points that cannot be recovered

So earlier points are whole again with the new one, as far as the source still has the data. Rows that did not
change are not put twice. A driver reads everything when the state of its previous point is empty. Each point
records up to which entry of the log its source knows the damage marks: without newer marks the next point
reads no more of the log for them.
"""

from __future__ import annotations

from dataclasses import replace

from ..model.point import ComponentPoint
from ..vault.damage import broken_timelines, damaged_since
from ..vault.vault import Vault, Writer
from .source_cache import CachedState

SEEN = "damage_seen"
"""Key of a component's state at a point: the entry of the vault's log up to which its source knows the damage
marks."""
NEW_HISTORY = "read again in full: part of its history in the vault is lost, so a new history begins"


def damaged_files(cached: CachedState | None, vault: Vault, writer: Writer) -> int:
    """How many of the component's files have bytes in packs that were marked damaged since its last point."""
    if cached is None or not damaged_since(vault, int(cached.point.state.get(SEEN, 0))):
        return 0
    return int(writer.missing(cached.entries.content).sum())


def lost_history(cached: CachedState | None, vault: Vault) -> bool:
    """Whether the component's timeline was found broken since its last point."""
    if cached is None:
        return False
    return cached.point.timeline in broken_timelines(vault, int(cached.point.state.get(SEEN, 0)))


def without_state(point: ComponentPoint) -> ComponentPoint:
    """The previous point to give to a driver that must read everything again."""
    return replace(point, state={})


def reread_note(count: int) -> str:
    return f"read again in full: {count} {'file was' if count == 1 else 'files were'} in damaged packs"
