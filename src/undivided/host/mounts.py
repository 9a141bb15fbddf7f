"""The filesystem that holds a path, from /proc/self/mountinfo."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """device: as mounted, for example /dev/vda1; `none` and the like for filesystems without a device."""

    fstype: str
    mountpoint: Path
    device: str


def mount_of(path: Path) -> Mount:
    """The mount that holds `path`. Raises OSError if the path does not exist."""
    real = os.path.realpath(os.fsencode(path))
    os.lstat(real)
    best = Mount("unknown", Path("/"), "none")
    longest = -1
    for mount in _mounts():
        point = os.fsencode(mount.mountpoint)
        # If several filesystems are mounted on one path, the last is visible.
        if len(point) >= longest and _holds(point, real):
            best, longest = mount, len(point)
    return best


def mounts_inside(path: Path) -> list[Path]:
    """The mount points inside a tree, without its root."""
    real = os.path.realpath(os.fsencode(path))
    points = [os.fsencode(mount.mountpoint) for mount in _mounts()]
    return [Path(os.fsdecode(point)) for point in points if point != real and _holds(real, point)]


def _mounts() -> Iterator[Mount]:
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields, _, source = line.partition(b" - ")
            fstype, device = source.split(b" ")[:2]
            point = _unescaped(fields.split(b" ")[4])
            yield Mount(fstype.decode(), Path(os.fsdecode(point)), os.fsdecode(_unescaped(device)))


def _holds(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


def _unescaped(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda m: bytes([int(m[1], 8)]), field)
