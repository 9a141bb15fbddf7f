"""Points decoded from end to end as a recovery would, only that nothing is written.

The timelines are folded, their digests compared with what the point says, the tree checked for being one,
and every chunk of every file read from its pack, opened and compared with its id. That proves more than
looking at packs does: it takes the very path on which the point would come back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...host.names import shown
from ...model.entries import Entries
from ...model.errors import DamageError
from ...tree.validation import lengths, outline
from ..format.timeline_segment import fold
from ..index.index import ChunkIndex
from ..read.reader import Reader
from .log_scan import LogScan
from .report import Report, Scope
from .scrub import Scrub


class _TimeIsUp(Exception):
    pass


class RestoreTest:
    """The points of one verification. suspects: packs (hex digests) in which a point that does not decode has
    its content: to be read whole. failed: point → why it does not decode."""

    def __init__(self, reader: Reader, index: ChunkIndex, report: Report) -> None:
        self._reader, self._index, self._report = reader, index, report
        self.suspects: set[str] = set()
        self.failed: dict[str, str] = {}

    def run(self, scope: Scope, read: LogScan, scrub: Scrub, up: Callable[[], bool]) -> None:
        """Those that are asked for, then those decoded longest ago, until `up` says that time is."""
        others = [point for point in read.points if point not in scope.points]
        chosen = [*scope.points, *scrub.points_due(others, scope.sample)]
        for done, point in enumerate(chosen):
            try:
                for name, part in read.points[point]["components"].items():
                    self._component(point, name, part, up)
            except _TimeIsUp:
                self._report.notes.append(f"There was no time to decode {len(chosen) - done} of the points.")
                return
            if point not in self.failed:
                scrub.decoded(point)

    def _component(self, point: str, name: str, part: Mapping[str, Any], up: Callable[[], bool]) -> None:
        try:
            entries = component_entries(self._reader, part)
        except DamageError as error:
            self.failed.setdefault(point, f"{name}: {error.cause}")
            return
        try:
            decode(self._reader, entries, up)
        except DamageError as error:
            self.failed.setdefault(point, f"{name}: {error.cause}")
            content = entries.content
            rows = self._index.find(content.blob[: content.offsets[-1]])
            frames = self._index.frame[rows[rows >= 0]]
            for number in np.unique(self._index.pack_of(frames)).tolist():
                self.suspects.add(self._index.packs[number])


def component_entries(reader: Reader, part: Mapping[str, Any]) -> Entries:
    """A component's tree at a point, sorted by path. part: its record in the point. Raises DamageError when
    the vault has another."""
    if not part["sequence"]:
        return Entries.none()
    history = list(reader.history(part["timeline"], part["sequence"]))
    digest = history[-1][0].links["heads"][part["timeline"]]["digest"] if history else ""
    if digest != part["digest"]:
        raise DamageError("the vault's history of it is not the one that the point was taken of")
    return fold([segment for _, segment in history])


def decode(reader: Reader, entries: Entries, up: Callable[[], bool]) -> None:
    """Raises DamageError when something of the tree would not come back as it was."""
    needed = np.array(outline(entries, b"", None).files, np.int64)
    whole = lengths(entries)
    rows = needed[whole[needed] > 0]
    given = np.zeros(len(entries), np.int64)
    lock = threading.Lock()

    def take(row: int, _offset: int, data: memoryview) -> None:
        if up():
            raise _TimeIsUp
        with lock:
            given[row] += len(data)

    reader.bulk_restore(entries.content, rows, take)
    short = rows[given[rows] != whole[rows]]
    if len(short):
        row = int(short[0])
        path = shown(entries.path[row])
        raise DamageError(f"{path} has {given[row]} bytes of content and should have {whole[row]}")
