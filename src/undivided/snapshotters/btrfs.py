"""btrfs: a read-only snapshot of the subvolume that holds a tree, at one instant.

The kernel flushes written data and preserves the whole subvolume in one transaction, in about ten
milliseconds whatever its size. All data written before the call is in the snapshot, and durable writes are in
it in order. Two writes that a running writer makes during the call without fsync may be there in the other
order, as after a power cut. Freeze the writers to exclude even that.

The snapshot lies next to the subvolume, or inside it when the subvolume is the top of the filesystem, under a
name that walks leave out. Inodes and change times in it are those of the original, so the next comparison
stays quick. Subvolumes nested in the tree are not part of the snapshot; the reader must refuse them by name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from ..model.errors import SourceError, reason
from .base import Snapshot
from .reflink import ReflinkSnapshotter

PREFIX = ".undivided-snapshot-"
_SUBVOLUME_INODE = 256
_READ_ONLY = 1 << 1
_CREATE = struct.Struct("=qQQ32x4040s")  # struct btrfs_ioctl_vol_args_v2
_DESTROY = struct.Struct("=q4088s")  # struct btrfs_ioctl_vol_args
_SNAP_CREATE_V2 = 0x50009417
_SNAP_DESTROY = 0x5000940F


class BtrfsSnapshotter(ReflinkSnapshotter):
    name = "btrfs"
    whole = True

    def snapshot(self, tree: Path) -> Snapshot:
        volume = subvolume_of(tree)
        name = PREFIX + os.urandom(6).hex()
        source = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for place in (volume.parent, volume):
                target = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    argument = bytearray(_CREATE.pack(source, 0, _READ_ONLY, name.encode()))
                    fcntl.ioctl(target, _SNAP_CREATE_V2, argument)
                except OSError as error:
                    # The parent of a mounted subvolume belongs to another filesystem, or to another mount.
                    if place == volume or error.errno not in (
                        errno.EXDEV,
                        errno.ENOTTY,
                        errno.EROFS,
                        errno.EINVAL,
                    ):
                        raise
                else:
                    return BtrfsSnapshot(place / name, place / name / tree.resolve().relative_to(volume))
                finally:
                    os.close(target)
        except OSError as error:
            raise SourceError(
                f"btrfs refuses a snapshot of {volume}: {reason(error)}",
                doing=f"take a snapshot of {tree}",
                hint="Run as root, or name the tree's `writers` in the service file.",
            ) from error
        finally:
            os.close(source)
        raise AssertionError("unreachable")


class BtrfsSnapshot:
    """volume: the snapshot's own root. path: the tree in it."""

    def __init__(self, volume: Path, path: Path) -> None:
        self._volume = volume
        self.path = path
        self.id = volume.name.removeprefix(PREFIX)

    def drop(self) -> None:
        with suppress(OSError):
            parent = os.open(self._volume.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(parent, _SNAP_DESTROY, bytearray(_DESTROY.pack(0, self._volume.name.encode())))
            finally:
                os.close(parent)


def subvolume_of(tree: Path) -> Path:
    """The root of the subvolume that holds `tree`: on btrfs the directory with inode 256."""
    place = tree.resolve()
    while os.stat(place).st_ino != _SUBVOLUME_INODE and place.parent != place:
        place = place.parent
    return place
