"""A session: one client that adds objects to a vault, under a name and a key of its own.

Before its first upload a session registers: an entry "session" in the log. It registers again every hour
while it uploads. So a later prune knows the session of every object, and what its orphans are:

    open      the newest registration is newer than the newest commit: its objects are left alone
    done      it has committed since: objects that no entry names are orphans
    fenced    a prune took it for dead. It never commits again: its next attempt finds the fence

Whether a session is dead is a matter of clocks, so a fence may hit a living one. That costs the session its
work, and costs no other client anything.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from ...host.crashpoints import crashpoint
from ...model.log_kinds import LogKind
from ..crypto.aead import Buffer, Sealer
from ..crypto.envelope import digest_of, seal_envelope
from ..crypto.keys import CONTENT_KEY, KEY_BYTES, WriterKeys, seal_to
from ..format import index_segment as indexes
from ..format import pack as packs
from ..format import timeline_segment as timelines
from ..format.frames import PURPOSE as FRAME
from ..format.index_segment import IndexSegment
from ..stores.base import ExistsError, Store, StoreError
from .errors import FencedError
from .heads import prune_entries
from .log import Log
from .slot import EntrySealer, SealedEntry, Slot

RENEWAL_NS = 3600 * 10**9
"""A session that is still uploading registers again after this time."""


class WriteSession:
    """Thread-safe. name: hex. entries: seals its log entries. bytes_stored: all bytes sent to the store.
    seen: the newest prune entry that this session has looked at."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log) -> None:
        self.id = keys.new_session()
        self.name = self.id.hex()
        self.log = log
        self.entries = EntrySealer(keys, self.id)
        self.bytes_stored = 0
        self.seen = int(log.last.links["pruned"]) if log.last else 0
        self._store, self._keys = store, keys
        self._lock = threading.RLock()
        self._content: Content | None = None
        self._registered_ns: int | None = None
        self._created: list[str] = []

    @property
    def content(self) -> Content:
        """Made when it is first needed: a session that stores nothing has none."""
        with self._lock:
            if self._content is None:
                self._content = Content(self._keys, self.id)
            return self._content

    def register(self) -> None:
        """Before an upload: records in the log that this session is at work, unless it did so recently.
        Raises FencedError."""
        with self._lock:
            known = self._registered_ns
            if known is not None and abs(self.log.now() - known) < RENEWAL_NS:
                return
            body = {"sealed_key": self.content.sealed.hex()}

            def seal(slot: Slot) -> SealedEntry:
                self.refuse_fenced()
                return slot.seal(LogKind.SESSION, body, {})

            self._registered_ns = self.log.commit(seal, self.entries).time_ns
            if known is None:
                crashpoint("vault.session-logged")

    def committed(self) -> None:
        """After a commit the session must register again before it uploads."""
        with self._lock:
            self._registered_ns = None

    def refuse_fenced(self) -> None:
        """Raises FencedError when a prune since `seen` has fenced this session."""
        if any(self.name in entry.body["fenced_sessions"] for entry in prune_entries(self.log, self.seen)):
            raise FencedError

    def store_timeline(self, block: bytes) -> str:
        """A timeline segment. Returns its name."""
        own = self.content
        return self._sealed(
            timelines.name_of, seal_envelope(timelines.MAGIC, own.timelines, self.id, block, own.sealed)
        )

    def store_index(self, segment: IndexSegment) -> str:
        """An index segment. Returns its name."""
        return self._sealed(indexes.name_of, segment.seal(self.content.indexes, self.id))

    def create(self, name: str, *parts: Buffer) -> None:
        """Stores an object that is named by its bytes. After an error of unknown effect it is read back."""
        self.register()
        try:
            self._store.create(name, parts)
        except StoreError as error:
            try:
                same = self._store.read(name) == b"".join(parts)
            except StoreError:
                raise error from None
            if not same:
                raise (
                    error
                    if not isinstance(error, ExistsError)
                    else StoreError(
                        "it is there with other bytes", doing=f"create {name}", hint="Run `undivided verify`."
                    )
                ) from None
        with self._lock:
            self._created.append(name)
            self.bytes_stored += sum(len(part) for part in parts)

    def abandon(self) -> None:
        """Deletes the uploads. Only before the first attempt to commit: an entry whose fate is unknown
        may still arrive, and refer to it."""
        for name in self._created:
            self._store.delete(name)

    def _sealed(self, name_of: Callable[[str], str], data: Buffer) -> str:
        name = digest_of(data)
        self.create(name_of(name), data)
        return name


class Content:
    """A session's content key, sealed, and the sealers that need a session with content."""

    def __init__(self, keys: WriterKeys, session: bytes) -> None:
        vault = keys.vault_bytes
        key = os.urandom(KEY_BYTES)
        self.sealed = seal_to(keys.public, key, CONTENT_KEY, vault + session)
        self.frames = Sealer(key, vault, session, FRAME)
        self.timelines = Sealer(key, vault, session, timelines.PURPOSE)
        self.footers = Sealer(keys.structure, vault, session, packs.PURPOSE)
        self.indexes = Sealer(keys.structure, vault, session, indexes.PURPOSE)
