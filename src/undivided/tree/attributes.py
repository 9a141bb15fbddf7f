"""Owner, mode, times and extended attributes of what was written.

Order matters: a change of owner clears set-id bits and file capabilities, an ACL rewrites the group bits of
the mode, and an owner who is not root may not set attributes on a file made read-only. Hence owner,
attributes, mode, ACLs, times. An attribute that a file has from its creation is not set again: most files
belong to the user who restores them, and have a mode that no umask narrows.

An attribute that this process may not set is counted and reported, and is no failure: the data of an ordinary
user's recovery is complete. A file whose owner could not be set loses its set-id bits, which would act for
the wrong user.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..host.names import shown
from ..model.entries import Entries, decode_xattrs

_NOT_OURS = (errno.EPERM, errno.EACCES)
_NOT_HERE = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL)
_SET_ID = 0o6000
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Birth:
    """The attributes of a file that is created beneath a directory. uid, gid: -1 when they are not known;
    umask: the mode bits that a creation cannot set."""

    uid: int = -1
    gid: int = -1
    umask: int = 0o7777

    @staticmethod
    def beneath(directory: int) -> Birth:
        """directory: open for reading. Files inherit our own owner and group whatever the mount options are.
        A default ACL of the directory would change their modes."""
        found = os.fstat(directory)
        ours = (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
        owner = (found.st_uid, found.st_gid) if ours else (-1, -1)
        return Birth(*owner, 0o7777 if _has_default_acl(directory) else _umask())


class Notes:
    """Attributes that could not be set, by reason: their number and the first path."""

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


class AttributeWriter:
    """Sets the attributes of rows of one table on open descriptors. Thread-safe."""

    def __init__(self, entries: Entries, notes: Notes, birth: Birth) -> None:
        self._notes = notes
        self._birth = birth
        self._paths = entries.path
        users = _renumber(set(entries.uid.tolist()), entries.users, lambda n: pwd.getpwnam(n).pw_uid)
        groups = _renumber(set(entries.gid.tolist()), entries.groups, lambda n: grp.getgrnam(n).gr_gid)
        self._uid = [users[i] for i in entries.uid.tolist()]
        self._gid = [groups[i] for i in entries.gid.tolist()]
        self._mode = (entries.mode & 0o7777).tolist()
        self._mtime = entries.mtime_ns.tolist()
        self._xattrs = {int(row): entries.xattrs[int(row)] for row in entries.xattrs.lengths().nonzero()[0]}

    def first_mode(self, row: int) -> int:
        """The mode to create a file with: its own, unless creation cannot set it or it would stop us."""
        mode = self._mode[row]
        return _PRIVATE if mode & (self._birth.umask | _SET_ID) or row in self._xattrs else mode

    def set(self, row: int, fd: int, mode_now: int = -1) -> None:
        """On a file or directory that is open for reading or writing. mode_now: the mode that its creation
        set."""
        mode = self._own(row, fd, self._mode[row])
        if row in self._xattrs:
            xattrs = decode_xattrs(self._xattrs[row])
            self._put(row, fd, {k: v for k, v in xattrs.items() if not _is_acl(k)})
            os.fchmod(fd, mode)
            self._put(row, fd, {k: v for k, v in xattrs.items() if _is_acl(k)})
        elif mode != mode_now:
            os.fchmod(fd, mode)
        os.utime(fd, ns=(self._mtime[row], self._mtime[row]))

    def set_special(self, row: int, fd: int, *, symlink: bool) -> None:
        """On a symlink, FIFO, device or socket, by a descriptor of its path (O_PATH | O_NOFOLLOW)."""
        place = b"/proc/self/fd/%d" % fd
        mode = self._mode[row]
        try:
            os.chown(place, self._uid[row], self._gid[row])
        except OSError as error:
            self._note(error, _NOT_OURS, "owner not set", row)
            mode &= ~_SET_ID
        if not symlink:
            os.chmod(place, mode)
        if row in self._xattrs:
            self._put(row, place, decode_xattrs(self._xattrs[row]))
        os.utime(place, ns=(self._mtime[row], self._mtime[row]))

    def _own(self, row: int, fd: int, mode: int) -> int:
        """Sets the owner; the mode that may be set afterwards."""
        if self._uid[row] == self._birth.uid and self._gid[row] == self._birth.gid:
            return mode
        try:
            os.fchown(fd, self._uid[row], self._gid[row])
        except OSError as error:
            self._note(error, _NOT_OURS, "owner not set", row)
            return mode & ~_SET_ID
        return mode

    def _put(self, row: int, file: int | bytes, xattrs: Mapping[bytes, bytes]) -> None:
        for name, value in xattrs.items():
            try:
                os.setxattr(file, name, value)
            except OSError as error:
                self._note(error, _NOT_HERE, f"attribute {shown(name)} not set", row)

    def _note(self, error: OSError, codes: tuple[int, ...], reason: str, row: int) -> None:
        if error.errno not in codes:
            raise error
        self._notes.add(f"{reason} ({os.strerror(error.errno).lower()})", self._paths[row])


def _umask() -> int:
    """Read from /proc, because the system call would change it for a moment. All bits when it cannot be
    read."""
    try:
        with open("/proc/self/status", "rb") as status:
            line = next(line for line in status if line.startswith(b"Umask:"))
        return int(line.split()[1], 8)
    except (OSError, StopIteration):
        return 0o7777


def _has_default_acl(directory: int) -> bool:
    try:
        return b"system.posix_acl_default" in map(os.fsencode, os.listxattr(directory))
    except OSError:
        return True


def _is_acl(name: bytes) -> bool:
    return name.startswith(b"system.posix_acl")


def _renumber(ids: set[int], names: Mapping[int, str], lookup: Callable[[str], int]) -> dict[int, int]:
    """id in the image → id here: that of the same name where this host knows it, else the same number."""
    found = {}
    for number in ids:
        try:
            found[number] = lookup(names[number])
        except KeyError:
            found[number] = number
    return found
