"""Missing chunks, as columns: which damage took each of them.

A vault may lose as many chunks as it has, so there is no Python object per chunk: 32 bytes of id and 4 of
number. They are sorted before the first lookup.
"""

from __future__ import annotations

import numpy as np

from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from .report import Damage

_ID = f"S{CHUNK_ID_BYTES}"  # compares as bytes do: all are of this length, so padding does not matter


class MissingChunks:
    def __init__(self) -> None:
        self._damages: list[Damage] = []
        self._ids: Array = np.zeros(0, _ID)
        self._owners: Array = np.zeros(0, np.int32)
        self._added: list[Array] = []

    def __len__(self) -> int:
        return len(self._ids) + sum(map(len, self._added))

    def add(self, damage: Damage, ids: Array) -> None:
        """ids: u1[32n]."""
        self._damages.append(damage)
        self._added.append(_as_ids(ids))

    def have(self, ids: Array) -> Array:
        """bool[n]: whether each chunk was lost."""
        return self._places(_as_ids(ids))[1]

    def of(self, chunk: Array) -> Damage | None:
        """The damage that took one chunk."""
        place, found = self._places(_as_ids(chunk))
        return self._damages[int(self._owners[place[0]])] if found[0] else None

    def taken_by(self, damage: Damage) -> Array:
        """The chunks that a damage took: u1[32n]."""
        self._sort()
        numbers = [number for number, known in enumerate(self._damages) if known is damage]
        return self._ids[np.isin(self._owners, numbers)].view(np.uint8)

    def _places(self, wanted: Array) -> tuple[Array, Array]:
        self._sort()
        if not len(self._ids):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
        place = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        return place, self._ids[place] == wanted

    def _sort(self) -> None:
        if not self._added:
            return
        first = len(self._damages) - len(self._added)
        owners = [np.full(len(ids), first + i, np.int32) for i, ids in enumerate(self._added)]
        ids = np.concatenate([self._ids, *self._added])
        order = np.argsort(ids, kind="stable")
        self._ids, self._owners = ids[order], np.concatenate([self._owners, *owners])[order]
        self._added = []


def _as_ids(ids: Array) -> Array:
    return np.ascontiguousarray(ids).reshape(-1).view(_ID)
