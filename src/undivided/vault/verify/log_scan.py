"""Log scan: the log as far as it can be read. Verification and repair begin here.

Other commands refuse a log that is not whole. To find all of its damage, one must continue reading behind a
broken place. So the scan reads every existing entry on its own, one after another, and keeps of each only
what verification needs later: which segments make up a timeline, and which points see it.

    junk        entries behind the last one that opens: not committed, or damaged
    unreadable  entries before it that are missing, do not open or do not follow the one before
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...host.parallel import in_order
from ...model.errors import DamageError, UndividedError
from ...model.log_kinds import LogKind
from ..crypto.keys import WriterKeys
from ..format import index_segment as indexes
from ..format import pack as packs
from ..format.log_entry import Head, LogEntry, decode_entry, name_of
from ..stores.base import Store, StoreError, requests

_FOLDER = "log/"


class ScanStep(NamedTuple):
    """One segment of a timeline. number: the entry that added it; previous: the entry whose state it
    continues, 0 for none; digest: of the timeline after it; compacted: a prune vouches for the segment by its
    name, and the digest is not chained over it."""

    number: int
    segment: str
    digest: str
    previous: int
    compacted: bool = False


class PointMark(NamedTuple):
    """A point that sees a timeline. number: its entry; sequence: the step that it sees last."""

    number: int
    sequence: int
    point: str
    component: str


@dataclass
class History:
    """One timeline, in order of the log."""

    steps: list[ScanStep] = field(default_factory=list)
    marks: list[PointMark] = field(default_factory=list)


@dataclass
class LogScan:
    """head: the last entry that opens. junk: (object, cause) behind it; unreadable: the same before it.
    points: id → its record, in order of the log. indexed: entry → the index segments that it added;
    pending_deletion: objects that a prune marked for deletion. objects: how many entries there are."""

    head: Head = field(default_factory=Head)
    junk: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    histories: dict[str, History] = field(default_factory=dict)
    points: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    indexed: dict[int, list[str]] = field(default_factory=dict)
    pending_deletion: set[str] = field(default_factory=set)
    objects: int = 0

    @property
    def hidden(self) -> frozenset[str]:
        """The names of the junk."""
        return frozenset(name for name, _ in self.junk)


def scan_log(store: Store, keys: WriterKeys) -> LogScan:
    """Reads the whole log. Raises StoreError when the store cannot even list it."""
    found = LogScan()
    numbers = list(_numbers(store, found))
    found.objects = len(numbers)
    while numbers:
        try:
            last = _read(store, keys, numbers[-1])
        except (DamageError, StoreError) as error:
            found.junk.append((name_of(numbers.pop()), error.cause))
        else:
            found.head = Head(last.number, last.digest)
            break
    _read_all(store, keys, found)
    return found


def _numbers(store: Store, found: LogScan) -> Iterator[int]:
    """The numbers of all entries that are there, ascending."""
    for name, _ in store.list(_FOLDER):
        text = name.removeprefix(_FOLDER)
        if text.isdigit() and name_of(int(text)) == name and int(text):
            yield int(text)
        else:
            found.junk.append((name, "its name is no log entry's"))


def _read(store: Store, keys: WriterKeys, number: int) -> LogEntry:
    return decode_entry(keys, number, store.read(name_of(number)))


def _read_all(store: Store, keys: WriterKeys, found: LogScan) -> None:
    previous: str | None = ""
    numbers = range(1, found.head.number + 1)

    def read(number: int) -> LogEntry | UndividedError:
        try:
            return _read(store, keys, number)
        except (DamageError, StoreError) as error:
            return error

    for number, entry in zip(numbers, in_order(read, numbers, threads=requests(store)), strict=True):
        if isinstance(entry, UndividedError):
            found.unreadable.append((name_of(number), entry.cause))
            previous = None
            continue
        if previous is not None and entry.previous != previous:
            found.unreadable.append((name_of(number), "it does not follow the entry before it"))
        previous = entry.digest
        _take(found, entry)


def _take(found: LogScan, entry: LogEntry) -> None:
    if entry.links.get("index"):
        found.indexed[entry.number] = list(entry.links["index"])
    if entry.kind == LogKind.PRUNE:
        _forget(found, entry)
        return
    for timeline, head in entry.links.get("heads", {}).items():
        if head["sequence"] == entry.number:
            step = ScanStep(entry.number, head["segment"], head["digest"], head["previous"])
            found.histories.setdefault(timeline, History()).steps.append(step)
    point = entry.body.get("point")
    if isinstance(point, dict):
        found.points[str(point.get("id"))] = point
        for name, part in point.get("components", {}).items():
            timeline = str(part.get("timeline"))
            head = entry.links.get("heads", {}).get(timeline)
            if head is not None:
                mark = PointMark(entry.number, int(head["sequence"]), str(point.get("id")), str(name))
                found.histories.setdefault(timeline, History()).marks.append(mark)


def _forget(found: LogScan, entry: LogEntry) -> None:
    """After a prune, expired points lose nothing, and compacted steps replace the earlier ones."""
    pending_deletion = entry.body["pending_deletion"]
    found.pending_deletion.update(map(packs.name_of, pending_deletion["packs"]))
    found.pending_deletion.update(map(indexes.name_of, pending_deletion["index"]))
    expired = set(entry.body["expired_points"])
    for point in expired:
        found.points.pop(point, None)
    for timeline in entry.body["dropped_timelines"]:
        found.histories.pop(timeline, None)
    for history in found.histories.values():
        history.marks = [mark for mark in history.marks if mark.point not in expired]
    for timeline, steps in entry.body["timelines"].items():
        history = found.histories.setdefault(timeline, History())
        digests = {step.number: step.digest for step in history.steps}
        before, history.steps = 0, []
        for sequence, name in steps:
            history.steps.append(ScanStep(sequence, name, digests.get(sequence, ""), before, compacted=True))
            before = sequence
