"""Staging: the directory next to a component's place in which it is built, and which records the progress.

A build must be on the same filesystem as its place, so that installing it is a rename. So it lies next to
that place, in a directory with a name that explains it:

    /srv/portal                          the place
    /srv/.undivided-<point>-<component>/
        recovery.json                    the record; written whole or not at all
        data/                            the build, until it is installed

The invariant that lets a killed recovery resume: `recovery.json` has `built: true` only when the build is
complete and on disk, and `data` leaves only by being installed, and a driver's `install` can be repeated
after an interruption at any step. So: not built, start the build again; built, install, whether `data` is
here or not. No other state is kept anywhere.

A mount point cannot be renamed, and the space for the build is on the filesystem mounted there: then the
staging directory lies inside it, and stays there while the files around it are exchanged.
"""

from __future__ import annotations

import enum
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..host.atomic_files import replace_file
from ..host.rooted import syncfs
from ..model.errors import UndividedError, error_context
from .errors import HINTS

PREFIX = ".undivided-"
_RECORD = "recovery.json"
_DYING_SECONDS = 30.0


class BuildState(enum.Enum):
    """How far an earlier attempt got with one component."""

    NEW = "new"
    BUILT = "built"
    INSTALLING = "installing"
    """The build is at its place, or the attempt was killed while it moved it there."""


@dataclass(frozen=True, slots=True)
class PointBefore:
    """The point taken of the live service before any change. unchanged: it holds nothing newer than the point
    that is recovered."""

    id: str
    time_ns: int
    unchanged: bool


@dataclass(frozen=True, slots=True)
class StagingRecord:
    """The content of recovery.json. suffix: the ending of the names of data that is moved aside."""

    service: str
    point: str
    component: str
    place: str
    suffix: str
    built: bool = False
    first: PointBefore | None = None


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging directory of one component. It need not exist."""

    directory: Path

    @staticmethod
    def within(parent: Path, point: str, component: str) -> Staging:
        return Staging(parent / f"{PREFIX}{point}-{component}")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def record(self) -> StagingRecord | None:
        """The record that an earlier attempt left here; None when there is none of ours."""
        try:
            values = json.loads((self.directory / _RECORD).read_bytes())
            first = values.pop("first")
            return StagingRecord(**values, first=PointBefore(**first) if first else None)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndividedError(
                f"{self.directory / _RECORD} is not a valid record of a recovery: {error}",
                hint=f"Look into {self.directory}; remove it if nothing in it is needed.",
            ) from error

    def state(self) -> BuildState:
        record = self.record()
        if record is None or not record.built:
            return BuildState.NEW
        return BuildState.BUILT if os.path.lexists(self.data) else BuildState.INSTALLING

    def write(self, record: StagingRecord) -> None:
        """Makes this the record, durably. Other users may pass through the directory (a database's own user
        must reach its build), but not list it."""
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        replace_file(self.directory / _RECORD, json.dumps(asdict(record), indent=1).encode())

    def empty(self) -> Path:
        """An empty `data`, after removing the remains of a build that crashed."""
        with error_context(f"clear {self.data} for the build", HINTS):
            erase(self.data)
            self.data.mkdir(mode=0o700)
        return self.data

    def settle(self) -> None:
        """Returns when everything built here will survive a power loss."""
        with error_context(f"flush {self.data} to disk", HINTS):
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                syncfs(descriptor)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """The record goes last, so that an interrupted removal is still recognised."""
        with error_context(f"remove {self.directory}", HINTS):
            erase(self.data)
            erase(self.directory)


def leftovers(parent: Path, component: str, service: str) -> Iterator[tuple[Staging, StagingRecord]]:
    """Staging directories in `parent` that recoveries of this component left, to any point."""
    try:
        names = sorted(os.listdir(parent))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.startswith(PREFIX) and name.endswith("-" + component):
            staging = Staging(parent / name)
            record = staging.record()
            if record and (record.component, record.service) == (component, service):
                yield staging, record


def erase(path: Path) -> None:
    """Removes a tree or a file, following no link, also when its directories are read-only."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if os.geteuid() != 0:
        os.chmod(path, 0o700)
        for top, directories, _files in os.walk(path):
            for name in directories:
                inner = os.path.join(top, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)
    until = time.monotonic() + _DYING_SECONDS
    while os.path.lexists(path):
        try:
            shutil.rmtree(path)
        except OSError as error:
            # A database's private server that outlived a killed build still adds and removes files while it
            # ends: try again until it has ended.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY) or time.monotonic() > until:
                raise
