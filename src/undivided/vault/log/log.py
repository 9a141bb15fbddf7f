"""The commit log: the one order in which things happened, and the only place where anything is committed.

Entry n+1 is created with a create-only write by a client that has read all n entries before it. If another
client was faster, its entry is read and ours is sealed again for the next number, with a fresh counter
(`Log.commit`). After "exists", or an error whose effect is unknown, the entry is read back and compared:
equal bytes are ours, because no two entries are ever sealed alike.

A client remembers the head that it saw. A log that no longer contains it was rolled back or forked.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

from ...host.parallel import in_order
from ...model.errors import DamageError, WrongKeyError
from ...model.log_kinds import LogKind
from ..crypto.keys import WriterKeys
from ..crypto.signing import SigningKey
from ..format.log_entry import Head, LogEntry, decode_entry, name_of
from ..stores.base import ExistsError, MissingError, Store, StoreError, requests
from .slot import CatchUp, EntrySealer, SealedEntry, Slot

_log = logging.getLogger(__name__)

Clock = Callable[[], int]
"""UTC nanoseconds. It decides when something happens, never whether it is safe."""
_ATTEMPTS = 1000


class Log:
    """The log of one vault as this process knows it. Thread-safe."""

    def __init__(self, store: Store, keys: WriterKeys, known: Head | None, now: Clock = time.time_ns) -> None:
        self._store, self._keys, self.now = store, keys, now
        self._at_once = requests(store)
        self._lock, self._remembering = threading.RLock(), threading.Lock()
        self._recent: dict[int, LogEntry] = {}
        self.last: LogEntry | None = None
        if known is None:
            self._find_end()
        elif known.number:
            self.last = self._seen(known)
        self.refresh()

    @property
    def head(self) -> Head:
        last = self.last
        return Head(last.number, last.digest) if last else Head()

    def refresh(self) -> None:
        """Reads the entries that were appended since, and checks that each continues the one before."""
        with self._lock:
            wave = 1
            while self._advanced(wave):
                wave = min(2 * wave, self._at_once)

    def _advanced(self, most: int) -> bool:
        """Reads up to `most` entries. False: the log ends here."""
        first = self.head.number + 1
        for data in in_order(self._data, range(first, first + most), threads=self._at_once):
            self._check_keys()
            if data is None:
                return False
            self._advance(decode_entry(self._keys, self.head.number + 1, data))
        return True

    def _check_keys(self) -> None:
        """Raises WrongKeyError when the keys were rotated: no client would accept an entry that ours seal
        now."""
        last = self.last
        if last and last.kind == LogKind.EPOCH and last.number > self._keys.epochs[-1].begun:
            raise WrongKeyError(
                f"the vault's keys were rotated at log entry {last.number}, and these keys are older",
                doing=f"use {self._store.url}",
                hint="`undivided vault key renew` fetches the new ones, or copy keys/near.key from a machine "
                "that has them.",
            )

    def entry(self, number: int) -> LogEntry:
        """One entry, authenticated. Raises DamageError when it is missing."""
        known = self._recent.get(number)
        if known is None:
            self._fetch_before(number)
            known = self._one(number)
        return known

    def _fetch_before(self, number: int) -> None:
        """A walk along the links goes back, mostly in short steps: from a distant store the entries just
        before are fetched too. An error of one of those is raised when that entry is requested itself."""
        near = [n for n in range(max(1, number - self._at_once + 1), number) if n not in self._recent]

        def fetch(number: int) -> None:
            with contextlib.suppress(DamageError, StoreError):
                self._one(number)

        for _ in in_order(fetch, [number, *near] if near else [], threads=self._at_once):
            pass

    def _one(self, number: int) -> LogEntry:
        known = self._recent.get(number)
        if known is None:
            known = self.read(number)
            self._remember(known)
        return known

    def _data(self, number: int) -> bytes | None:
        try:
            return self._store.read(name_of(number))
        except MissingError:
            return None

    def read(self, number: int) -> LogEntry:
        """The same, always from the store."""
        data = self._data(number)
        if data is None:
            raise _gone(number)
        return decode_entry(self._keys, number, data)

    def entries(self, after: int = 0, *, refresh: bool = True) -> Iterator[LogEntry]:
        """All entries after `after` up to the head, in order. Checks that each continues the one before.
        refresh: first reads new entries."""
        if refresh:
            self.refresh()
        end = self.head
        previous = self.entry(after).digest if after else ""
        for entry in in_order(self._one, range(after + 1, end.number + 1), threads=self._at_once):
            if entry.previous != previous:
                raise _broken(entry.number)
            previous = entry.digest
            yield entry

    # ── appending ───────────────────────────────────────────────────────────────────────────────────────────

    @overload
    def commit(
        self, seal: Callable[[Slot], SealedEntry | CatchUp], sealer: EntrySealer | None = None
    ) -> LogEntry: ...

    @overload
    def commit(
        self, seal: Callable[[Slot], SealedEntry | CatchUp | None], sealer: EntrySealer | None = None
    ) -> LogEntry | None: ...

    def commit(
        self, seal: Callable[[Slot], SealedEntry | CatchUp | None], sealer: EntrySealer | None = None
    ) -> LogEntry | None:
        """Commits one entry: the loop of every commit. Returns the entry once it is durable.

        seal: called with one slot after the other until its entry has been appended; every entry before the
        slot has been read. It returns the entry sealed for this slot, or a CatchUp, or None when there is
        nothing to commit. What it raises ends the commit. sealer: of the session that commits; without it the
        entry is of a session of its own.

        While `seal` runs and its entry is appended, no other thread of this process appends. Raises
        StoreError when the entry could not be stored, or other processes were faster too many times.
        """
        sealer = sealer or EntrySealer(self._keys, self._keys.new_session())
        for _ in range(_ATTEMPTS):
            with self._lock:
                self.refresh()
                sealed = seal(Slot(self.last, self.now(), sealer))
                if sealed is None:
                    return None
                entry = self._try_append(sealed) if isinstance(sealed, SealedEntry) else None
            if entry:
                return entry
            if isinstance(sealed, CatchUp):
                sealed.work()
        raise StoreError(
            f"{_ATTEMPTS} other entries were appended first",
            doing=f"append to the log of {self._store.url}",
            hint="Try again.",
        )

    def append(
        self,
        kind: str,
        body: Mapping[str, Any],
        links: Mapping[str, Any] | None = None,
        signing_key: SigningKey | None = None,
    ) -> LogEntry:
        """Commits an entry that does not depend on the entries before it."""

        def seal(slot: Slot) -> SealedEntry:
            return slot.seal(kind, body, links or {}, signing_key)

        return self.commit(seal)

    def _try_append(self, sealed: SealedEntry) -> LogEntry | None:
        """The entry, once it is durable. None when another entry has its number; that one has been read then.
        Raises StoreError when it could not be stored."""
        if sealed.number == self.head.number + 1:
            stored = self._created(sealed)
            self._advance(decode_entry(self._keys, sealed.number, stored))
            if stored == sealed.data:
                return self.last
        _log.info("log entry %d was written by another writer; trying the next number", sealed.number)
        return None

    def _created(self, sealed: SealedEntry) -> bytes:
        """The bytes that have this number in the store now: ours, or another entry. Raises StoreError."""
        name = name_of(sealed.number)
        try:
            self._store.create(name, [sealed.data])
        except ExistsError:
            return self._store.read(name)
        except StoreError as error:
            try:
                return self._store.read(name)
            except StoreError:
                raise error from None
        return sealed.data

    def _advance(self, entry: LogEntry) -> None:
        if entry.previous != self.head.digest:
            raise _broken(entry.number)
        self._remember(entry)
        self.last = entry

    def _remember(self, entry: LogEntry) -> None:
        with self._remembering:  # not the turn's lock: its holder may wait for threads that read
            if len(self._recent) >= 4096:
                self._recent.clear()
            self._recent[entry.number] = entry

    def _seen(self, known: Head) -> LogEntry:
        """The entry that this client saw last. Raises DamageError when the log no longer has it."""
        name = name_of(known.number)
        try:
            data = self._store.read(name)
        except MissingError:
            data = b""
        if hashlib.sha256(data).hexdigest() != known.digest:
            raise DamageError(
                f"the vault was rolled back or forked: {name} is not the entry that was there before",
                hint="The vault's files were replaced or restored. Compare it with a copy before using it.",
            )
        entry = decode_entry(self._keys, known.number, data)
        self._remember(entry)
        return entry

    def _find_end(self) -> None:
        """Finds an entry near the end in logarithmic time: opening a vault for the first time must not read
        the whole log."""
        low, step = 0, 1
        while self._exists(low + step):
            low, step = low + step, step * 2
        while step > 1:
            step //= 2
            if self._exists(low + step):
                low += step
        if low:
            self.last = self.entry(low)

    def _exists(self, number: int) -> bool:
        try:
            self._store.size(name_of(number))
        except MissingError:
            return False
        return True


def _gone(number: int) -> DamageError:
    return DamageError(f"{name_of(number)} is missing", hint="Run `undivided verify` to see what it affects.")


def _broken(number: int) -> DamageError:
    return DamageError(
        f"{name_of(number)} does not follow the entry before it",
        hint="The log was tampered with, or merged from two. Compare it with a copy before trusting it.",
    )
