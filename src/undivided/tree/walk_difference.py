"""The difference between two walks of one tree.

The inode, change time, size and attributes of an unchanged file are unchanged. The reverse holds because the
kernel moves a file's change time with every write and every change of attributes, and no process can set it
back. There is one exception: a file written twice within one tick of the clock has one change time for both.
So a file counts as changed unless its change time is safely older than the start of the last walk (git calls
such a file "racily clean").
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..model.columns import Array, Ragged
from ..model.entries import Kind
from ..model.path_join import locate
from .walk import Walk

_REALTIME_COARSE = 5
TICK_NS = 20_000_000
"""Longer than a tick of any kernel's coarse clock."""
COARSE_TICK_NS = 2_000_000_000
"""For filesystems that keep whole seconds."""


@dataclass(frozen=True, slots=True)
class Difference:
    """changed: bool[n] over the rows of the later walk, new ones included. vanished: paths of the earlier one
    that are not in the later."""

    changed: Array
    vanished: Ragged


def coarse_clock_ns() -> int:
    """The clock that the kernel stamps files with: realtime, as of its last tick."""
    return time.clock_gettime_ns(_REALTIME_COARSE)


def difference(before: Walk, before_began_ns: int, now: Walk) -> Difference:
    """before_began_ns: the realtime clock when the earlier walk began."""
    at = locate(before.entries.path, now.entries.path)
    known = at >= 0
    changed = ~known
    old, new = at[known], np.flatnonzero(known)
    same = np.ones(len(new), np.bool_)
    for name in ("kind", "mode", "uid", "gid", "mtime_ns", "size", "rdev", "link"):
        same &= getattr(before.entries, name)[old] == getattr(now.entries, name)[new]
    same &= before.ino[old] == now.ino[new]
    ctime = now.ctime_ns[new]
    same &= before.ctime_ns[old] == ctime
    tick = np.where(ctime % 1_000_000_000 == 0, COARSE_TICK_NS, TICK_NS)
    same &= (ctime < before_began_ns - tick) | (now.entries.kind[new] != Kind.FILE)
    changed[new] = ~same
    stays = np.zeros(len(before), np.bool_)
    stays[old] = True
    return Difference(changed, before.entries.path.take(np.flatnonzero(~stays)))
