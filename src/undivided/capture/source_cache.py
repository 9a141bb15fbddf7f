"""A source's cache of its last point, per component: the entries, so that the next scan is a comparison.

A source cannot read the vault back (its keys only write), so it keeps the entries it must continue from
outside the vault, as a raw column block that opens by mapping. The cache has a stamp: without the digest of
the component's last point it is ignored, and the component starts a new timeline with a full read of content
that the vault already has.

    write_next   ──▶ entries.udc.next     before the commit, on disk
    the commit
    promote_next ──▶ entries.udc          a rename

A process killed between the commit and the rename leaves both files. The digest shows which of them belongs
to the last point, so the next point continues normally.
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
_HINT = "The next point continues from these files: make room for them and give us write access."


@dataclass(frozen=True, slots=True)
class CachedState:
    """A component's last point as this source left it."""

    point: ComponentPoint
    entries: Entries


def make_private(directory: Path) -> None:
    """Makes a directory for us alone, if it does not exist. Raises UndividedError when it cannot be made."""
    with error_context(f"write {directory}", _HINT):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def load(directory: Path, point: ComponentPoint | None) -> CachedState | None:
    """The entries of `point`, or None when they are not cached."""
    if point is None:
        return None
    for name in (FILE, NEXT):
        entries = _stamped(directory / name, point)
        if entries is None:
            continue
        if name == NEXT:
            promote_next(directory)
        return CachedState(point, entries)
    return None


def write_next(directory: Path, point: ComponentPoint, entries: Entries) -> None:
    """Writes the entries of a point that is about to be committed, next to those of the last one. They are on
    disk when it returns. Raises UndividedError when they cannot be written."""
    stamp = {"timeline": point.timeline, "sequence": point.sequence, "digest": point.digest}
    block = entries.encode(stamp, level=None)
    path = directory / NEXT
    with error_context(f"write {path}", _HINT):
        write_synced(path, block, 0o666)  # a stamp without its rows would be believed after a power loss


def promote_next(directory: Path) -> None:
    """After the commit: the next point continues from the entries of this one."""
    with error_context(f"write {directory / FILE}", _HINT):
        os.replace(directory / NEXT, directory / FILE)


def _stamped(path: Path, point: ComponentPoint) -> Entries | None:
    """The entries in the file, if they are of this point. Only its digest is compared: it is chained over the
    whole timeline and does not depend on the number of the commit."""
    try:
        with open(path, "rb") as file:
            block = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        entries, _, header = Entries.decode(block)
    except (OSError, ValueError, DamageError, KeyError):
        return None
    if (header.get("timeline"), header.get("digest")) != (point.timeline, point.digest):
        return None
    return entries
