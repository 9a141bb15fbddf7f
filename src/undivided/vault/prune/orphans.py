"""Orphans: objects in the store that the vault does not need, and when they may be deleted.

    listed − live = pending deletions      deleted once the grace period for readers has passed
                  + unneeded               named by the log, and no longer needed: marked for deletion now
                  + orphans                named by no entry. Their own bytes name their session:
                        one that is done or fenced                     marked for deletion now
                        one at work, but silent for too long           fenced, and marked for deletion
                        one at work                                    left alone
                        one that the log does not know                 left alone, and reported

A writer's session is registered in the log before its first object is in the store. So an object of an
unknown session does not come from a writer of this vault.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...host.crashpoints import crashpoint
from ...host.parallel import in_order
from ..format import index_segment as indexes
from ..format import pack as packs
from ..format import timeline_segment as timelines
from ..log.heads import prune_entries
from ..log.log import Log
from ..log.session_registry import SessionRegistry
from ..stores.base import MissingError, Store, requests

NAMES = {"packs": packs.name_of, "index": indexes.name_of, "timeline": timelines.name_of}
"""By kind, from a digest (hex) to the object's name."""
Objects = Mapping[str, Mapping[str, int]]
"""By kind, digests (hex) with their sizes."""
_HEADER = struct.Struct(">4s16s")
_MAGIC = {"packs": packs.MAGIC, "index": indexes.MAGIC, "timeline": timelines.MAGIC}


def listed(store: Store) -> dict[str, dict[str, int]]:
    """The objects in the store."""
    return {kind: {name.rpartition("/")[2]: size for name, size in store.list(f"{kind}/")} for kind in NAMES}


@dataclass
class Orphans:
    """By kind, digests with their sizes. sweep: to delete now; waiting: pending deletions whose grace period
    is not over; pending_deletion: marked from now on; unknown: of no session that the log knows. by_session:
    which of `pending_deletion` belong to which session. fenced: sessions to fence."""

    sweep: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in NAMES})
    waiting: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in NAMES})
    pending_deletion: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in NAMES})
    unknown: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in NAMES})
    by_session: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    fenced: set[str] = field(default_factory=set)


def sort_out(
    store: Store,
    log: Log,
    sessions: SessionRegistry,
    objects: Objects,
    live: Mapping[str, Iterable[str]],
    named: Mapping[str, Iterable[str]],
    *,
    now_ns: int,
    grace_ns: int,
    session_age_ns: int,
) -> Orphans:
    """objects: as listed. live: the needed ones; named: those that entries of the log named, needed or
    not."""
    found = Orphans()
    rest = {kind: dict(objects[kind]) for kind in NAMES}
    for kind, digests in live.items():
        for digest in digests:
            rest[kind].pop(digest, None)
    for entry in prune_entries(log):
        if not any(rest.values()):
            break
        into = found.sweep if now_ns - entry.time_ns >= grace_ns else found.waiting
        for kind, digests in entry.body["pending_deletion"].items():
            for digest in digests:
                if digest in rest[kind]:
                    into[kind][digest] = rest[kind].pop(digest)
    for kind, digests in named.items():
        for digest in digests:
            if digest in rest[kind]:
                found.pending_deletion[kind][digest] = rest[kind].pop(digest)
    found.fenced = {
        name for name, own in sessions.at_work().items() if now_ns - own.renewed_ns > session_age_ns
    }
    for kind, left in rest.items():
        for digest, size in left.items():
            session = _session_of(store, kind, digest, size)
            known = sessions.get(session) if session else None
            if session is None or known is None:
                found.unknown[kind][digest] = size
            elif not known.open or session in found.fenced:
                found.pending_deletion[kind][digest] = size
                found.by_session.setdefault(session, []).append((kind, digest))
    # Also sessions that are done: if one comes back after all, its next commit must fail, for its orphans are
    # gone.
    found.fenced.update(found.by_session)
    return found


def sweep(store: Store, pending_deletion: Mapping[str, Mapping[str, int]]) -> int:
    """Deletes objects, by kind with their sizes. Returns the bytes. Objects that are gone already do no
    harm."""
    deleted = 0
    for kind, objects in pending_deletion.items():
        names = map(NAMES[kind], objects)
        deletions = in_order(store.delete, names, threads=requests(store))
        for size, _ in zip(objects.values(), deletions, strict=True):
            deleted += size
            crashpoint("prune.deleting")
    return deleted


def _session_of(store: Store, kind: str, digest: str, size: int) -> str | None:
    """The session of an object, from its own bytes; None when they do not name one."""
    start = size - packs.TRAILER.size if kind == "packs" else 0
    if start < 0 or size < _HEADER.size:
        return None
    try:
        magic, session = _HEADER.unpack(store.read(NAMES[kind](digest), start, _HEADER.size))
    except MissingError:
        return None
    return session.hex() if magic == _MAGIC[kind] else None
