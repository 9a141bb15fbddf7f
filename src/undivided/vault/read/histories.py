"""Opening what is sealed to the vault's public key: session content keys, timelines, frames.

The private key is asked for when the first content is opened, not before: listing points and writing new ones
must work where no passphrase is.
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

    def key(self, session: bytes, sealed: bytes, what: str) -> bytes:
        """Raises DamageError naming `what`; WrongKeyError or UsageError when the vault cannot be unlocked."""
        with self._lock:
            known = self._opened.get((session, sealed))
            if known is None:
                context = self._keys.vault_bytes + session
                self._keys.epoch_of(session, what)
                private = self._unlock()[number_of(session)]
                known = unseal(private, sealed, CONTENT_KEY, context, what)
                self._opened[session, sealed] = known
            return known

    def frames(self, session: bytes, sealed: bytes, what: str) -> Opener:
        opener = self._frames.get((session, sealed))
        if opener is None:
            key = self.key(session, sealed, what)
            opener = Opener(key, self._keys.vault_bytes, session, FRAME)
            self._frames[session, sealed] = opener
        return opener

    def timeline(self, data: bytes, timeline: str, what: str) -> tuple[TimelineSegment, memoryview]:
        """A timeline segment and its column block."""
        sealed = Envelope(timelines.MAGIC, data, what)
        key = self.key(sealed.session, sealed.sealed_key, what)
        block = sealed.open(key, self._keys.vault_bytes, timelines.PURPOSE)
        return TimelineSegment.decode(block, timeline, what), block


class Histories:
    """Timelines read back, each segment checked against the log: by the digest that is chained over it, or,
    where a prune compacted it, by the name that the prune's entry vouches for."""

    def __init__(self, store: Store, log: Log, contents: ContentKeys) -> None:
        self._store, self._log, self._contents = store, log, contents

    def segments(self, timeline: str, until: int | None) -> list[tuple[LogEntry, TimelineSegment]]:
        """All of a timeline's segments up to entry `until`, oldest first. Raises DamageError, ForgottenError
        when the state at `until` was expired."""
        return [(entry, segment) for entry, _, segment in self.each(timeline, until)]

    def each(
        self, timeline: str, until: int | None = None
    ) -> Iterator[tuple[LogEntry, TimelineHead, TimelineSegment]]:
        """The same one by one, so that only few are in memory."""
        history = history_of(self._log, timeline, until)
        befores = ["", *(chain.digest for _, chain in history)]
        pairs = [(chain, before) for (_, chain), before in zip(history, befores, strict=False)]
        for (entry, chain), segment in zip(history, self.some(timeline, pairs), strict=True):
            yield entry, chain, segment

    def some(self, timeline: str, pairs: Sequence[tuple[TimelineHead, str]]) -> Iterator[TimelineSegment]:
        """Those of them that these pairs name, one by one: (chain, the timeline's digest before it)."""
        stored = in_order(self._stored, (chain for chain, _ in pairs), threads=requests(self._store))
        for (chain, before), data in zip(pairs, stored, strict=True):
            yield self.opened(timeline, chain, before, data)

    def segment(self, timeline: str, chain: TimelineHead, previous: str) -> TimelineSegment:
        """One of them. previous: the timeline's digest before it."""
        return self.opened(timeline, chain, previous, self._stored(chain))

    def _stored(self, chain: TimelineHead) -> bytes:
        what = timelines.name_of(chain.segment)
        try:
            return self._store.read(what)
        except MissingError as error:
            raise damaged(what, "it is missing") from error

    def opened(self, timeline: str, chain: TimelineHead, previous: str, data: bytes) -> TimelineSegment:
        """The segment in `data`, which must continue the timeline as the log says."""
        what = timelines.name_of(chain.segment)
        if chain.compacted and digest_of(data) != chain.segment:
            raise damaged(what, "its SHA-256 is not its name")
        segment, block = self._contents.timeline(data, timeline, what)
        if not chain.compacted and chained_digest(timeline, previous, block) != chain.digest:
            raise damaged(what, "it does not continue its timeline")
        return segment
