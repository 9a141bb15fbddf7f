"""Owner, mode, times and extended attributes of what was written.

Order matters: a change of owner clears set-id bits and file capabilities, an ACL rewrites the group bits of
the mode, and an owner who is not root may not set attributes on a file made read-only. Hence owner,
attributes, mode, ACLs, times. What this process is not permitted to set is counted and told, not fatal: an
ordinary user's recovery is still their data. A file whose owner could not be set loses its set-id bits, which
would act for the wrong person.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import threading
from collections.abc import Callable, Mapping

from ..model.entries import Entries, decode_xattrs
from .paths import shown

_NOT_OURS = (errno.EPERM, errno.EACCES)
_NOT_HERE = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL)
_SET_ID = 0o6000


class Notes:
    """What could not be set, by reason: how often, and the first path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: dict[str, tuple[int, bytes]] = {}

    def add(self, reason: str, path: bytes) -> None:
        with self._lock:
            count, first = self._met.get(reason, (0, path))
            self._met[reason] = (count + 1, first)

    def sentences(self) -> list[str]:
        return [
            f"{reason}: {shown(first)}" + (f" and {count - 1} more" if count > 1 else "")
            for reason, (count, first) in self._met.items()
        ]


class Attributes:
    """Sets the attributes of rows of one table on open descriptors. Thread-safe."""

    def __init__(self, entries: Entries, notes: Notes) -> None:
        self._notes = notes
        self._paths = entries.path
        users = _renumber(set(entries.uid.tolist()), entries.users, lambda n: pwd.getpwnam(n).pw_uid)
        groups = _renumber(set(entries.gid.tolist()), entries.groups, lambda n: grp.getgrnam(n).gr_gid)
        self._uid = [users[i] for i in entries.uid.tolist()]
        self._gid = [groups[i] for i in entries.gid.tolist()]
        self._mode = (entries.mode & 0o7777).tolist()
        self._mtime = entries.mtime_ns.tolist()
        self._xattrs = {int(row): entries.xattrs[int(row)] for row in entries.xattrs.lengths().nonzero()[0]}

    def set(self, row: int, fd: int) -> None:
        """On a file or directory open for more than its path."""
        mode = self._own(row, fd, self._mode[row])
        if row in self._xattrs:
            xattrs = decode_xattrs(self._xattrs[row])
            self._put(row, fd, {k: v for k, v in xattrs.items() if not _is_acl(k)})
            os.fchmod(fd, mode)
            self._put(row, fd, {k: v for k, v in xattrs.items() if _is_acl(k)})
        else:
            os.fchmod(fd, mode)
        os.utime(fd, ns=(self._mtime[row], self._mtime[row]))

    def set_special(self, row: int, fd: int, *, symlink: bool) -> None:
        """On a symlink, FIFO, device or socket, by a descriptor of its path (O_PATH | O_NOFOLLOW)."""
        place = b"/proc/self/fd/%d" % fd
        mode = self._mode[row]
        try:
            os.chown(place, self._uid[row], self._gid[row])
        except OSError as error:
            self._forgive(error, _NOT_OURS, "owner not set", row)
            mode &= ~_SET_ID
        if not symlink:
            os.chmod(place, mode)
        if row in self._xattrs:
            self._put(row, place, decode_xattrs(self._xattrs[row]))
        os.utime(place, ns=(self._mtime[row], self._mtime[row]))

    def _own(self, row: int, fd: int, mode: int) -> int:
        """Sets the owner; the mode that may be set afterwards."""
        try:
            os.fchown(fd, self._uid[row], self._gid[row])
        except OSError as error:
            self._forgive(error, _NOT_OURS, "owner not set", row)
            return mode & ~_SET_ID
        return mode

    def _put(self, row: int, file: int | bytes, xattrs: Mapping[bytes, bytes]) -> None:
        for name, value in xattrs.items():
            try:
                os.setxattr(file, name, value)
            except OSError as error:
                self._forgive(error, _NOT_HERE, f"attribute {shown(name)} not set", row)

    def _forgive(self, error: OSError, codes: tuple[int, ...], reason: str, row: int) -> None:
        if error.errno not in codes:
            raise error
        self._notes.add(f"{reason} ({os.strerror(error.errno).lower()})", self._paths[row])


def _is_acl(name: bytes) -> bool:
    return name.startswith(b"system.posix_acl")


def _renumber(ids: set[int], names: Mapping[int, str], lookup: Callable[[str], int]) -> dict[int, int]:
    """id in the image → id here: that of the same name where this host knows the name, else the number
    itself."""
    found = {}
    for number in ids:
        try:
            found[number] = lookup(names[number])
        except KeyError:
            found[number] = number
    return found
