"""Opening objects that are sealed to the vault's public key: session content keys, timelines, frames.

The private key is requested when the first content is opened, not earlier: listing points and writing new
ones must work without a passphrase.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from ...host.parallel import in_order
from ..crypto.aead import Opener, damaged
from ..crypto.envelope import Envelope, digest_of
from ..crypto.keys import CONTENT_KEY, PrivateKeys, WriterKeys, number_of, unseal
from ..format import timeline_segment as timelines
from ..format.frames import PURPOSE as FRAME
from ..format.log_entry import LogEntry
from ..format.timeline_segment import TimelineSegment, chained_digest
from ..log.heads import TimelineHead, history_of
from ..log.log import Log
from ..stores.base import MissingError, Store, requests

Unlock = Callable[[], PrivateKeys]


class ContentKeys:
    """Session content keys, each unsealed once. Thread-safe."""

    def __init__(self, keys: WriterKeys, unlock: Unlock) -> None:
        self._keys, self._unlock = keys, unlock
        self._lock = threading.Lock()
        self._opened: dict[tuple[bytes, bytes], bytes] = {}
        self._frames: dict[tuple[bytes, bytes], Opener] = {}

    def key(self, session: bytes, sealed: bytes, name: str) -> bytes:
        """Raises DamageError naming the object `name`; WrongKeyError or UsageError when the vault cannot be
        unlocked."""
        with self._lock:
            known = self._opened.get((session, sealed))
            if known is None:
                context = self._keys.vault_bytes + session
                self._keys.epoch_of(session, name)
                private = self._unlock()[number_of(session)]
                known = unseal(private, sealed, CONTENT_KEY, context, name)
                self._opened[session, sealed] = known
            return known

    def frames(self, session: bytes, sealed: bytes, name: str) -> Opener:
        opener = self._frames.get((session, sealed))
        if opener is None:
            key = self.key(session, sealed, name)
            opener = Opener(key, self._keys.vault_bytes, session, FRAME)
            self._frames[session, sealed] = opener
        return opener

    def timeline(self, data: bytes, timeline: str, name: str) -> tuple[TimelineSegment, memoryview]:
        """A timeline segment and its column block."""
        sealed = Envelope(timelines.MAGIC, data, name)
        key = self.key(sealed.session, sealed.sealed_key, name)
        block = sealed.open(key, self._keys.vault_bytes, timelines.PURPOSE)
        return TimelineSegment.decode(block, timeline, name), block


class Histories:
    """Reads timelines. Each segment is checked against the log: by its chained digest, or, after a
    compaction, by the name in the entry of the prune."""

    def __init__(self, store: Store, log: Log, contents: ContentKeys) -> None:
        self._store, self._log, self._contents = store, log, contents

    def segments(self, timeline: str, until: int | None) -> list[tuple[LogEntry, TimelineSegment]]:
        """All of a timeline's segments up to entry `until`, oldest first. Raises DamageError, ForgottenError
        when the state at `until` was expired."""
        return [(entry, segment) for entry, _, segment in self.each(timeline, until)]

    def each(
        self, timeline: str, until: int | None = None
    ) -> Iterator[tuple[LogEntry, TimelineHead, TimelineSegment]]:
        """The same one by one, so that few are in memory."""
        history = history_of(self._log, timeline, until)
        befores = ["", *(head.digest for _, head in history)]
        pairs = [(head, before) for (_, head), before in zip(history, befores, strict=False)]
        for (entry, head), segment in zip(history, self.some(timeline, pairs), strict=True):
            yield entry, head, segment

    def some(self, timeline: str, pairs: Sequence[tuple[TimelineHead, str]]) -> Iterator[TimelineSegment]:
        """The segments of some heads, one by one. pairs: (head, the timeline's digest before it)."""
        stored = in_order(self._stored, (head for head, _ in pairs), threads=requests(self._store))
        for (head, before), data in zip(pairs, stored, strict=True):
            yield self.opened(timeline, head, before, data)

    def segment(self, timeline: str, head: TimelineHead, previous: str) -> TimelineSegment:
        """The segment of one head. previous: the timeline's digest before it."""
        return self.opened(timeline, head, previous, self._stored(head))

    def _stored(self, head: TimelineHead) -> bytes:
        name = timelines.name_of(head.segment)
        try:
            return self._store.read(name)
        except MissingError as error:
            raise damaged(name, "it is missing") from error

    def opened(self, timeline: str, head: TimelineHead, previous: str, data: bytes) -> TimelineSegment:
        """The segment in `data`. Raises DamageError unless it continues the timeline as in the log."""
        name = timelines.name_of(head.segment)
        if head.compacted and digest_of(data) != head.segment:
            raise damaged(name, "its SHA-256 is not its name")
        segment, block = self._contents.timeline(data, timeline, name)
        if not head.compacted and chained_digest(timeline, previous, block) != head.digest:
            raise damaged(name, "it does not continue its timeline")
        return segment
