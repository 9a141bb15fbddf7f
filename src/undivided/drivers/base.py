"""The contract between Undivided and an application: what a driver is, and what each call promises.

A driver knows one application and nothing of vaults. For capture it opens a `Session`, which takes part in
one consistent cut; for recovery it turns a tree of files and its own recorded state back into a data
directory that starts at exactly the mark.

    capture:   prepare ──▶ arm ──▶ hold ──▶ mark ──▶ release ──▶ finish ──▶ close
               slow,       last    writers  position at once     moves      always
               image       steps   blocked  read                 the logs

A component's state in the vault is a tree of entries (model/entries.py). A driver is free in its layout: by
custom the image lies under `data/`, a log that grows between points under `log/`, configuration that lives
outside the data directory under `config/`. Logs grow by `Sink.append`, so a mark moves only the new bytes.

Every implementation passes tests/contract/test_drivers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..model.entries import Entries, Entry, Layout
from ..model.point import ComponentPoint, Consistency, Position
from ..model.service import Component
from ..model.streams import Buffer, Piece
from ..snapshotters.base import Snapshotter


class Sink(Protocol):
    """Where a driver puts what it captures. Thread-safe between drivers, not within one session.

    `entries` is the component's tree as of the previous point plus what was put since; empty at first.
    """

    @property
    def entries(self) -> Entries: ...

    def put(self, entry: Entry, data: Iterable[Buffer] = (), layout: Layout = Layout.BLOCKS) -> int:
        """A whole new version of `entry.path` (of any kind). The size stored is what `data` held;
        `entry.size` is ignored for files without extents. Returns the bytes read."""
        ...

    def append(self, path: bytes, offset: int, data: Iterable[Buffer]) -> int:
        """Continues the file at `offset`, which must be its size (0 creates it). Returns the bytes added.
        Raises SourceError on any other offset: a gap in a log is never papered over."""
        ...

    def put_many(self, entries: Entries, pieces: Iterable[Piece], layout: Layout) -> None:
        """New versions of many paths. pieces: of the rows of `entries`; rows without pieces have no data.
        When this returns, every batch has been read."""
        ...

    def drop(self, paths: Sequence[bytes]) -> None:
        """Tombstones: these paths are gone. Unknown paths are ignored."""
        ...

    def replace(self, prefix: bytes) -> None:
        """Starts a new image: paths under `prefix` that are not put again before the end are dropped."""
        ...

    def note(self, text: str) -> None:
        """A sentence for the point's record: what an operator should know of how this was captured."""
        ...

    def progress(self, done: int, total: int | None = None) -> None:
        """Bytes of slow work done so far, for the progress bar."""
        ...


class Watchdog(Protocol):
    """The watchdog process as a driver sees it: told before a hold how to undo it if we die or hang.

    Holds that end with our connection or file descriptor need no recipe. Each call returns once the watchdog
    has opened what it needs, so that releasing later needs no exec, no open and no log.
    """

    def resume(self, pids: Sequence[int]) -> None:
        """SIGCONT these processes."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write data to a file opened now (a cgroup.freeze)."""
        ...

    def thaw(self, path: str) -> None:
        """FITHAW the filesystem of a directory opened now."""
        ...

    def postgresql(self, dsn: str, statements: Sequence[str]) -> None:
        """Run statements on a connection opened now."""
        ...


