"""The contract between Undivided and an application: what a driver is, and what each call promises.

A driver knows one application and nothing about vaults. For capture it opens a `Session`, which takes part
in one consistent cut. For recovery it turns a tree of files and its own recorded state back into a data
directory that starts at exactly the mark.

    capture:   prepare ──▶ arm ──▶ hold ──▶ mark ──▶ release ──▶ finish ──▶ close
               slow,       last    writers  position at once     moves      always
               image       steps   blocked  read                 the logs

A component's state in the vault is a tree of entries (model/entries.py). A driver chooses its own layout. By
custom the image lies under `data/`, a log that grows between points under `log/`, and configuration from
outside the data directory under `config/`. Logs grow by `Sink.append`, so a point moves only the new bytes.

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
    """Takes the data that a driver captures. Thread-safe between drivers, not within one session.

    `entries` is the component's tree at the previous point plus everything put since then; empty at first.
    """

    @property
    def entries(self) -> Entries: ...

    def put(self, entry: Entry, data: Iterable[Buffer] = (), layout: Layout = Layout.BLOCKS) -> int:
        """Stores a whole new version of `entry.path` (of any kind). The stored size is the length of `data`;
        `entry.size` is ignored for files without extents. Returns the bytes read."""
        ...

    def append(self, path: bytes, offset: int, data: Iterable[Buffer]) -> int:
        """Continues the file at `offset`, which must be its size (0 creates it). Returns the bytes added.
        Raises SourceError for any other offset: a log never gets a gap."""
        ...

    def put_many(self, entries: Entries, pieces: Iterable[Piece], layout: Layout) -> None:
        """Stores new versions of many paths. pieces: the data by row of `entries`; a row without pieces has
        no data. When this returns, every batch has been read."""
        ...

    def drop(self, paths: Sequence[bytes]) -> None:
        """Records that these paths no longer exist. Unknown paths are ignored."""
        ...

    def replace(self, prefix: bytes) -> None:
        """Starts a new image: paths under `prefix` that are not put again for this point are dropped."""
        ...

    def note(self, text: str) -> None:
        """Adds a note for the operator to the point's record, for example why a new image was taken."""
        ...

    def progress(self, done: int, total: int | None = None) -> None:
        """Reports the bytes of slow work done so far, for the progress bar."""
        ...


class Watchdog(Protocol):
    """The watchdog process as a driver sees it: it undoes a hold when this process dies or hangs.

    A driver registers each undo step before its hold begins. A hold that ends with our connection or file
    descriptor needs no step. Each call returns once the watchdog has opened what it needs, so that undoing
    later needs no exec, no open and no log.
    """

    def resume(self, pids: Sequence[int]) -> None:
        """SIGCONT these processes."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write data to a file that is opened now (a cgroup.freeze)."""
        ...

    def thaw(self, path: str) -> None:
        """FITHAW the filesystem of a directory that is opened now."""
        ...

    def postgresql(self, dsn: str, statements: Sequence[str]) -> None:
        """Run statements on a connection that is opened now."""
        ...


class Session(Protocol):
    """One component in one cut. Methods are called in the order of the module's picture, each at most once.
    `release` and `close` are idempotent and are called after any failure."""

    @property
    def consistency(self) -> Consistency:
        """The consistency that this component has in the point. Known after `prepare`."""
        ...

    @property
    def holds(self) -> bool:
        """Whether `hold` blocks every writer. False: the component is only marked, or not held at all."""
        ...

    def prepare(self, sink: Sink) -> None:
        """Does all slow work: connections, checkpoint, and the image when the previous point cannot be
        continued. Raises SourceError when the component cannot be captured."""
        ...

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        """Called right before the holds, while no writer waits yet. Registers the undo steps with the
        watchdog, and takes the steps that must come close to the hold but need not be part of the pause.
        `release` always follows."""
        return

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        """Blocks the writers before `deadline` (time.monotonic), or raises SourceError. `release` always
        follows, and undoes also a hold that succeeded too late."""
        ...

    def mark(self, point: str) -> Position:
        """Reads the position, takes the snapshot, copies the small delta into memory. All components are held
        now, so milliseconds count. The sink must not be used."""
        ...

    def release(self) -> None:
        """Lets the writers continue. Never raises for a hold that has ended already."""
        ...

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        """Moves the log and the delta up to the mark into the sink. Returns the state to be kept with the
        point: JSON values, no secrets. Raises SourceError when the mark cannot be reached: then no point is
        made."""
        ...

    def committed(self) -> None:
        """The point is in the vault. Data that lets the next point continue from it may be kept now
        (`Driver.cache`)."""
        return

    def close(self) -> None:
        """Frees everything. Idempotent, never raises."""
        ...


