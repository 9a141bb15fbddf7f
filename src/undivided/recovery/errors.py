"""Hints for errors of the operating system during a recovery, by errno."""

from __future__ import annotations

import errno

HINTS = {
    errno.ENOSPC: "Free some space there, or recover to another filesystem.",
    errno.EDQUOT: "Free some space there, or recover to another filesystem.",
    errno.EACCES: "Run the recovery as a user with write access there, or as root to keep owners.",
    errno.EPERM: "Run the recovery as a user with write access there, or as root to keep owners.",
    errno.EROFS: "Remount the filesystem read-write, or recover to another filesystem.",
    errno.EBUSY: "The path is in use or a mount point: recover to a directory beneath the mount point.",
    errno.EXDEV: "The path is on two filesystems: recover to a directory beneath the mount point.",
}
