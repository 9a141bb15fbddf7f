"""An index made anew where segments of it are lost: every pack says in its footer what is in it.

The segments that are whole stay. Every pack that they do not name, that was not given up by a prune, and
whose footer opens, is taken in: the structure key is all it takes, no content is opened. One signed entry
then says that this is the index, and that nobody has to look further back.

Packs of a session that did not commit may be taken in as well. Their chunks are what their ids say, so
somebody may make use of them, and a prune finds out that nobody does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...model.errors import DamageError
from ..crypto.keys import WriterKeys
from ..crypto.signing import SigningKey
from ..format import index_segment as indexes
from ..format.index_segment import StoredPack, segments_of
from ..format.log_entry import LogEntry
from ..format.pack import read_footer
from ..index.damage_marks import REPAIR
from ..index.load import index_links, read_index_segment
from ..index.pack_list import listed_packs
from ..log.log import Log
from ..log.session import WriteSession
from ..stores.base import Store, StoreError

_ATTEMPTS = 5


class _Overtaken(Exception):
    """Somebody changed the index while it was made anew."""


def rebuild_index(store: Store, keys: WriterKeys, log: Log, signing_key: SigningKey) -> list[str]:
    """Returns notes: packs that could not be taken in. Raises StoreError when others are always quicker."""
    for _ in range(_ATTEMPTS):
        try:
            return _rebuild(store, keys, log, signing_key)
        except _Overtaken:
            log.refresh()
    raise StoreError("others change the index all the time", doing="rebuild the index", hint="Try again.")


def _rebuild(store: Store, keys: WriterKeys, log: Log, signing_key: SigningKey) -> list[str]:
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
    session = WriteSession(store, keys, log)
    made = [session.store_index(segment) for segment in segments_of(_unnamed(store, keys, named, notes))]

    def make(last: LogEntry | None) -> tuple[Any, Mapping[str, Any]]:
        if (int(last.links["data"]) if last else 0) != seen:
            raise _Overtaken
        session.refuse_fenced()
        links = {"index": [*whole, *made], "covers": seen}
        links |= {"damaged": sorted(linked.damaged), "pending_deletion": sorted(linked.pending_deletion)}
        lost = [indexes.name_of(name) for name in linked.segments if name not in whole]
        return {"repaired": [], "quarantined": [], "timelines": [], "rebuilt": lost}, links

    log.append(REPAIR, make, session.id, session.log_sealer, signing_key)
    return notes


def _unnamed(store: Store, keys: WriterKeys, named: set[str], notes: list[str]) -> Iterator[StoredPack]:
    for raw, size in listed_packs(store):
        digest = raw.hex()
        if digest in named:
            continue
        try:
            footer = read_footer(store, keys, digest, size)
        except DamageError as error:
            notes.append(f"{error.cause}: what it holds could not be found out.")
            continue
        yield StoredPack(digest, size, footer.header, footer.sessions)
