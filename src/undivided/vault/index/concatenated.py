"""Several arrays that are indexed as if they were one, without a copy."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import overload

import numpy as np

from ...model.columns import Array


class ConcatenatedArray:
    """Parts of one type, end to end. shifts: per part, a number that is added to each value read from it."""

    def __init__(self, parts: Sequence[Array], shifts: Sequence[int] | None = None) -> None:
        self._parts = list(parts)
        self._shifts = list(shifts) if shifts is not None else [0] * len(self._parts)
        ends = np.cumsum([0, *(len(part) for part in self._parts)])
        self._starts, self._length = ends[:-1], int(ends[-1])
        self._bisected: list[int] = self._starts.tolist()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, places: int) -> int: ...
    @overload
    def __getitem__(self, places: Array) -> Array: ...
    def __getitem__(self, places: int | Array) -> int | Array:
        """One value, or the values at many places."""
        if not isinstance(places, np.ndarray):
            part = bisect_right(self._bisected, places) - 1
            return int(self._parts[part][places - self._bisected[part]]) + self._shifts[part]
        if len(self._parts) == 1:
            values: Array = self._parts[0][places]
            return values + values.dtype.type(self._shifts[0]) if self._shifts[0] else values
        if not self._parts:
            return np.zeros(len(places), np.uint32)
        found = np.empty(len(places), self._parts[0].dtype)
        owner = np.searchsorted(self._starts, places, side="right") - 1
        for part in np.flatnonzero(np.bincount(owner, minlength=0)).tolist():
            chosen = owner == part
            found[chosen] = self._parts[part][places[chosen] - self._bisected[part]]
            if self._shifts[part]:
                found[chosen] += found.dtype.type(self._shifts[part])
        return found
