"""A tree captured by pre-copy: read in rounds while its writers work, stopped for the small rest, and let go.

    prepare   watch, walk, read what changed since the last point, then again what changed meanwhile, until
              little is left
    arm       keep a private copy of that little, so that next to nothing is left for the pause
    hold      stop the writers the service file names
    mark      look at what was touched since, and keep a private copy of what is not as it was read
    finish    put those copies; then walk once more: whatever is older than the mark and not as captured was
              missed by the watch, and there is no point

Without writers to stop the same is done, nothing can be promised of files that changed while they were read,
and the point names them.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...host.names import first_few
from ...host.rooted import RootedDirectory
from ...model.errors import SourceError
from ...model.point import Consistency, Position
from ...snapshotters.base import Snapshotter
from ...tree.change_tracker import Changes, ChangeTracker
from ...tree.diff import coarse_clock_ns
from ...tree.walk import Walk
from ..base import Sink, Watchdog
from ..support.freeze import Hold, hold_for
from .remainder import Delta
from .tree import Tree, new_token, paths_of, read_into, refuse_gaps, state_of

ROUNDS = 6
SMALL_BYTES, SMALL_COUNT = 4 << 20, 200
"""What is little enough to leave for the mark."""
LIMIT = 64 << 20
"""Bytes that may be copied while writers are held."""
PER_FILE = 1e-4
"""Seconds that looking at one more file takes, at most."""
_SETTLE = "Name its `writers` in the service file, exclude it, or put the tree on btrfs or XFS."


class HeldSession:
    """writers: as in the service file, None when nobody is to be held."""

    def __init__(
        self, tree: Tree, snapshotter: Snapshotter | None, writers: Mapping[str, Any] | None
    ) -> None:
        self._tree = tree
        self._snapshotter = snapshotter
        self._writers = writers
        self._hold: Hold | None = None
        self._root: RootedDirectory | None = None
        self._follow: ChangeTracker | None = None
        self._rest: Delta | None = None
        self._began_ns = self._marked_ns = 0
        self._gone: list[bytes] = []
        self._restless: set[bytes] = set()
        self._rate = float(LIMIT)
        self._waiting = 0.0
        self._same = False
        self._final: Walk | None = None
        self._token = new_token()

    @property
    def consistency(self) -> Consistency:
        return Consistency.CRASH if self._writers else Consistency.ORDERED

    @property
    def holds(self) -> bool:
        return bool(self._writers)

    def prepare(self, sink: Sink) -> None:
        self._hold = hold_for(self._writers) if self._writers else None
        root = self._root = self._tree.open(self._tree.path)
        rest = self._rest = Delta(root, self._snapshotter, LIMIT, torn=not self._writers)
        self._began_ns = coarse_clock_ns()
        follow = self._follow = ChangeTracker(
            root,
            self._tree.patterns,
            one_filesystem=self._tree.one_filesystem,
            began_ns=self._began_ns,
        )
        first = follow.start()
        refuse_gaps(first.unreadable)
        rows, vanished = self._tree.changed(first, sink)
        self._same = not len(rows) and not vanished
        sink.drop(vanished)
        self._read(sink, follow, first.take(rows))
        changes = Changes(root.device, {}, [], [])
        for _ in range(ROUNDS):
            changes = follow.changes()
            refuse_gaps(changes.unreadable)
            if changes.size <= SMALL_BYTES and len(changes) <= SMALL_COUNT:
                break
            self._drop(sink, follow, changes)
            self._read(sink, follow, changes.rows(), changes)
        cost = rest.cost(changes)
        if self._hold and cost > LIMIT:
            raise _unsettled(changes)
        self._waiting = cost / self._rate + len(changes) * PER_FILE

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        if self._hold:
            self._hold.arm(watchdog)
            self._catch_up()

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        if not self._hold:
            return
        allowed = (deadline - time.monotonic()) / 2
        if self._waiting > allowed:
            raise SourceError(
                f"the rest would take {self._waiting:.1f} s to copy, half of the pause is {allowed:.1f} s",
                doing="hold the writers",
                hint=_SETTLE,
            )
        self._hold.stop(watchdog, deadline)

    def mark(self, point: str) -> Position:
        follow, rest = self._prepared()
        mapped = _mapped_for_writing(self._hold.pids(), self._tree.path) if self._hold else []
        follow.suspect(path for path in mapped if follow.known.find(path))
        changes = follow.changes(also=follow.known.linked())
        refuse_gaps(changes.unreadable)
        if self._hold and rest.cost(changes) > LIMIT:
            raise _unsettled(changes)
        for path in changes.vanished:
            self._lose(path)
        for path in sorted(changes.found):
            self._keep(path)
        self._marked_ns = coarse_clock_ns()
        return Position(f"{follow.known.count} entries, {follow.known.size} bytes")

    def release(self) -> None:
        if self._hold:
            self._hold.resume()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        follow, rest = self._prepared()
        follow.end()
        sink.drop(self._gone)
        rest.put(sink)
        self._final = follow.known.merged()
        if self._same and self._final is follow.known.base:
            self._token = self._tree.remembered or self._token
        if self._hold:
            missed = follow.missed(self._marked_ns)
            if missed:
                raise SourceError(
                    f"changed unseen before the mark: {first_few(missed)}",
                    doing="confirm the tree",
                    hint="Someone else writes there: name all its `writers` in the service file.",
                )
        else:
            self._tell(sink, rest.restless)
        return state_of(self._token, follow.known.count, follow.known.size)

    def committed(self) -> None:
        assert self._final, "finished before it is committed"
        self._tree.remember(self._token, self._final, self._began_ns)

    def close(self) -> None:
        self.release()
        for part in (self._follow, self._rest, self._root):
            if part:
                part.close()

    def _catch_up(self) -> None:
        """Looking at a file and copying it takes 50 µs, and up to hundreds are left: milliseconds of a pause.

        A file with several names is left to the mark: it can be written through a name that nobody watches,
        and twice within one tick of its clock.
        """
        follow, rest = self._prepared()
        changes = follow.changes()
        if rest.cost(changes) > LIMIT:
            return  # if it is still as much at the mark, there is no point
        for path in changes.vanished:
            self._lose(path)
        for path, found in sorted(changes.found.items()):
            if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode):
                self._keep(path)

    def _keep(self, path: bytes) -> None:
        follow, rest = self._prepared()
        found = rest.take(path)
        if found is None:
            self._lose(path)
        else:
            follow.captured(path, found)

    def _lose(self, path: bytes) -> None:
        follow, rest = self._prepared()
        gone = follow.gone(path)
        rest.forget(gone)
        self._gone += gone

    def _prepared(self) -> tuple[ChangeTracker, Delta]:
        assert self._follow and self._rest, "prepared before anything else"
        return self._follow, self._rest

    def _read(self, sink: Sink, follow: ChangeTracker, rows: Walk, changes: Changes | None = None) -> None:
        """Reads rows and tells what was not stable. changes: how the rows looked, if not in the first
        walk."""
        begun = time.monotonic()
        reading = read_into(sink, follow.root, rows)
        total = int(rows.entries.size.sum())
        if total > SMALL_BYTES:
            self._rate = max(1.0, total / (time.monotonic() - begun))
        if changes:
            for path, found in changes.found.items():
                follow.captured(path, found)
        unsettled = paths_of(reading.unsettled, reading.entries.path)
        follow.suspect(unsettled)
        for path in paths_of(reading.vanished, reading.entries.path):
            self._restless.add(path)
            sink.drop(follow.gone(path))

    @staticmethod
    def _drop(sink: Sink, follow: ChangeTracker, changes: Changes) -> None:
        for path in changes.vanished:
            sink.drop(follow.gone(path))

    def _tell(self, sink: Sink, torn: list[bytes]) -> None:
        sink.note("the tree was neither held nor snapshotted: its files are not of one instant")
        restless = sorted(self._restless.union(torn))
        if restless:
            sink.note(f"changed or vanished while being read: {first_few(restless)}")


def _unsettled(changes: Changes) -> SourceError:
    largest = sorted(changes.found, key=lambda path: -changes.found[path].st_size)
    return SourceError(
        f"{first_few(largest)} never settle: {changes.size >> 20} MiB change faster than they can be read",
        doing="follow the tree",
        hint="Exclude what need not be protected, or put the tree on btrfs or XFS.",
    )


def _mapped_for_writing(pids: list[int], tree: Path) -> list[bytes]:
    """Files of the tree that these processes write through memory, which no event and no time tells."""
    root = str(tree.resolve()).encode(errors="surrogateescape") + b"/"
    found = set()
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/maps").read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[1].startswith(b"rw-s") and fields[5].startswith(root):
                found.add(fields[5].removeprefix(root))
    return sorted(found)
