"""Trees of files: uploads, sites, mail, and anything else that an application keeps in a directory.

A tree has no log and no barrier of its own, so there are three ways to capture it, best first:

    snapshot   the filesystem preserves the whole tree (btrfs); it is read afterwards     consistency crash
    held       pre-copied in rounds while its writers work; then the writers named in
               the service file are frozen, the small delta is copied, and they continue  consistency crash
    neither    the same without the freeze; the point notes what it cannot promise        consistency ordered

The timeline's paths are the tree's own. The point holds exactly what the tree held, or no point is made: a
file that cannot be read or that never settles fails it, and the error names the file.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ...host.mounts import mount_of, mounts_inside
from ...host.rooted import RootedDirectory
from ...model.errors import SourceError, error_context
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
from .tree import DOING, PATH_HINT, Tree

_log = logging.getLogger(__name__)

OURS = (".undivided-snapshot-*/", "/.undivided-*/")
"""Names that Undivided itself may leave in a tree: never part of it."""


class FilesDriver:
    """snapshotter: set by capture, as the tree's filesystem allows; None is the same as plain copies."""

    kind = "files"
    markable = False

    def __init__(self, component: Component) -> None:
        """Raises UsageError for an invalid pattern."""
        self.component = component
        self.cache: Path | None = None
        self.snapshotter: Snapshotter | None = None
        self._path = Path(component.options["path"])
        include, exclude = component.get("include") or (), component.get("exclude") or ()
        self._patterns = Patterns(tuple(include), (*exclude, *OURS))

    @classmethod
    def find(cls) -> list[Found]:
        """Finds nothing: a directory that a process has open is not necessarily data of a service."""
        return []

    def describe(self) -> Description:
        with error_context(DOING, PATH_HINT, raises=SourceError):
            with RootedDirectory(self._path) as root:
                entries = walk(root, patterns=self._patterns, one_filesystem=self._one_filesystem).entries
            mount = mount_of(self._path)
        return Description(
            version="",
            directory=str(self._path),
            size=int(entries.size.sum()),
            filesystem=f"{mount.fstype} on {mount.mountpoint}",
            details={"entries": len(entries), "device": mount.device},
        )

    def health(self) -> Health:
        if not self._path.is_dir():
            return Health(False, f"{self._path} does not exist or is not a directory")
        if not os.access(self._path, os.R_OK | os.X_OK):
            return Health(False, f"no permission to read {self._path}")
        return Health(True, f"{self._path} exists")

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> Session:
        writers = self.component.get("writers")
        tree = Tree(self._path, self._patterns, self._one_filesystem, previous, self.cache)
        if self.snapshotter and self.snapshotter.whole:
            if self._is_one_volume():
                return SnapshotSession(tree, self.snapshotter, writers)
            _log.info("%s: no snapshot, because other filesystems are mounted inside the tree", self._path)
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
        return self._one_filesystem or not mounts_inside(self._path)
