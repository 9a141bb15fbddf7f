"""Two trees of entries compared as columns: what `diff` shows."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from ..host.paths import file_error
from ..host.rooted import RootedDirectory
from ..model.entries import Entries
from ..model.path_join import equal_rows, locate
from ..model.service import Component
from ..tree.patterns import Patterns
from ..tree.walk import walk

_SEEN = ("kind", "mode", "uid", "gid", "size", "mtime_ns", "rdev")
"""What a walk sees without opening a file. A file's size and time change with its content."""
_STORED = ("target", "xattrs", "extents", "content")


class PathChange(NamedTuple):
    """kind: added, removed, changed. before, after: sizes in bytes, None where it does not exist."""

    kind: str
    path: bytes
    before: int | None
    after: int | None


def compare(before: Entries, after: Entries, *, live: bool = False) -> list[PathChange]:
    """The changes, by path. live: `after` is a walk, which has attributes and no content."""
    at = locate(before.path, after.path)
    old, new = at[at >= 0], np.flatnonzero(at >= 0)
    same = np.ones(len(new), np.bool_)
    for name in _SEEN:
        same &= getattr(before, name)[old] == getattr(after, name)[new]
    for name in () if live else _STORED:
        same &= equal_rows(getattr(before, name).take(old), getattr(after, name).take(new))
    stays = np.zeros(len(before), np.bool_)
    stays[old] = True
    changes = [
        PathChange("changed", after.path[n], int(before.size[o]), int(after.size[n]))
        for o, n in zip(old[~same].tolist(), new[~same].tolist(), strict=True)
    ]
    changes += [
        PathChange("added", after.path[n], None, int(after.size[n])) for n in np.flatnonzero(at < 0).tolist()
    ]
    changes += [
        PathChange("removed", before.path[o], int(before.size[o]), None)
        for o in np.flatnonzero(~stays).tolist()
    ]
    return sorted(changes, key=lambda change: change.path)


def live_tree(component: Component) -> Entries:
    """A files component as it is now, with the patterns that choose its files when it is protected."""
    path = str(component.options["path"])
    patterns = Patterns(component.get("include", ()), component.get("exclude", ()))
    try:
        with RootedDirectory(os.fsencode(path)) as root:
            return walk(
                root, patterns=patterns, one_filesystem=component.get("one_filesystem", False)
            ).entries
    except OSError as error:
        raise file_error(error, f"read {path}") from error
