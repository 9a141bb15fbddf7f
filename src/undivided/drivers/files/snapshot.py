"""A tree captured by a snapshot of its filesystem: taken in the mark, read after the release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...host.names import ROOT, first_few
from ...model.entries import Kind
from ...model.errors import SourceError
from ...model.point import Consistency, Position
from ...snapshotters.base import Snapshot, Snapshotter
from ...tree.walk import Walk, walk
from ...tree.walk_difference import coarse_clock_ns
from ..base import Sink, Watchdog
from ..support.freeze import Freezer, freezer_for
from .tree import Tree, flush, new_token, paths_of, read_into, refuse_gaps, state_of

_NESTED_SUBVOLUME = 2
"""The inode of the empty directory that a snapshot has in place of another subvolume."""


class SnapshotSession:
    """Atomic by itself. With frozen writers it is also at one instant with the other components."""

    consistency = Consistency.CRASH

    def __init__(self, tree: Tree, snapshotter: Snapshotter, writers: Mapping[str, Any] | None) -> None:
        self._tree = tree
        self._snapshotter = snapshotter
        self._writers = writers
        self._freezer: Freezer | None = None
        self._snapshot: Snapshot | None = None
        self._began_ns = 0
        self._walk: Walk | None = None
        self._token = new_token()

    @property
    def holds(self) -> bool:
        return bool(self._writers)

    def prepare(self, sink: Sink) -> None:
        self._freezer = freezer_for(self._writers) if self._writers else None
        with self._tree.open(self._tree.path) as root:
            flush(root)  # so that the snapshot has little left to flush while the writers wait

    def arm(self, watchdog: Watchdog, deadline: float) -> None:
        if self._freezer:
            self._freezer.arm(watchdog)

    def hold(self, watchdog: Watchdog, deadline: float) -> None:
        if self._freezer:
            self._freezer.stop(watchdog, deadline)

    def mark(self, point: str) -> Position:
        self._began_ns = coarse_clock_ns()
        self._snapshot = self._snapshotter.snapshot(self._tree.path)
        return Position(f"{self._snapshotter.name} snapshot {self._snapshot.id}")

    def release(self) -> None:
        if self._freezer:
            self._freezer.resume()

    def finish(self, sink: Sink) -> Mapping[str, Any]:
        assert self._snapshot, "marked before it is finished"
        with self._tree.open(self._snapshot.path) as root:
            now = walk(root, patterns=self._tree.patterns, one_filesystem=self._tree.one_filesystem)
            refuse_gaps(now.unreadable)
            _refuse_nested(now)
            rows, vanished = self._tree.changed(now, sink)
            if not len(rows) and not vanished:
                self._token = self._tree.remembered or self._token
            sink.drop(vanished)
            reading = read_into(sink, root, now.take(rows))
        unstable = reading.unsettled + reading.vanished
        if unstable:
            raise SourceError(
                f"changed in a read-only snapshot: {first_few(paths_of(unstable, reading.entries.path))}",
                doing="read the snapshot",
                hint="Protect again. If it happens again, look at the kernel log: the disk may be failing.",
            )
        if not self._writers:
            sink.note(
                "the snapshot was taken while its writers ran: writes without fsync during it may be missing "
                "in part, as after a power cut"
            )
        self._walk = now
        self._drop()
        return state_of(self._token, len(now), int(now.entries.size.sum()))

    def committed(self) -> None:
        assert self._walk, "finished before it is committed"
        self._tree.remember(self._token, self._walk, self._began_ns)

    def close(self) -> None:
        self.release()
        self._drop()

    def _drop(self) -> None:
        if self._snapshot:
            self._snapshot.drop()
            self._snapshot = None


def _refuse_nested(now: Walk) -> None:
    nested = (now.entries.kind == Kind.DIRECTORY) & (now.ino == _NESTED_SUBVOLUME)
    paths = [p for p in paths_of(np.flatnonzero(nested).tolist(), now.entries.path) if p != ROOT]
    if paths:
        raise SourceError(
            f"subvolumes inside the tree are not part of its snapshot: {first_few(paths)}",
            doing="take a snapshot of the tree",
            hint="Exclude them, and make each a component of its own.",
        )
