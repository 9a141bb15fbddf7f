"""Loading the index: each chunk in its newest usable place, by the log.

The log's entries that changed the index are walked from the newest (vault/log/heads.py). A few segments at a
time are fetched, checked and opened in parallel: opening a large vault is mostly hashing and decrypting.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...host.parallel import in_order
from ...model.errors import DamageError
from ..crypto.aead import damaged
from ..crypto.envelope import digest_of
from ..crypto.keys import WriterKeys
from ..format import pack as packs
from ..log.heads import index_entries
from ..log.log import Log
from ..stores.base import MissingError, Store, parallel
from . import index as indexes
from .index import ChunkIndex

_READERS = max(2, min(4, os.cpu_count() or 2))
"""Threads. Each holds a segment twice while it opens it."""


@dataclass(frozen=True)
class IndexLinks:
    """The result of the walk. segments: names, newest first. damaged: packs found damaged and not repaired
    since; pending_deletion: packs that any entry on the walk marked for deletion. Packs are hex digests."""

    segments: Sequence[str]
    damaged: frozenset[str]
    pending_deletion: frozenset[str]


def index_links(log: Log) -> IndexLinks:
    segments: list[str] = []
    damaged: set[str] = set()
    repaired: set[str] = set()
    pending_deletion: set[str] = set()
    for entry in index_entries(log):
        damaged.update(name for name in entry.links.get("damaged", ()) if name not in repaired)
        repaired.update(entry.links.get("repaired", ()))
        pending_deletion.update(entry.links.get("pending_deletion", ()))
        segments += entry.links.get("index", ())
    return IndexLinks(segments, frozenset(damaged), frozenset(pending_deletion))


def load_index(
    store: Store,
    keys: WriterKeys,
    log: Log,
    present: Mapping[str, int] | None = None,
    before: ChunkIndex | None = None,
) -> ChunkIndex:
    """All committed chunks but those in packs pending deletion. present: for writers, object → size of the
    packs in the store; chunks of other packs and of damaged ones are left out. Without it, for readers,
    damaged packs are the last choice. before: an index of an earlier state, whose segments need not be read
    again."""
    opened = dict(zip(before.names, before.segments, strict=True)) if before else {}
    while True:
        linked = index_links(log)
        missing = [name for name in linked.segments if name not in opened]
        try:
            opened |= zip(missing, read_index_segments(store, keys, missing), strict=True)
            break
        except DamageError:
            # A prune may have replaced a segment.
            log.refresh()
            if index_links(log).segments == linked.segments:
                raise
    segments = [opened[name] for name in linked.segments]
    if present is None:
        return ChunkIndex(segments, linked.pending_deletion, linked.damaged, linked.segments)
    lost = {
        name
        for segment in segments
        for name, size in zip(segment.names(), segment.size.tolist(), strict=True)
        if present.get(packs.name_of(name)) != size
    }
    return ChunkIndex(
        segments, unusable=linked.pending_deletion | linked.damaged | lost, names=linked.segments
    )


def read_index_segments(
    store: Store, keys: WriterKeys, names: Sequence[str]
) -> Iterator[indexes.IndexSegment]:
    """In order, a few at a time in parallel. Raises DamageError as `read_index_segment` does."""
    at_once = _READERS if parallel(store) > 1 else 1
    yield from in_order(lambda name: read_index_segment(store, keys, name), names, threads=at_once)


def read_index_segment(store: Store, keys: WriterKeys, name: str) -> indexes.IndexSegment:
    """name: hex digest. Raises DamageError when it is missing or changed."""
    object = indexes.name_of(name)
    try:
        data = store.read(object)
    except MissingError as error:
        raise damaged(object, "it is missing") from error
    if digest_of(data) != name:
        raise damaged(object, "its SHA-256 is not its name")
    return indexes.IndexSegment.open(keys, data, object)
