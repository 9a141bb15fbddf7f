"""A point as a read-only filesystem: /<component>/<path>, with all that stat, readlink and getfattr show.

The kernel refuses every write (the mount is read-only), and since a point never changes it may keep what it
was told as long as it likes. Served in the foreground until it is unmounted or interrupted; one request at
a time, because decoding is what takes the time and the reader is one.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Any

from ..host.detach import detached
from ..model.errors import UndividedError, UsageError
from ..model.point import RecoveryPoint
from ..vault.vault import Vault
from .point_tree import PointTree
from .vault_source import VaultSource

_FOREVER = 86400
_BLOCK = 4096


def mount(
    vault: Vault,
    point: RecoveryPoint,
    at: Path,
    *,
    foreground: bool = True,
    complain: Callable[[UndividedError], None] | None = None,
) -> None:
    """Mounts a point at the directory `at`. foreground: serve it until it is unmounted; else return as soon
    as it answers, and another process serves it. complain: told what a reader was refused, as an
    input/output error, and why. Raises UndividedError when it cannot be mounted.
    """
    name = f"{point.service}@{point.id}"
    place = at.absolute()
    if not at.is_dir():
        raise UsageError(f"{at} is no directory", doing=f"mount {name}", hint=f"Make it first: mkdir {at}")
    reader = vault.reader()
    sources = {part: VaultSource(reader, component) for part, component in point.components.items()}
    tree = PointTree(sources, reader, point.time_ns)
    # Reading one tree may ask for the passphrase, which a process in the background could not.
    _ = next(iter(sources.values())).entries
    if foreground:
        serve(tree, place, name, complain=complain)
    else:
        detached(lambda ready: serve(tree, place, name, ready=ready), doing=f"mount {name} at {at}")


def serve(
    tree: PointTree,
    at: Path,
    name: str,
    *,
    ready: Callable[[], None] | None = None,
    complain: Callable[[UndividedError], None] | None = None,
) -> None:
    """Serves until it is unmounted, or until SIGINT or SIGTERM; then it is unmounted. name: what mount(8)
    shows as the source. ready: called when the filesystem answers."""
    doing = f"mount {name} at {at}"
    fuse = _library(doing)
    served = []

    def begun() -> None:
        served.append(True)
        if ready:
            ready()

    operations = _operations(fuse, tree, begun, complain)
    try:
        fuse.FUSE(
            operations,
            str(at),
            foreground=True,
            nothreads=True,
            ro=True,
            fsname=name.replace(",", "_"),
            subtype="undivided",
            use_ino=True,
            kernel_cache=True,
            attr_timeout=_FOREVER,
            entry_timeout=_FOREVER,
        )
    except RuntimeError as error:
        if not served:
            raise UndividedError(
                "the mount was refused",
                doing=doing,
                hint="Is something mounted there already? What the system says is above.",
            ) from error
        # Ended by a signal, libfuse returns it as an error after unmounting.


def _library(doing: str) -> Any:
    """The binding, on libfuse 3 where there are several. Raises UndividedError for what is missing."""
    if not os.path.exists("/dev/fuse"):
        raise UndividedError(
            "this system has no /dev/fuse",
            doing=doing,
            hint="Load the module fuse, or give the container the device.",
        )
    if os.geteuid() != 0 and not (shutil.which("fusermount3") or shutil.which("fusermount")):
        raise UndividedError("fusermount3 is missing", doing=doing, hint="Install it: apt-get install fuse3")
    library = find_library("fuse3")
    if library:
        os.environ.setdefault("FUSE_LIBRARY_PATH", library)
    try:
        import mfusepy
    except ImportError as error:
        raise UndividedError(
            "the Python binding of FUSE is missing",
            doing=doing,
            hint="Install it: pip install 'undivided[mount]'",
        ) from error
    except OSError as error:
        raise UndividedError(
            "libfuse is missing", doing=doing, hint="Install it: apt-get install fuse3"
        ) from error
    return mfusepy


def _operations(
    fuse: Any,
    tree: PointTree,
    begun: Callable[[], None],
    complain: Callable[[UndividedError], None] | None,
) -> Any:
    """The kernel's requests, answered from the tree. Paths come as text, what is not UTF-8 escaped."""

    class Operations(fuse.Operations):  # type: ignore[misc]
        use_ns = True

        def init(self, path: str) -> None:
            begun()

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            a = tree.attributes(_bytes(path))
            return {
                "st_mode": a.mode,
                "st_ino": a.inode,
                "st_nlink": a.links,
                "st_size": a.size,
                "st_uid": a.uid,
                "st_gid": a.gid,
                "st_atime": a.mtime_ns,
                "st_mtime": a.mtime_ns,
                "st_ctime": a.mtime_ns,
                "st_rdev": a.rdev,
                "st_blksize": _BLOCK,
                "st_blocks": -(-a.size // 512),
            }

        def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
            # Whoever lists a directory skips names without an inode.
            children = tree.children(_bytes(path))
            for name, a in ((b".", tree.top()), (b"..", tree.top()), *children):
                yield _text(name), {"st_mode": a.mode, "st_ino": a.inode}, 0

        def readlink(self, path: str) -> str:
            found = tree.find(_bytes(path))
            return _text(found[0].target(found[1])) if found else ""

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            found = tree.find(_bytes(path))
            try:
                return found[0].read(found[1], offset, size) if found else b""
            except UndividedError as error:
                if complain:
                    complain(error)
                raise OSError(errno.EIO, error.cause) from error

        def listxattr(self, path: str) -> list[str]:
            found = tree.find(_bytes(path))
            return [_text(name) for name in found[0].xattrs(found[1])] if found else []

        def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
            found = tree.find(_bytes(path))
            values = found[0].xattrs(found[1]) if found else {}
            if _bytes(name) not in values:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
            return values[_bytes(name)]

        def statfs(self, path: str) -> dict[str, int]:
            return {"f_bsize": _BLOCK, "f_frsize": _BLOCK, "f_namemax": 255, "f_flag": os.ST_RDONLY}

    return Operations()


def _bytes(text: str) -> bytes:
    """As the binding decodes, whatever the locale of this process."""
    return text.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
