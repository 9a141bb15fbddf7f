"""A point as a read-only filesystem: /<component>/<path>, with all that stat, readlink and getfattr show.

The kernel refuses every write (the mount is read-only), and may cache all replies forever, because a
point never changes. A mount is served until it is unmounted or interrupted. It answers one request at a time,
because there is one reader and decoding takes most of the time.

A reader of the mount sees damage only as an input/output error. The cause goes to the callback of a
foreground mount; a background mount, which has no terminal, sends it to the system log.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Any

from ..host.detach import run_detached
from ..model.errors import UndividedError, UsageError
from ..model.point import RecoveryPoint
from ..vault.vault import Vault
from .point_tree import PointTree
from .vault_source import VaultSource

_log = logging.getLogger(__name__)
_SYSTEM_LOG = "/dev/log"
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
    as it answers, and another process serves it. complain: called, in the foreground, with the cause of each
    input/output error that a reader gets. Raises UndividedError when the point cannot be mounted.
    """
    name = f"{point.service}@{point.id}"
    place = at.absolute()
    if not at.is_dir():
        raise UsageError(f"{at} is not a directory", doing=f"mount {name}", hint=f"Make it first: mkdir {at}")
    reader = vault.reader()
    sources = {part: VaultSource(reader, component) for part, component in point.components.items()}
    tree = PointTree(sources, reader, point.time_ns)
    # Reading one tree may ask for the passphrase. A process in the background could not ask.
    _ = next(iter(sources.values())).entries
    if foreground:
        serve(tree, place, name, complain=complain)
    else:
        run_detached(lambda ready: _serve_silently(tree, place, name, ready), doing=f"mount {name} at {at}")


def _serve_silently(tree: PointTree, at: Path, name: str, ready: Callable[[], None]) -> None:
    """Serves without a terminal: warnings go to the system log, where this machine has one."""
    if os.path.exists(_SYSTEM_LOG):
        from logging.handlers import SysLogHandler

        handler = SysLogHandler(_SYSTEM_LOG, SysLogHandler.LOG_DAEMON)
        handler.setFormatter(logging.Formatter("undivided: %(message)s"))
        _log.addHandler(handler)
    serve(tree, at, name, ready=ready, complain=lambda error: _log.warning("mount %s: %s", at, error))


def serve(
    tree: PointTree,
    at: Path,
    name: str,
    *,
    ready: Callable[[], None] | None = None,
    complain: Callable[[UndividedError], None] | None = None,
) -> None:
    """Serves until it is unmounted, or until SIGINT or SIGTERM; then it is unmounted. name: the source that
    mount(8) shows. ready: called when the filesystem answers."""
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
                "the system refused the mount",
                doing=doing,
                hint="Read its message above, and check with `findmnt` whether the directory is in use.",
            ) from error
        # After a signal, libfuse unmounts and then returns the signal as an error.


def _library(doing: str) -> Any:
    """The binding, with libfuse 3 where there are several. Raises UndividedError when a part is missing."""
    if not os.path.exists("/dev/fuse"):
        raise UndividedError(
            "this system has no /dev/fuse",
            doing=doing,
            hint="Load the kernel module: modprobe fuse. In a container, pass the device to it.",
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
    """Answers the kernel's requests from the tree. Paths come as text, with escapes for non-UTF-8 bytes."""

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
            # Programs that list a directory skip names without an inode.
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
    """The reverse of the binding's decoding, which ignores the locale of this process."""
    return text.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
