"""Following the links between log entries: to a timeline's history, and to everything that the index knows.

The links are described in slot.py. A walk along them reads the entries that it needs and no others.

A prune entry names every timeline there is, and compacts them: from then on a timeline's history up to there
is the steps that the newest such entry lists (its `base`), whatever the links of older entries say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ...model.errors import DamageError
from ...model.log_kinds import LogKind
from ..format.log_entry import LogEntry
from ..format.timeline_segment import chained_digest
from .errors import ExpiredError
from .log import Log


@dataclass(frozen=True)
class TimelineHead:
    """A timeline as of some commit. sequence: the entry that last changed it, 0 when none did; segment: added
    by that entry; previous: the entry that changed it before; base: the newest prune that compacted it, 0
    when none did."""

    sequence: int = 0
    digest: str = ""
    segment: str = ""
    previous: int = 0
    base: int = 0

    @property
    def compacted(self) -> bool:
        """Whether a prune's entry vouches for `segment` by its name. The digest is not chained over it
        then."""
        return self.base > self.sequence

    def next(self, timeline: str, sequence: int, segment: str, block: bytes | memoryview) -> TimelineHead:
        """After one more segment."""
        return TimelineHead(
            sequence, chained_digest(timeline, self.digest, block), segment, self.sequence, self.base
        )

    def record(self) -> dict[str, int | str]:
        return asdict(self)


def latest_head(log: Log, timeline: str, at: int | None = None) -> TimelineHead | None:
    """The timeline as of entry `at` (the end of the log by default), from the newest entry at or before it
    that names the timeline. None when the timeline did not exist yet, or a prune dropped it."""
    for number in range(log.head.number if at is None else at, 0, -1):
        entry = log.entry(number)
        record = entry.links.get("heads", {}).get(timeline)
        if record is not None:
            return TimelineHead(**record)
        if entry.kind == LogKind.PRUNE:
            return None
    return None


def history_of(log: Log, timeline: str, at: int | None = None) -> list[tuple[LogEntry, TimelineHead]]:
    """The entries that changed a timeline up to `at`, oldest first, as far as they are kept: each with the
    head whose segment leads from the state before to it. Raises DamageError for a broken link, ExpiredError
    when the state at `at` was expired."""
    requested = latest_head(log, timeline, at)
    if requested is None or not requested.sequence:
        return []
    pruned = next(prune_entries(log), None)
    base = pruned.number if pruned and timeline in pruned.links["heads"] else 0
    if pruned and not base and requested.sequence <= pruned.number:
        raise ExpiredError(timeline, requested.sequence)
    found: list[tuple[LogEntry, TimelineHead]] = []
    head = requested
    while head.sequence > base:
        entry = log.entry(head.sequence)
        own = TimelineHead(**entry.links.get("heads", {}).get(timeline, {}))
        if own.sequence != entry.number or own.digest != head.digest or own.previous >= entry.number:
            raise _broken(entry.number, timeline)
        found.append((entry, own))
        if not own.previous:
            break
        before = log.entry(own.previous).links.get("heads", {}).get(timeline)
        if before is None:
            raise DamageError(f"log entry {own.previous} does not name timeline {timeline}")
        head = TimelineHead(**before)
    if base and head.sequence <= base:
        found += _steps(log, timeline, base, head.sequence)[::-1]
    return found[::-1]


def _steps(log: Log, timeline: str, base: int, until: int) -> list[tuple[LogEntry, TimelineHead]]:
    """The compacted steps up to the kept sequence `until`, oldest first."""
    steps = log.entry(base).body.get("timelines", {}).get(timeline)
    if steps is None:
        raise _broken(base, timeline)
    found: list[tuple[LogEntry, TimelineHead]] = []
    for sequence, segment in steps:
        if sequence > until:
            break
        entry = log.entry(sequence)
        own = TimelineHead(**entry.links.get("heads", {}).get(timeline, {}))
        if own.sequence != sequence:
            raise _broken(sequence, timeline)
        previous = found[-1][0].number if found else 0
        found.append((entry, replace(own, segment=segment, previous=previous, base=base)))
    if not found or found[-1][0].number != until:
        raise ExpiredError(timeline, until)
    return found


def _broken(number: int, timeline: str) -> DamageError:
    return DamageError(
        f"log entry {number} does not continue the history of timeline {timeline}",
        hint="The log was tampered with. Compare with a copy before trusting it.",
    )


def prune_entries(log: Log, after: int = 0) -> Iterator[LogEntry]:
    """The prune entries after entry `after`, newest first."""
    last = log.last
    number = int(last.links["pruned"]) if last else 0
    while number > after:
        entry = log.entry(number)
        yield entry
        number = int(entry.body["previous_prune"])


def index_entries(log: Log, after: int = 0) -> Iterator[LogEntry]:
    """The entries after entry `after` that changed which chunks are known, newest first, down to an index
    segment that covers everything before."""
    last = log.last
    number = int(last.links["data"]) if last else 0
    while number > after:
        entry = log.entry(number)
        yield entry
        after = max(after, int(entry.links.get("covers", 0)))
        before = int(entry.links["previous_data"])
        if before >= number:
            raise DamageError(f"log entry {number} links forward", hint="The log was tampered with.")
        number = before
