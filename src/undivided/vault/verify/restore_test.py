"""Restore test: points decoded from end to end as a recovery would, except that nothing is written.

The timelines are folded, their digests compared with the point's, the tree checked for being one, and every
chunk of every file read from its pack, opened and compared with its id. That proves more than reading packs
does: it takes the very path by which the point would be recovered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...host.names import shown
from ...model.entries import Entries
from ...model.errors import DamageError
from ...tree.validation import lengths, outline
from ..index.index import ChunkIndex
from ..read.reader import Reader
from .log_scan import LogScan
from .report import Report
from .scrub import Scrub


class _TimeIsUp(Exception):
    pass


class RestoreTest:
    """The points of one verification. suspects: packs (hex digests) with content of a point that does not
    decode; they are to be read completely. failed: point → why it does not decode."""

    def __init__(self, reader: Reader, index: ChunkIndex, report: Report) -> None:
        self._reader, self._index, self._report = reader, index, report
        self.suspects: set[str] = set()
        self.failed: dict[str, str] = {}

    def run(self, points: Sequence[str], scan: LogScan, scrub: Scrub, time_is_up: Callable[[], bool]) -> None:
        """Decodes the points in this order until the time is up."""
        for done, point in enumerate(points):
            try:
                self._point(point, scan, time_is_up)
            except _TimeIsUp:
                left = len(points) - done
                self._report.notes.append(
                    f"The time was up before {left} of {len(points)} points were decoded."
                )
                return
            if point not in self.failed:
                scrub.decoded(point)

    def _point(self, point: str, scan: LogScan, time_is_up: Callable[[], bool]) -> None:
        record = scan.points.get(point)
        if record is None:
            self.failed[point] = "no entry of the log has this point"
            return
        for name, part in record["components"].items():
            self._component(point, name, part, time_is_up)

    def _component(self, point: str, name: str, part: Mapping[str, Any], up: Callable[[], bool]) -> None:
        try:
            entries = self._reader.component(part["timeline"], part["sequence"], part["digest"])
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


def decode(reader: Reader, entries: Entries, up: Callable[[], bool]) -> None:
    """Raises DamageError when a part of the tree would not be recovered as it was stored."""
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
