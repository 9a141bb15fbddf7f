"""What to do when the operating system refuses a step of a recovery: a hint for each errno."""

from __future__ import annotations

import errno

HINTS = {
    errno.ENOSPC: "Free some space there, or recover to another filesystem.",
    errno.EDQUOT: "Free some space there, or recover to another filesystem.",
    errno.EACCES: "Recover as a user who may write there, as root to keep owners.",
    errno.EPERM: "Recover as a user who may write there, as root to keep owners.",
    errno.EROFS: "The filesystem is mounted read-only: remount it, or recover to another.",
    errno.EBUSY: "Something is mounted there or in use: recover to a directory beneath the mount point.",
    errno.EXDEV: "Two filesystems meet there: recover to a directory beneath the mount point.",
}
