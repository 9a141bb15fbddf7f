"""Reading every stored byte: what was looked at longest ago first, several packs at once, until time is up.

A large vault is not read in a night. So each run begins where the proof is oldest, and says every minute in
the log what it has seen (record.py): a run that is killed or out of time is simply gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...host.parallel import in_order
from ...model.columns import Array
from ...model.errors import UndividedError
from ..log.log import Log
from .pack_check import PackCheck
from .record import NEVER, ages, record
from .report import Report, VerificationAge

EVERY = 60.0
"""Seconds after which what was looked at is recorded."""


class Scrub:
    """One run over the packs of a vault. packs: u1[n,32]; at_once: so many are looked at side by side.
    recorded: whether the log can be appended to. now: UTC ns."""

    def __init__(
        self,
        log: Log,
        packs: Array,
        report: Report,
        *,
        at_once: int,
        recorded: bool,
        now: Callable[[], int],
    ) -> None:
        self._log, self._packs, self._report, self._now = log, packs, report, now
        self._at_once = at_once
        self._recorded = recorded
        known = ages(log, packs, now())
        self._times, self._points = known.packs, known.points
        self._fresh: list[int] = []
        self._damaged: list[str] = []
        self._decoded: list[str] = []
        self._told = time.monotonic()

    def due(self, within: float, chosen: Array) -> Array:
        """The numbers of those of the chosen packs (bool[n]) that were not read within so many seconds, in
        the order in which they are to be read."""
        since = self._now() - int(within * 1e9)
        open_ = np.flatnonzero(chosen & ((self._times < since) | (within == 0)))
        ordered: Array = open_[np.argsort(self._times[open_], kind="stable")]
        return ordered

    def points_due(self, points: Sequence[str], count: int) -> list[str]:
        """Of the points, oldest first, the `count` that were decoded longest ago; of equals the newest."""
        newest_first = list(points)[::-1]
        return sorted(newest_first, key=lambda point: self._points.get(point, NEVER))[:count]

    def run(
        self, numbers: Array, inspect: Callable[[str], PackCheck], stop: Callable[[], bool]
    ) -> Iterator[PackCheck]:
        """Looks at the packs in this order until `stop` says so. The report gets how many were left."""
        begun = 0

        def names() -> Iterator[str]:
            nonlocal begun
            for number in numbers.tolist():
                if stop():
                    return
                begun += 1
                yield self._packs[number].tobytes().hex()

        looked = in_order(inspect, names(), threads=self._at_once)
        for number, found in zip(numbers.tolist(), looked, strict=False):
            self._report.read += 1
            self._report.bytes += found.bytes
            self._times[number] = self._now()
            self._fresh.append(number)
            yield found
            if found.cause:
                self._damaged.append(found.name)
            if time.monotonic() - self._told > EVERY:
                self.tell()
        self._report.left += len(numbers) - begun

    def decoded(self, point: str) -> None:
        """One point was decoded wholly."""
        self._points[point] = self._now()
        self._decoded.append(point)
        self._report.decoded.append(point)

    def tell(self) -> None:
        """Records what was looked at since the last time."""
        self._told = time.monotonic()
        if not self._recorded or not (self._fresh or self._decoded):
            return
        try:
            looked = self._packs[np.array(self._fresh, np.int64)]
            record(self._log, looked, self._decoded, self._damaged, self.proven())
        except UndividedError as error:
            self._recorded = False
            self._report.notes.append(f"What was looked at could not be recorded: {error.cause}.")
        self._fresh, self._damaged, self._decoded = [], [], []

    def proven(self) -> VerificationAge:
        """As of now, for all packs."""
        if not len(self._times):
            return VerificationAge()
        never = int((self._times == NEVER).sum())
        return VerificationAge(len(self._times), never, int(self._times.min()), int(np.median(self._times)))
