"""The columns of the last walk, kept on the host, so that the next walk is a comparison.

Inodes and change times mean nothing on another host, so they are not in the vault but in a private file next
to the other local state. The file is a cache. It carries the token of its point; when that is not the token
of the last point, the file is ignored and every file of the tree is read again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..host.atomic_files import write_synced
from ..model.columns import Column, Ragged, decode, encode
from ..model.entries import Entries
from ..model.errors import DamageError
from .walk import Walk

FILE = "walk.udc"
_KEPT = ("path", "kind", "mode", "uid", "gid", "mtime_ns", "size", "rdev", "link")


def recall_walk(directory: Path, token: object) -> tuple[Walk, int] | None:
    """The walk stored under `token`, and the clock when it began; None when there is no such walk."""
    try:
        columns, header = decode((directory / FILE).read_bytes())
        if not token or header["token"] != token:
            return None
        own: dict[str, Any] = {name: columns[name] for name in _KEPT}
        empty = Ragged.empty(len(columns["path"]))
        entries = Entries(**own, target=empty, xattrs=empty, extents=empty, content=empty)
        local: Any = columns
        return Walk(entries, local["ino"], local["ctime_ns"], local["holes"]), int(header["began_ns"])
    except (OSError, DamageError, KeyError):
        return None


def remember_walk(directory: Path, token: str, walk: Walk, began_ns: int) -> None:
    """Stores the walk. After a crash the file is the old or the new one, never a part."""
    columns: dict[str, Column] = {name: getattr(walk.entries, name) for name in _KEPT}
    columns |= {"ino": walk.ino, "ctime_ns": walk.ctime_ns, "holes": walk.holes}
    scratch = directory / f"{FILE}.{os.getpid()}"
    # Synced, because after a power loss a file with the right name could have the wrong rows.
    write_synced(scratch, encode(columns, {"token": token, "began_ns": began_ns}, level=None), 0o666)
    os.replace(scratch, directory / FILE)
