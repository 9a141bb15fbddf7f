"""Staging: the directory beside a component's place in which it is built, and which remembers how far it got.

A build must be on the filesystem of the place it will take, so that taking it is a rename. So it lies
beside that place, in a directory whose name says what it is:

    /srv/portal                          the place
    /srv/.undivided-<point>-<component>/
        recovery.json                    what this is; written whole or not at all
        data/                            the build, until it takes the place

The invariant that lets a killed recovery go on: `recovery.json` says `built` only when the build is
complete and on disk, and `data` leaves only by taking the place, which a driver's `install` repeats to the
end whatever had happened of it. So not built: begin the build anew. Built: install, whether `data` is here
or not. Nothing else is remembered anywhere.

A mount point cannot be renamed, and the space for the build is on what is mounted there: then the staging
directory lies inside it, and stays there while its neighbours are exchanged.
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


class Stage(enum.Enum):
    """How far an earlier attempt got with one component."""

    NEW = "new"
    BUILT = "built"
    TAKING = "taking its place"
    """It has taken its place, or was killed while it did."""


@dataclass(frozen=True, slots=True)
class First:
    """The point taken of the live service before it was touched. unchanged: nothing in it was newer than the
    point that is recovered."""

    id: str
    time_ns: int
    unchanged: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What recovery.json holds. suffix: how the name of what moves aside ends."""

    service: str
    point: str
    component: str
    place: str
    suffix: str
    built: bool = False
    first: First | None = None


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

    def record(self) -> Record | None:
        """What an earlier attempt left here; None when there is nothing of ours."""
        try:
            values = json.loads((self.directory / _RECORD).read_bytes())
            first = values.pop("first")
            return Record(**values, first=First(**first) if first else None)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndividedError(
                f"{self.directory / _RECORD} is not what a recovery writes: {error}",
                hint=f"Look what {self.directory} is; if nothing in it is needed, remove it.",
            ) from error

    def stage(self) -> Stage:
        record = self.record()
        if record is None or not record.built:
            return Stage.NEW
        return Stage.BUILT if os.path.lexists(self.data) else Stage.TAKING

    def write(self, record: Record) -> None:
        """Makes this the record, durably. Others may pass through the directory (a database's own user must
        reach its build), but not look into it."""
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        replace_file(self.directory / _RECORD, json.dumps(asdict(record), indent=1).encode())

    def empty(self) -> Path:
        """An empty `data`, whatever a crashed build left there."""
        with error_context(f"make room for a build in {self.directory}", HINTS):
            erase(self.data)
            self.data.mkdir(mode=0o700)
        return self.data

    def settle(self) -> None:
        """Returns when everything built here would survive power loss."""
        with error_context(f"flush {self.data} to disk", HINTS):
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                syncfs(descriptor)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """The record goes last, so that a removal cut short is still recognised."""
        with error_context(f"remove {self.directory}", HINTS):
            erase(self.data)
            erase(self.directory)


def leftovers(parent: Path, component: str, service: str) -> Iterator[tuple[Staging, Record]]:
    """Staging directories in `parent` that recoveries of this component left, to whichever point."""
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
    """Removes a tree or a file, following nothing, also when its directories may not be written to."""
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
            # ends: begin again until it has.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY) or time.monotonic() > until:
                raise
