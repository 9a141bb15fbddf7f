"""Rebuilding the index where segments of it are lost: every pack's footer lists its chunks.

Whole segments are kept. Every pack that they do not name, that no prune marked for deletion, and whose footer
opens, is added: the structure key is enough, no content is opened. One signed entry then commits the rebuilt
index and ends the walk to older entries.

Packs of a session that did not commit may be added as well. Their ids are right, so writers may use these
chunks, and a prune removes them if none does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.errors import DamageError
from ...model.log_kinds import LogKind
from ..crypto.keys import WriterKeys
from ..crypto.signing import SigningKey
from ..format import index_segment as indexes
from ..format.index_segment import StoredPack, segments_of
from ..format.pack import read_footer
from ..index.load import index_links, read_index_segment
from ..index.pack_list import listed_packs
from ..log.log import Log
from ..log.session import WriteSession
from ..log.slot import CatchUp, SealedEntry, Slot
from ..stores.base import Store, StoreError

_ATTEMPTS = 5


def rebuild_index(store: Store, keys: WriterKeys, log: Log, signing_key: SigningKey) -> list[str]:
    """Returns notes about packs that could not be added. Raises StoreError when other clients change the
    index each time."""
    session = WriteSession(store, keys, log)
    attempts = [_rebuilt(store, keys, log, session)]

    def seal(slot: Slot) -> SealedEntry | CatchUp:
        rebuilt = attempts[-1]
        if slot.newest("data") != rebuilt.seen:
            return CatchUp(rebuild_again)
        session.refuse_fenced()
        return slot.seal(LogKind.REPAIR, rebuilt.body, rebuilt.links, signing_key)

    def rebuild_again() -> None:
        if len(attempts) == _ATTEMPTS:
            raise StoreError(
                f"other clients changed the index {_ATTEMPTS} times meanwhile",
                doing="rebuild the index",
                hint="Try again.",
            )
        attempts.append(_rebuilt(store, keys, log, session))

    log.commit(seal, session.entries)
    return attempts[-1].notes


@dataclass(frozen=True)
class _Rebuilt:
    """A stored index and the entry that makes it the one in force. seen: the newest entry that had changed
    the index when it was rebuilt."""

    seen: int
    body: Mapping[str, Any]
    links: Mapping[str, Any]
    notes: list[str]


def _rebuilt(store: Store, keys: WriterKeys, log: Log, session: WriteSession) -> _Rebuilt:
    linked = index_links(log)
    seen = int(log.last.links["data"]) if log.last else 0
    whole: list[str] = []
    named: set[str] = set(linked.pending_deletion)
    for name in linked.segments:
        try:
            named.update(read_index_segment(store, keys, name).names())
            whole.append(name)
        except (DamageError, StoreError):
            continue
    notes: list[str] = []
    stored = [session.store_index(segment) for segment in segments_of(_unnamed(store, keys, named, notes))]
    lost = [indexes.name_of(name) for name in linked.segments if name not in whole]
    return _Rebuilt(
        seen,
        body={"repaired": [], "quarantined": [], "timelines": [], "rebuilt": lost},
        links={
            "index": [*whole, *stored],
            "covers": seen,
            "damaged": sorted(linked.damaged),
            "pending_deletion": sorted(linked.pending_deletion),
        },
        notes=notes,
    )


def _unnamed(store: Store, keys: WriterKeys, named: set[str], notes: list[str]) -> Iterator[StoredPack]:
    for raw, size in listed_packs(store):
        digest = raw.hex()
        if digest in named:
            continue
        try:
            footer = read_footer(store, keys, digest, size)
        except DamageError as error:
            notes.append(f"{error.cause}: its content is unknown.")
            continue
        yield StoredPack(digest, size, footer.header, footer.sessions)
