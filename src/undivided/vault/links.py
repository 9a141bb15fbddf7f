"""Following the links between log entries: to a timeline's history, and to everything the index knows.

See log.py for what the links are. Whoever walks them reads the entries it needs and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from ..model.errors import DamageError
from . import index as indexes
from . import pack as packs
from .entry import LogEntry
from .index import Index
from .keys import WriterKeys
from .log import Log
from .seal import damaged
from .sealed import digest_of
from .stores.base import MissingError, Store
from .timeline import chained


@dataclass(frozen=True)
class Chain:
    """A timeline as of some commit. sequence: the entry that last changed it, 0 when never; segment: what
    that
    entry added; previous: the entry that changed it before."""

    sequence: int = 0
    digest: str = ""
    segment: str = ""
    previous: int = 0

    def next(self, timeline: str, sequence: int, segment: str, block: bytes) -> Chain:
        """After one more segment."""
        return Chain(sequence, chained(timeline, self.digest, block), segment, self.sequence)

    def record(self) -> dict[str, int | str]:
        return asdict(self)


def latest_chain(log: Log, timeline: str, at: int | None = None) -> Chain | None:
    """The timeline as of entry `at` (the head by default): from the newest entry at or before it that names
    it.
    """
    for number in range(log.head.number if at is None else at, 0, -1):
        record = log.entry(number).links.get("chains", {}).get(timeline)
        if record is not None:
            return Chain(**record)
    return None


def history_of(log: Log, timeline: str, at: int | None = None) -> list[tuple[LogEntry, Chain]]:
    """The entries that changed a timeline up to `at`, oldest first. Raises DamageError on a broken link."""
    found: list[tuple[LogEntry, Chain]] = []
    chain = latest_chain(log, timeline, at)
    while chain and chain.sequence:
        entry = log.entry(chain.sequence)
        own = Chain(**entry.links.get("chains", {}).get(timeline, {}))
        if own.sequence != entry.number or own.digest != chain.digest or own.previous >= entry.number:
            raise DamageError(
                f"log entry {entry.number} does not continue the history of timeline {timeline}",
                hint="The log was tampered with. Compare with a copy before trusting it.",
            )
        found.append((entry, own))
        before = log.entry(own.previous).links.get("chains", {}).get(timeline) if own.previous else None
        chain = Chain(**before) if before else None
        if own.previous and chain is None:
            raise DamageError(f"log entry {own.previous} does not name timeline {timeline}")
    return found[::-1]


def index_entries(log: Log, after: int = 0) -> Iterator[LogEntry]:
    """The entries after entry `after` that changed what chunks are known, newest first."""
    last = log.last
    number = int(last.links["data"]) if last else 0
    while number > after:
        entry = log.entry(number)
        yield entry
        before = int(entry.links["before"])
        if before >= number:
            raise DamageError(f"log entry {number} links forward", hint="The log was tampered with.")
        number = before


def known_index(store: Store, keys: WriterKeys, log: Log, present: Mapping[str, int] | None = None) -> Index:
    """All committed chunks. For writers, present: object → size of the packs that are there; others, and
    those
    found damaged, are left out. For readers the damaged ones are the last choice."""
    segments: list[indexes.Segment] = []
    bad: set[str] = set()
    healed: set[str] = set()
    for entry in index_entries(log):
        bad.update(name for name in entry.links.get("bad", ()) if name not in healed)
        healed.update(entry.links.get("healed", ()))
        for name in entry.links.get("index", ()):
            segments.append(read_index_segment(store, keys, name))
    if present is None:
        return Index(segments, doubtful=frozenset(bad))
    for segment in segments:
        for name, size in zip(segment.names(), segment.size.tolist(), strict=True):
            if present.get(packs.name_of(name)) != size:
                bad.add(name)
    return Index(segments, unusable=frozenset(bad))


def read_index_segment(store: Store, keys: WriterKeys, name: str) -> indexes.Segment:
    """Raises DamageError when it is missing or not what was stored."""
    what = indexes.name_of(name)
    try:
        data = store.read(what)
    except MissingError as error:
        raise damaged(what, "it is missing") from error
    if digest_of(data) != name:
        raise damaged(what, "its SHA-256 is not its name")
    return indexes.Segment.open(keys, data, what)
