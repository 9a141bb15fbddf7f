"""Verification: is what the log commits to there, and is it what was stored?

Structure: the chain of the log, every index and timeline segment, every pack present with its size, every
chunk that a timeline names indexed. With read_data also every stored byte: the pack's SHA-256, its footer,
each frame opened and decompressed, each chunk's id computed again.

What is damaged is then named down to what it means (blame.py). Names are content: without the passphrase the
report says which objects, and that it could not look further.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..model.columns import Array
from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError, UsageError
from . import index as indexes
from . import pack as packs
from . import recipients as wrapping
from .blame import Blame
from .contents import ContentKeys, Unlock
from .entry import LogEntry, name_of
from .frames import FrameDecoder
from .index import Index
from .inspection import inspect_pack
from .keys import WriterKeys
from .known import read_index_segment
from .links import index_entries
from .log import Log
from .report import Damage, Report
from .sealed import digest_of
from .stores.base import Store, StoreError

Progress = Callable[[int, int], None]


class Verification:
    """One run over a vault."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log, unlock: Unlock) -> None:
        self._store, self._keys, self._log = store, keys, log
        self._contents = ContentKeys(keys, unlock)
        self._unlock = unlock
        self._report = Report()
        self._segments: list[indexes.Segment] = []
        self._lost: dict[bytes, Damage] = {}
        self._done = self._total = 0
        self._progress: Progress | None = None

    def run(self, read_data: bool, progress: Progress | None) -> Report:
        """read_data: every stored byte. progress: (done, total), in bytes then, else in packs."""
        report, self._progress = self._report, progress
        try:
            self._unlock()
        except UsageError:
            report.unlocked = False
            report.notes.append("Without the passphrase, names and data were not opened: only their hashes.")
        self._recipients()
        entries = self._entries()
        self._packs(entries, read_data)
        named = Index(self._segments)
        good = Index(self._segments, frozenset(report.packs)) if report.packs else named
        Blame(self._store, self._log, self._contents, report, good, named, self._lost).run(entries)
        self._forgive(entries, good)
        return report

    def _forgive(self, entries: list[LogEntry], good: Index) -> None:
        """A condemned pack whose every lost chunk was stored anew is a note, no damage any more."""
        condemned = {packs.name_of(name) for entry in entries for name in entry.links.get("bad", ())}
        for damage in [d for d in self._report.damaged if d.object in condemned]:
            lost = b"".join(chunk for chunk, own in self._lost.items() if own is damage)
            if (good.find(np.frombuffer(lost, np.uint8)) >= 0).all():
                self._report.damaged.remove(damage)
                self._report.notes.append(f"{damage.object} is damaged, but all of it was stored anew since.")

    def _recipients(self) -> None:
        for recipient in wrapping.stored_recipients(self._store):
            self._report.objects += 1
            if isinstance(recipient, DamageError):
                self._report.add(wrapping.FOLDER, recipient.cause)

    def _entries(self) -> list[LogEntry]:
        """Every entry that can be read; a chain that breaks is damage of the entry that breaks it."""
        self._log.refresh()
        entries: list[LogEntry] = []
        previous: str | None = ""
        for number in range(1, self._log.head.number + 1):
            self._report.objects += 1
            try:
                entry = self._log.read(number)
            except (DamageError, StoreError) as error:
                self._report.add(name_of(number), error.cause)
                previous = None
                continue
            if previous is not None and entry.previous != previous:
                self._report.add(name_of(number), "it does not follow the entry before it")
            previous = entry.digest
            entries.append(entry)
        return entries

    def _packs(self, entries: list[LogEntry], read_data: bool) -> None:
        present = dict(self._store.list("packs/"))
        self._total = sum(present.values()) if read_data else len(present)
        decoder = FrameDecoder()
        checked: set[str] = set()
        for entry in self._index_entries(entries):
            for name in entry.links.get("index", ()):
                self._report.objects += 1
                try:
                    segment = read_index_segment(self._store, self._keys, name)
                except (DamageError, StoreError) as error:
                    self._report.add(indexes.name_of(name), error.cause)
                    continue
                self._segments.append(segment)
                for pack in segment.packs():
                    if pack.name not in checked:
                        ids = pack.table.id.reshape(-1, CHUNK_ID_BYTES)
                        self._pack(pack.name, pack.size, ids, present, decoder if read_data else None)
                    checked.add(pack.name)

    def _index_entries(self, entries: list[LogEntry]) -> list[LogEntry]:
        """Those that the index is made of, newest first; all that can be read where links are broken."""
        try:
            live = list(index_entries(self._log))
        except (DamageError, StoreError):
            return entries[::-1]
        numbers = {entry.number for entry in live}
        for entry in entries:
            if entry.number not in numbers:
                self._superseded(entry)
        return live

    def _superseded(self, entry: LogEntry) -> None:
        """Segments that later ones took in: nobody reads them, so what is wrong with them is worth a note."""
        for name in entry.links.get("index", ()):
            self._report.objects += 1
            try:
                read_index_segment(self._store, self._keys, name)
            except (DamageError, StoreError) as error:
                self._report.notes.append(f"{error.cause}; later segments hold what it held.")

    def _pack(
        self, name: str, size: int, ids: Array, present: dict[str, int], decoder: FrameDecoder | None
    ) -> None:
        found = present.get(packs.name_of(name))
        self._report.objects += 1
        if found is None:
            self._lose(name, "it is missing", ids)
        elif found != size:
            self._lose(name, f"it has {found} bytes instead of {size}", ids)
        elif decoder:
            self._read_pack(name, ids, decoder)
        self._done += (found or 0) if decoder else 1
        if self._progress:
            self._progress(self._done, self._total)

    def _read_pack(self, name: str, ids: Array, decoder: FrameDecoder) -> None:
        contents = self._contents if self._report.unlocked else None
        try:
            data = self._store.read(packs.name_of(name))
            self._report.bytes += len(data)
            whole = digest_of(data) == name
            inspected = inspect_pack(self._keys, contents, name, data, decoder)
        except (DamageError, StoreError) as error:
            self._lose(name, error.cause, ids)
            return
        if not np.array_equal(ids, inspected.ids):
            self._lose(name, "its footer and the index disagree", ids)
        elif inspected.broken.any():
            count = int(inspected.broken.sum())
            self._lose(name, f"{count} of its chunks are not what was stored", ids[inspected.broken])
        elif not whole:
            self._lose(name, "its SHA-256 is not its name", ids[:0] if contents else ids)

    def _lose(self, name: str, cause: str, ids: Array) -> None:
        self._report.packs.append(name)
        damage = self._report.add(packs.name_of(name), cause)
        for chunk in ids:
            self._lost.setdefault(chunk.tobytes(), damage)
