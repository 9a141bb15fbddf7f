"""Trees with everything that a filesystem can hold, and the comparison that a recovery must pass."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from pathlib import Path
from typing import Any

ODD_NAME = b"caf\xe9 \xff\n"
"""Not UTF-8, with a newline."""


def make_tree(root: Path, *, privileged: bool | None = None) -> Path:
    """Makes `root` with all kinds of file. privileged: owners and devices as well; by default only as
    root."""
    privileged = os.geteuid() == 0 if privileged is None else privileged
    root.mkdir(parents=True)
    (root / "empty").touch()
    (root / "small").write_bytes(b"hello\n")
    (root / "large").write_bytes(os.urandom(3 << 20))
    deep = root / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    (root / "a-b").write_text("sorts between a and a/b")
    odd = os.path.join(os.fsencode(root), ODD_NAME)
    with open(odd, "wb") as file:
        file.write(b"odd")
    (root / "nothing").mkdir(mode=0o711)
    os.symlink(b"../\xfe/nowhere", root / "symlink")
    os.mkfifo(root / "fifo", 0o620)
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    os.link(root / "small", deep / "again")
    os.link(root / "small", root / "third")
    with open(root / "sparse", "wb") as file:
        file.truncate(8 << 20)
        file.seek(2 << 20)
        file.write(b"x" * 5000)
        file.seek(6 << 20)
        file.write(b"y" * 70000)
    with open(root / "hole", "wb") as file:
        file.truncate(1 << 20)
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o6755)
    os.setxattr(root / "small", "user.colour", b"green\0\xff")
    os.setxattr(root / "a", "user.folder", b"yes")
    for path in (root / "run", root / "a" / "b"):
        os.setxattr(path, "system.posix_acl_access", _acl(0o5))
    os.setxattr(root / "a" / "b", "system.posix_acl_default", _acl(0o7))
    if privileged:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 200))
        os.chown(root / "large", 12345, 54321)
        os.lchown(root / "symlink", 7, 8)
        os.setxattr(root / "empty", "trusted.secret", b"1")
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        when = 1_000_000_000_123_456_789 + number * 1_000_000_007
        os.utime(path, ns=(when, when), follow_symlinks=False)
    os.utime(odd, ns=(-1_000_000_001, -1_000_000_001))
    os.utime(root, ns=(1_500_000_000_000_000_001,) * 2)
    return root


def describe_tree(root: Path) -> dict[bytes, dict[str, Any]]:
    """path → everything that a recovery must restore: content, kind, mode, owner, ns times, attributes,
    link groups (as the set of names) and where a sparse file has data."""
    top = os.fsencode(root)
    found: dict[bytes, dict[str, Any]] = {}
    groups: dict[tuple[int, int], list[bytes]] = {}
    for folder, directories, files in os.walk(top):
        for name in [b".", *directories, *files] if folder == top else [*directories, *files]:
            full = os.path.join(folder, name)
            path = os.path.relpath(full, top)
            status = os.lstat(full)
            row: dict[str, Any] = {
                "mode": status.st_mode,
                "owner": (status.st_uid, status.st_gid),
                "mtime": status.st_mtime_ns,
                "xattrs": {n: os.getxattr(full, n, follow_symlinks=False) for n in _names(full)},
            }
            if stat.S_ISREG(status.st_mode):
                with open(full, "rb") as file:
                    row["content"] = hashlib.sha256(file.read()).hexdigest()
                row["size"] = status.st_size
                row["sparse"] = status.st_blocks * 512 < status.st_size
            elif stat.S_ISLNK(status.st_mode):
                row["target"] = os.readlink(full)
            elif stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
                row["device"] = status.st_rdev
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                groups.setdefault((status.st_dev, status.st_ino), []).append(path)
            found[path] = row
    for names in groups.values():
        for path in names:
            found[path]["links"] = sorted(names)
    return found


def differences(left: Path, right: Path) -> list[str]:
    """The differences, one sentence each; empty if the trees are identical."""
    a, b = describe_tree(left), describe_tree(right)
    found = [f"{path!r} only in {left}" for path in sorted(a.keys() - b.keys())]
    found += [f"{path!r} only in {right}" for path in sorted(b.keys() - a.keys())]
    for path in sorted(a.keys() & b.keys()):
        for key in sorted(a[path].keys() | b[path].keys()):
            if a[path].get(key) != b[path].get(key):
                found.append(f"{path!r}: {key}: {a[path].get(key)!r} and {b[path].get(key)!r}")
    return found


def _names(path: bytes) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:
        return []


def _acl(named_user: int) -> bytes:
    """A POSIX ACL with an entry for user 33, as the kernel stores it."""
    undefined = 0xFFFFFFFF
    entries = [
        (0x01, 7, undefined),
        (0x02, named_user, 33),
        (0x04, 5, undefined),
        (0x10, 7, undefined),
        (0x20, 4, undefined),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
