"""Which snapshotter a path gets: one explicit list, the best that the filesystem can do."""

from __future__ import annotations

import os
from pathlib import Path

from ..host.mounts import beneath
from .base import Snapshotter
from .btrfs import BtrfsSnapshotter
from .plain import PlainSnapshotter
from .reflink import ReflinkSnapshotter, can_reflink


def snapshotter_for(path: Path) -> Snapshotter:
    """Never raises: where nothing is offered, or may be used by us, plain copies do."""
    try:
        filesystem = beneath(path).fstype
    except OSError:
        return PlainSnapshotter()
    if filesystem == "btrfs" and os.geteuid() == 0:
        return BtrfsSnapshotter()
    return ReflinkSnapshotter() if can_reflink(path) else PlainSnapshotter()
