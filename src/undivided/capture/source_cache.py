"""What a source remembers of its last point, per component: the entries, so that the next scan is a
comparison.

A source cannot read the vault back (its keys only write), so what it needs to go on lies here, outside the
vault, as a raw column block that opens by mapping. It is a cache with a stamp: when it does not carry the
digest of the component's last point it is as good as none, and the component starts a new timeline with a
full read whose content the vault already has.

    lay_down ──▶ entries.udc.next     before the commit, on disk
    the commit
    settle   ──▶ entries.udc          a rename

Whoever is killed between the commit and the rename leaves both, and the digest says which one the last point
is: so the next point goes on all the same.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from ..host.atomic_files import write_synced
from ..model.entries import Entries
from ..model.errors import DamageError, error_context
from ..model.point import ComponentPoint

FILE = "entries.udc"
NEXT = "entries.udc.next"
_HINT = "The next point continues from what is kept there: make room for it, and let us write."


@dataclass(frozen=True, slots=True)
class CachedState:
    """A component's last point as this source left it."""

    point: ComponentPoint
    entries: Entries


def make_private(directory: Path) -> None:
    """A directory for us alone, if it is not there. Raises UndividedError when it cannot be."""
    with error_context(f"write {directory}", _HINT):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def recall(directory: Path, point: ComponentPoint | None) -> CachedState | None:
    """The entries of `point`, or None when they are not here."""
    if point is None:
        return None
    for name in (FILE, NEXT):
        entries = _stamped(directory / name, point)
        if entries is None:
            continue
        if name == NEXT:
            settle(directory)
        return CachedState(point, entries)
    return None


def lay_down(directory: Path, point: ComponentPoint, entries: Entries) -> None:
    """Keeps the entries of a point that is about to be, beside those of the last one. On disk when it
    returns. Raises UndividedError when it cannot."""
    stamp = {"timeline": point.timeline, "sequence": point.sequence, "digest": point.digest}
    block = entries.encode(stamp, level=None)
    path = directory / NEXT
    with error_context(f"write {path}", _HINT):
        write_synced(path, block, 0o666)  # a stamp without its rows would be believed after a power loss


def settle(directory: Path) -> None:
    """The point that was laid down exists: it is the one to go on from."""
    with error_context(f"write {directory / FILE}", _HINT):
        os.replace(directory / NEXT, directory / FILE)


def _stamped(path: Path, point: ComponentPoint) -> Entries | None:
    """What is in the file, if it is of this point. Its digest says so: it is chained over all of the
    timeline, whatever the number of the commit turned out to be."""
    try:
        with open(path, "rb") as file:
            block = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        entries, _, header = Entries.decode(block)
    except (OSError, ValueError, DamageError, KeyError):
        return None
    if (header.get("timeline"), header.get("digest")) != (point.timeline, point.digest):
        return None
    return entries
