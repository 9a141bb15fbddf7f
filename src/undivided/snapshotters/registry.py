"""The choice of a snapshotter for a path: one explicit list, the best that the filesystem offers."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..host.mounts import mount_of
from .base import Snapshotter
from .btrfs import BtrfsSnapshotter
from .plain import PlainSnapshotter
from .reflink import ReflinkSnapshotter, can_reflink

_log = logging.getLogger(__name__)


def snapshotter_for(path: Path) -> Snapshotter:
    """Never raises: plain copies are used where the filesystem offers nothing, or nothing without root."""
    try:
        filesystem = mount_of(path).fstype
    except OSError as error:
        _log.info("%s: large files are copied into memory: its filesystem is unknown: %s", path, error)
        return PlainSnapshotter()
    if filesystem == "btrfs" and os.geteuid() == 0:
        return BtrfsSnapshotter()
    if can_reflink(path):
        return ReflinkSnapshotter()
    _log.info("%s: large files are copied into memory: %s has no reflinks here", path, filesystem)
    return PlainSnapshotter()
