"""A slot: the next free place in the log, and an entry sealed for exactly that place.

Every commit is the loop of `Log.commit`. Each kind of commit gives it a function that looks at a slot and
answers with a value:

    SealedEntry     the entry, sealed for this slot; body and links may depend on the slot
    CatchUp         entries came that this commit must look at first: the work to do before the next slot
    None            there is nothing to commit

A slot is a value. Nothing in the store is locked, so another process may take the number at any time. Only
the threads of this process wait for each other instead of competing for one number.

Entries are linked, so that no client has to read the whole log. A slot passes the links on:

    links.data              the newest entry, up to and with this one, that changed which chunks are known
    links.previous_data     (on those) the entry of that kind before it
    links.index             (on those) the index segments it added
    links.damaged           (on those) packs found damaged, out of use from here on
    links.repaired          (on those) packs that are whole again, whatever was recorded before
    links.pending_deletion  (on those) packs that a prune took out of use, to be deleted
    links.covers            (on those) the index added here holds everything up to this entry: older entries
                            need not be read
    links.verified          the newest entry, up to and with this one, that records a verification
    links.pruned            the newest entry, up to and with this one, that is a prune
    links.keys              the newest entry, up to and with this one, that lists the recipients
    links.heads             timeline id → {sequence, digest, segment, previous, base} as of this commit.
                            sequence is the entry that last changed the timeline, previous the entry that
                            changed it before that, base the newest prune that compacted it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.log_kinds import LogKind
from ..crypto.aead import Sealer
from ..crypto.keys import WriterKeys
from ..crypto.signing import Signed, SigningKey, with_signature
from ..format.log_entry import PURPOSE, Head, LogEntry, encode_entry

_CHANGES = {"index", "damaged", "repaired", "pending_deletion"}
"""Links that change which chunks are known."""
_NEWEST = {LogKind.VERIFICATION: "verified", LogKind.PRUNE: "pruned", LogKind.KEY: "keys"}
"""Kinds, and the link by which every entry leads to the newest entry of that kind."""


class EntrySealer:
    """Seals log entries in the name of one session. Every sealing uses a fresh counter, so an entry that lost
    its place is never sealed again under the same nonce."""

    def __init__(self, keys: WriterKeys, session: bytes) -> None:
        self.session, self.vault = session, keys.vault
        self._sealer = Sealer(keys.structure, keys.vault_bytes, session, PURPOSE)

    def seal(self, head: Head, kind: str, time_ns: int, body: Any, links: Mapping[str, Any]) -> bytes:
        return encode_entry(self._sealer, self.session, head, kind, time_ns, body, links)


@dataclass(frozen=True)
class SealedEntry:
    """The stored bytes of an entry that fits only into the place `number`."""

    number: int
    data: bytes


@dataclass(frozen=True)
class CatchUp:
    """A commit's answer to a slot that it cannot use yet. work: called outside the turn, so it may take long.
    It raises ConflictError or FencedError when the commit has become impossible."""

    work: Callable[[], None]


@dataclass(frozen=True)
class Slot:
    """The place after `last`, the newest entry. time_ns: UTC, for the entry that is sealed here."""

    last: LogEntry | None
    time_ns: int
    sealer: EntrySealer

    @property
    def number(self) -> int:
        return self.last.number + 1 if self.last else 1

    def newest(self, link: str) -> int:
        """The entry that `data`, `verified`, `pruned` or `keys` leads to; 0 when there is none."""
        return int(self.last.links[link]) if self.last else 0

    def seal(
        self,
        kind: str,
        body: Mapping[str, Any],
        links: Mapping[str, Any],
        signing_key: SigningKey | None = None,
    ) -> SealedEntry:
        """links: those that this entry adds; the others are inherited. signing_key: signs the entry where its
        kind requires that."""
        number, before = self.number, self.newest("data")
        changes = not _CHANGES.isdisjoint(links)
        linked = {**links, "data": number if changes else before}
        if changes and "previous_data" not in links:
            linked["previous_data"] = before
        for newest, link in _NEWEST.items():
            linked[link] = number if kind == newest else self.newest(link)
        head = Head(self.last.number, self.last.digest) if self.last else Head()
        entry = Signed(kind, self.sealer.vault, number, head.digest, self.time_ns, body, linked)
        signed = with_signature(signing_key, entry)
        return SealedEntry(number, self.sealer.seal(head, kind, self.time_ns, signed, linked))