class Session(Protocol):
    """One component's part in one cut. Methods are called in the order of the module's picture, each at most
    once except `release` and `close`, which are idempotent and are called after any failure."""

    @property
    def consistency(self) -> Consistency:
        """What this component contributes: known after `prepare`."""
        ...

    @property
    def holds(self) -> bool:
        """Whether `hold` blocks every writer. False: merely marked, or not held at all."""
        ...

    def prepare(self, sink: Sink) -> None:
        """All slow work: connections, checkpoint, and the image when the previous point cannot be continued.
        Raises SourceError when the component cannot be captured."""
        ...

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        """Right before the holds, while nobody waits yet: tells the watchdog how to undo the hold, and takes
        the steps that must come close to it but need not be part of the pause. `release` always follows."""
        return

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        """Blocks the writers before `deadline` (time.monotonic) or raises SourceError. A hold that may have
        succeeded late is undone by `release`, which always follows."""
        ...

    def mark(self, point: str) -> Position:
        """Reads the position, takes the snapshot, copies the small remainder into memory. Everything is held
        now: milliseconds count, and the sink must not be touched."""
        ...

    def release(self) -> None:
        """Lets the writers go. Never raises for a hold that is already gone."""
        ...

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        """Moves logs and remainder up to the mark into the sink. Returns the state to be kept with the point:
        JSON values, no secrets. Raises SourceError when the mark cannot be reached: then there is no
        point."""
        ...

    def committed(self) -> None:
        """The point is in the vault: what the next point goes on from may be kept now (`Driver.cache`)."""
        return

    def close(self) -> None:
        """Frees everything. Idempotent, never raises."""
        ...


class Source(Protocol):
    """One component at one point, for restoring: recovery's view of the vault."""

    @property
    def entries(self) -> Entries: ...

    @property
    def point(self) -> ComponentPoint: ...

    def extract(
        self, into: Path, prefix: bytes = b"", *, select: Callable[[bytes], bool] | None = None
    ) -> None:
        """Writes the entries under `prefix` beneath `into`, with the prefix stripped, attributes and all.
        Never writes outside `into`, whatever the image holds. select filters by full path."""
        ...

    def read(self, path: bytes) -> Iterator[bytes]:
        """The content of one file, in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """What a live component says of itself. filesystem: type and mount point beneath its data."""

    version: str
    directory: str
    size: int
    filesystem: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A running instance that discovery met: a component one could protect. options are service-file keys."""

    kind: str
    options: Mapping[str, Any]
    pid: int
    says: str


@dataclass(frozen=True, slots=True)
class Health:
    """reason: the application's own answer when it is healthy, else what is wrong with it."""

    ok: bool
    reason: str


class Driver(Protocol):
    """One application. Built by `drivers.registry` from a component; cheap, connects to nothing yet."""

    kind: str
    markable: bool
    """Whether it can be the one component that is marked without a hold (PostgreSQL's restore point)."""

    cache: Path | None
    """A private directory of this component on this source, kept between points; None: remember nothing."""

    def __init__(self, component: Component) -> None: ...

    @classmethod
    def find(cls) -> list[Found]:
        """Instances running on this host, by process."""
        ...

    def describe(self) -> Description:
        """Raises SourceError when the application does not answer."""
        ...

    def health(self) -> Health:
        """Asks the application itself. Never raises for one that is down: says so."""
        ...

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> Session:
        """A part in a cut. previous: the component's part in the last point, to go on from; with an empty
        state everything is read anew. must_hold: another component is already the one left unheld."""
        ...

    def directory(self) -> Path:
        """Where the data lives: what recovery in place exchanges."""
        ...

    def restore(self, source: Source, into: Path) -> None:
        """Makes the empty directory `into` the component's data at exactly the mark, ready to start with this
        component's options (ports, sockets, paths). May run a private server inside `into`, never on a
        port."""
        ...

    def install(self, built: Path, aside: str) -> Path | None:
        """Moves `built` to `directory()`; what was there moves beside it, its name ending in `aside`, and is
        returned. The application is stopped. Repeating after a crash converges."""
        ...

    def start(self) -> None:
        """Starts the application on its data and waits until it answers. Nothing to do if it runs."""
        ...

    def stop(self) -> None:
        """Stops it cleanly and waits. Nothing to do if it is down."""
        ...


@runtime_checkable
class TreeDriver(Protocol):
    """A driver that captures a tree of files: capture gives it what the filesystem beneath offers."""

    snapshotter: Snapshotter | None

    def directory(self) -> Path: ...
