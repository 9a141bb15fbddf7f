"""A tree captured by pre-copy: read in rounds while its writers work; they are frozen for a small delta only.

    prepare   watch, walk, read all changes since the last point, then in rounds the changes made meanwhile,
              until few are left
    arm       copy those few, so that next to nothing is left for the pause
    hold      freeze the writers that the service file names
    mark      look at all files touched since, and copy those that differ from what was read
    finish    put the copies into the sink; then walk once more: a change older than the mark that was not
              captured is a change the watch missed, and no point is made

Without writers to freeze the steps are the same, but nothing is promised about files that changed while they
were read, and the point names them.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ...host.names import first_few
from ...host.rooted import RootedDirectory
from ...model.errors import SourceError
from ...model.point import Consistency, Position
from ...snapshotters.base import Snapshotter
from ...tree.change_tracker import Changes, ChangeTracker
from ...tree.walk import Walk
from ...tree.walk_difference import coarse_clock_ns
from ..base import Sink, Watchdog
from ..support.freeze import Freezer, freezer_for
from .delta import Delta
from .tree import Tree, new_token, paths_of, read_into, refuse_gaps, state_of

ROUNDS = 6
SMALL_BYTES, SMALL_COUNT = 4 << 20, 200
"""Changes few enough to be left for the mark."""
LIMIT = 64 << 20
"""Bytes that may be copied while writers are frozen."""
PER_FILE = 1e-4
"""Seconds at most that looking at one more file takes."""
_SETTLE = "Name its `writers` in the service file, exclude it, or put the tree on btrfs or XFS."


class HeldSession:
    """writers: as in the service file; None when there are none to freeze."""

    def __init__(
        self, tree: Tree, snapshotter: Snapshotter | None, writers: Mapping[str, Any] | None
    ) -> None:
        self._tree = tree
        self._snapshotter = snapshotter
        self._writers = writers
        self._freezer: Freezer | None = None
        self._root: RootedDirectory | None = None
        self._follow: ChangeTracker | None = None
        self._delta: Delta | None = None
        self._began_ns = self._marked_ns = 0
        self._vanished: list[bytes] = []
        self._unstable: set[bytes] = set()
        self._rate = float(LIMIT)
        self._copy_seconds = 0.0
        self._unchanged = False
        self._final: Walk | None = None
        self._token = new_token()

    @property
    def consistency(self) -> Consistency:
        return Consistency.CRASH if self._writers else Consistency.ORDERED

    @property
    def holds(self) -> bool:
        return bool(self._writers)

    def prepare(self, sink: Sink) -> None:
        self._freezer = freezer_for(self._writers) if self._writers else None
        root = self._root = self._tree.open(self._tree.path)
        delta = self._delta = Delta(root, self._snapshotter, LIMIT, frozen=bool(self._writers))
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
        self._unchanged = not len(rows) and not vanished
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
        cost = delta.cost(changes)
        if self._freezer and cost > LIMIT:
            raise _unsettled(changes)
        self._copy_seconds = cost / self._rate + len(changes) * PER_FILE

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        if self._freezer:
            self._freezer.arm(watchdog)
            self._catch_up()

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        if not self._freezer:
            return
        allowed = (deadline - time.monotonic()) / 2
        if self._copy_seconds > allowed:
            raise SourceError(
                f"too much is still changing: copying it would take {self._copy_seconds:.1f} s, and only "
                f"{allowed:.1f} s of the pause is left for that",
                doing="freeze the writers",
                hint=_SETTLE,
            )
        self._freezer.stop(watchdog, deadline)

    def mark(self, point: str) -> Position:
        follow, delta = self._prepared()
        mapped = _mapped_for_writing(self._freezer.pids(), self._tree.path) if self._freezer else []
        follow.suspect(path for path in mapped if follow.known.find(path))
        changes = follow.changes(also=follow.known.linked())
        refuse_gaps(changes.unreadable)
        if self._freezer and delta.cost(changes) > LIMIT:
            raise _unsettled(changes)
        self._forget(changes.vanished)
        for path in sorted(changes.found):
            self._copy(path)
        self._marked_ns = coarse_clock_ns()
        return Position(f"{follow.known.count} entries, {follow.known.size} bytes")

    def release(self) -> None:
        if self._freezer:
            self._freezer.resume()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        follow, delta = self._prepared()
        follow.end()
        sink.drop(self._vanished)
        delta.put(sink)
        self._final = follow.known.merged()
        if self._unchanged and self._final is follow.known.base:
            self._token = self._tree.remembered or self._token
        if self._freezer:
            missed = follow.missed(self._marked_ns)
            if missed:
                raise SourceError(
                    f"changed before the mark by a process that was not frozen: {first_few(missed)}",
                    doing="check the tree",
                    hint="Name all `writers` of the tree in the service file.",
                )
        else:
            self._note_unstable(sink, delta.unstable)
        return state_of(self._token, follow.known.count, follow.known.size)

    def committed(self) -> None:
        assert self._final, "finished before it is committed"
        self._tree.remember(self._token, self._final, self._began_ns)

    def close(self) -> None:
        self.release()
        for part in (self._follow, self._delta, self._root):
            if part:
                part.close()

    def _catch_up(self) -> None:
        """Copies the last changes before the pause: a file takes 50 µs, and hundreds of files would take
        milliseconds of the pause.

        A file with several names is left to the mark: it can be written through a name that is not watched,
        and twice within one tick of its clock.
        """
        follow, delta = self._prepared()
        changes = follow.changes()
        if delta.cost(changes) > LIMIT:
            return  # `mark` refuses if it is still too much then
        self._forget(changes.vanished)
        for path, found in sorted(changes.found.items()):
            if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode):
                self._copy(path)

    def _copy(self, path: bytes) -> None:
        follow, delta = self._prepared()
        found = delta.take(path)
        if found is None:
            self._forget([path])
        else:
            follow.captured(path, found)

    def _forget(self, paths: Collection[bytes]) -> None:
        follow, delta = self._prepared()
        gone = follow.gone(paths)
        delta.forget(gone)
        self._vanished += gone

    def _prepared(self) -> tuple[ChangeTracker, Delta]:
        assert self._follow and self._delta, "prepared before anything else"
        return self._follow, self._delta

    def _read(self, sink: Sink, follow: ChangeTracker, rows: Walk, changes: Changes | None = None) -> None:
        """Reads rows, and marks those that changed meanwhile to be read again. changes: the rows as they were
        found, unless they come from the first walk."""
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
        vanished = paths_of(reading.vanished, reading.entries.path)
        self._unstable.update(vanished)
        sink.drop(follow.gone(vanished))

    @staticmethod
    def _drop(sink: Sink, follow: ChangeTracker, changes: Changes) -> None:
        sink.drop(follow.gone(changes.vanished))

    def _note_unstable(self, sink: Sink, copied: list[bytes]) -> None:
        sink.note("the writers were not frozen and there was no snapshot: the files are not of one instant")
        unstable = sorted(self._unstable.union(copied))
        if unstable:
            sink.note(f"changed or vanished while being read: {first_few(unstable)}")


def _unsettled(changes: Changes) -> SourceError:
    largest = sorted(changes.found, key=lambda path: -changes.found[path].st_size)
    return SourceError(
        f"{first_few(largest)} never settle: {changes.size >> 20} MiB change faster than they can be read",
        doing="follow the tree",
        hint="Exclude files that need no protection, or put the tree on btrfs or XFS.",
    )


def _mapped_for_writing(pids: list[int], tree: Path) -> list[bytes]:
    """Files of the tree that these processes have mapped for writing: such writes cause no event and may not
    change the file's times."""
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
