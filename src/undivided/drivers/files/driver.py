"""Trees of files: uploads, sites, mail, whatever an application keeps in a directory.

A tree has no log and no barrier of its own, so there are three ways to one instant of it, best first:

    snapshot   the filesystem fixes the whole tree (btrfs); read afterwards at leisure    consistency crash
    held       pre-copied in rounds while its writers work, then the writers named in the
               service file are stopped, the small rest is copied, and they go on         consistency crash
    neither    the same without the hold; the point says what it could not promise        consistency ordered

The timeline's paths are the tree's own. What is captured is exactly what was there, or there is no point: a
file that cannot be read, and one that never settles, fail it by name.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...host.mounts import below, beneath
from ...host.rooted import RootedDirectory
from ...model.errors import SourceError
from ...model.point import ComponentPoint
from ...model.service import Component
from ...snapshotters.base import Snapshotter
from ...tree.patterns import Patterns
from ...tree.walk import walk
from ..base import Description, Found, Health, Session, Source
from ..support.service_control import start_by_options, stop_by_options
from ..support.swap import exchange
from .held import HeldSession
from .snapshot import SnapshotSession
from .tree import Tree

OURS = (".undivided-snapshot-*/", "/.undivided-*/")
"""What we may leave in a tree ourselves: never part of it."""


class FilesDriver:
    """snapshotter: what the tree's filesystem offers, set by capture; None is the same as plain copies."""

    kind = "files"
    markable = False

    def __init__(self, component: Component) -> None:
        """Raises UsageError for a pattern that cannot be one."""
        self.component = component
        self.cache: Path | None = None
        self.snapshotter: Snapshotter | None = None
        self._path = Path(component.options["path"])
        include, exclude = component.get("include") or (), component.get("exclude") or ()
        self._patterns = Patterns(tuple(include), (*exclude, *OURS))

    @classmethod
    def find(cls) -> list[Found]:
        """Nothing: that a process has a directory open does not say that the directory is data of a
        service."""
        return []

    def describe(self) -> Description:
        try:
            with RootedDirectory(self._path) as root:
                entries = walk(root, patterns=self._patterns, one_filesystem=self._one_filesystem).entries
            mount = beneath(self._path)
        except OSError as error:
            raise _absent(self._path, error) from error
        return Description(
            version="",
            directory=str(self._path),
            size=int(entries.size.sum()),
            filesystem=f"{mount.fstype} at {mount.mountpoint}",
            details={"entries": len(entries), "device": mount.device},
        )

    def health(self) -> Health:
        if not self._path.is_dir():
            return Health(False, f"{self._path} is not there")
        if not os.access(self._path, os.R_OK | os.X_OK):
            return Health(False, f"{self._path} may not be read by us")
        return Health(True, f"{self._path} is there")

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> Session:
        writers = self.component.get("writers")
        tree = Tree(self._path, self._patterns, self._one_filesystem, previous, self.cache)
        if self.snapshotter and self.snapshotter.whole and self._is_one_volume():
            return SnapshotSession(tree, self.snapshotter, writers)
        return HeldSession(tree, self.snapshotter, writers)

    def directory(self) -> Path:
        return self._path

    def restore(self, source: Source, into: Path) -> None:
        source.extract(into)

    def install(self, built: Path, aside: str) -> Path | None:
        return exchange(built, self._path, aside)

    def start(self) -> None:
        start_by_options(self.component)

    def stop(self) -> None:
        stop_by_options(self.component)

    @property
    def _one_filesystem(self) -> bool:
        return bool(self.component.get("one_filesystem", False))

    def _is_one_volume(self) -> bool:
        """Whether a snapshot of the root's filesystem holds all of the tree."""
        return self._one_filesystem or not below(self._path)


def _absent(path: Path, error: OSError) -> SourceError:
    cause = f"{path}: {(error.strerror or str(error)).lower()}"
    return SourceError(cause, doing="read the tree", hint="Check `path` in the service file.")
