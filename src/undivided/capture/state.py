"""What a source remembers of its last point, per component: the entries, so that the next scan is a
comparison.

A source cannot read the vault back (its keys only write), so what it needs to go on lies here, outside the
vault, as a raw column block that opens by mapping. It is a cache with a stamp: when it does not carry the
digest of the component's last point it is as good as none, and the component starts a new timeline with a
full read whose content the vault already has.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from ..model.entries import Entries
from ..model.errors import DamageError
from ..model.point import ComponentPoint

FILE = "entries.udc"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A component's last point as this source left it."""

    point: ComponentPoint
    entries: Entries


def recall(directory: Path, point: ComponentPoint | None) -> Remembered | None:
    """The entries of `point`, or None when they are not here."""
    if point is None:
        return None
    try:
        with open(directory / FILE, "rb") as file:
            block = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        entries, _, header = Entries.decode(block)
    except (OSError, ValueError, DamageError, KeyError):
        return None
    stamp = (header.get("timeline"), header.get("sequence"), header.get("digest"))
    if stamp != (point.timeline, point.sequence, point.digest):
        return None
    return Remembered(point, entries)


def remember(directory: Path, point: ComponentPoint, entries: Entries) -> None:
    """Keeps entries for the next point. Old or new after a crash, never half."""
    stamp = {"timeline": point.timeline, "sequence": point.sequence, "digest": point.digest}
    block = entries.encode(stamp, level=None)
    scratch = directory / f"{FILE}.{os.getpid()}"
    with open(scratch, "wb") as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())  # a stamp without its rows would be believed after a power loss
    os.replace(scratch, directory / FILE)