class Source(Protocol):
    """One component at one point, as recovery reads it from the vault."""

    @property
    def entries(self) -> Entries: ...

    @property
    def point(self) -> ComponentPoint: ...

    def extract(
        self, into: Path, prefix: bytes = b"", *, select: Callable[[bytes], bool] | None = None
    ) -> None:
        """Writes the entries under `prefix` with all their attributes beneath `into`, the prefix stripped.
        Never writes outside `into`, whatever the image holds. select filters by full path."""
        ...

    def read(self, path: bytes) -> Iterator[bytes]:
        """The content of one file, in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """A live component as it describes itself. size: bytes. filesystem: type and mount point of its data."""

    version: str
    directory: str
    size: int
    filesystem: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A running instance that could be protected as a component. options: service-file keys. summary: one
    line for people."""

    kind: str
    options: Mapping[str, Any]
    pid: int
    summary: str


@dataclass(frozen=True, slots=True)
class Health:
    """reason: the application's own answer when it is healthy, else the cause of the failure."""

    ok: bool
    reason: str


class Driver(Protocol):
    """One application. `drivers.registry` builds it from a component; building it is cheap and connects to
    nothing."""

    kind: str
    markable: bool
    """Whether it can be the one component of a service that is marked without a hold (PostgreSQL's restore
    point)."""

    cache: Path | None
    """A private directory of this component on this source, kept between points. None: nothing is kept."""

    def __init__(self, component: Component) -> None: ...

    @classmethod
    def find(cls) -> list[Found]:
        """The instances that run on this host, found by process."""
        ...

    def describe(self) -> Description:
        """Raises SourceError when the application does not answer."""
        ...

    def health(self) -> Health:
        """Asks the application itself. Never raises for one that is down: `ok` is False then."""
        ...

    def session(self, previous: ComponentPoint | None, *, must_hold: bool) -> Session:
        """The component's session for one cut. previous: the component in the last point, to continue from;
        when its state is empty, everything is read again. must_hold: another component is already the one
        that is not held."""
        ...

    def directory(self) -> Path:
        """The directory of the data, which recovery in place exchanges."""
        ...

    def restore(self, source: Source, into: Path) -> None:
        """Makes the empty directory `into` the component's data at exactly the mark, ready to start with this
        component's options (ports, sockets, paths). May run a private server inside `into`, never on a
        port. Raises DamageError for an image that is not whole."""
        ...

    def install(self, built: Path, aside: str) -> Path | None:
        """Moves `built` to `directory()`. The old data stays next to it under a name that ends in `aside`;
        returns its path. The application is stopped. Repeating after a crash finishes the exchange."""
        ...

    def start(self) -> None:
        """Starts the application on its data and waits until it answers. Does nothing if it runs."""
        ...

    def stop(self) -> None:
        """Stops the application cleanly and waits for its end. Does nothing if it is down."""
        ...


@runtime_checkable
class TreeDriver(Protocol):
    """A driver that captures a tree of files: capture gives it the snapshotter of the tree's filesystem."""

    snapshotter: Snapshotter | None

    def directory(self) -> Path: ...
