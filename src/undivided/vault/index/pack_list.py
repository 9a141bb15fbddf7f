"""The packs that the index needs, and the packs that the store lists, as columns.

A vault of a petabyte has tens of millions of packs. Here each name takes 32 bytes, in sorted order, and a
listing is compared with them while it arrives.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator

import numpy as np

from ...model.columns import Array
from ..format import pack as packs
from ..stores.base import Store
from .index import ChunkIndex

_LISTED = 1 << 16
_DIGEST = re.compile("[0-9a-f]{64}")
_NAME = "S32"  # compares like bytes: all names have this length, so padding does not matter


def pack_names(index: ChunkIndex) -> Array:
    """u1[p,32] of all packs, by their numbers."""
    parts = [np.zeros((0, 32), np.uint8), *(s.pack.reshape(-1, 32) for s in index.segments)]
    return np.concatenate(parts)


def needed_packs(index: ChunkIndex, pending_deletion: frozenset[str]) -> tuple[Array, Array]:
    """Names u1[p,32], sorted, and sizes i8[p] of the packs that the store must have."""
    names = pack_names(index)
    _, first = np.unique(names.view(_NAME).ravel(), return_index=True)
    kept = first[~among(names[first], pending_deletion)]
    return np.ascontiguousarray(names[kept]), index.sizes[kept].astype(np.int64)


def among(names: Array, chosen: Collection[str]) -> Array:
    """One bool per name: whether it is among the chosen ones (hex digests)."""
    raw = np.frombuffer(b"".join(map(bytes.fromhex, chosen)), _NAME)
    return np.isin(np.ascontiguousarray(names).view(_NAME).ravel(), raw)


def stored_sizes(store: Store, names: Array) -> Array:
    """The size of each pack as the store lists it, -1 for a missing one. names: u1[p,32], sorted."""
    sizes = np.full(len(names), -1, np.int64)
    wanted = names.view(_NAME).ravel()
    if not len(wanted):
        return sizes
    listing = listed_packs(store)
    while batch := list(itertools.islice(listing, _LISTED)):
        listed = np.frombuffer(b"".join(digest for digest, _ in batch), _NAME)
        place = np.minimum(np.searchsorted(wanted, listed), len(wanted) - 1)
        hit = wanted[place] == listed
        sizes[place[hit]] = np.array([size for _, size in batch], np.int64)[hit]
    return sizes


def listed_packs(store: Store) -> Iterator[tuple[bytes, int]]:
    """(digest, size) of every object that has the name of a pack."""
    for name, size in store.list("packs/"):
        digest = name.rpartition("/")[2]
        if _DIGEST.fullmatch(digest) and packs.name_of(digest) == name:
            yield bytes.fromhex(digest), size


def ids_in(index: ChunkIndex, number: int) -> Array:
    """The chunk ids of one pack in the index: u1[32n]. number: of the pack."""
    for segment in index.segments:
        if number < len(segment.size):
            ends = np.cumsum(segment.frames, dtype=np.int64)
            first = int(ends[number] - segment.frames[number])
            rows = np.flatnonzero((segment.frame >= first) & (segment.frame < ends[number]))
            return segment.ids(rows).ravel()
        number -= len(segment.size)
    return np.zeros(0, np.uint8)


def numbers_of(index: ChunkIndex, name: str) -> Array:
    """The numbers of a pack in the index: one, or several where segments repeat it."""
    return np.flatnonzero(among(pack_names(index), [name]))
