"""Scrub: reading every stored byte, several packs in parallel, until the time is up.

A large vault is not read in a night. So each run begins with the packs whose verification is oldest
(plan.py), and records every minute in the log what it has read (record.py). A run that is killed, or runs out
of time, is resumed by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from ...host.parallel import in_order
from ...model.columns import Array
from ...model.errors import UndividedError
from ..log.log import Log
from .pack_check import PackCheck
from .record import NEVER, Ages, record_verification
from .report import Report, VerificationAge

EVERY = 60.0
"""Seconds between two records."""


class Scrub:
    """One run over the packs of a vault. packs: u1[n,32]; known: when they were verified last; at_once: how
    many are checked in parallel. recorded: whether the log can be appended to. now: UTC ns."""

    def __init__(
        self,
        log: Log,
        packs: Array,
        known: Ages,
        report: Report,
        *,
        at_once: int,
        recorded: bool,
        now: Callable[[], int],
    ) -> None:
        self._log, self._packs, self._report, self._now = log, packs, report, now
        self._at_once = at_once
        self._recorded = recorded
        self._times = known.packs.copy()
        self._fresh: list[int] = []
        self._damaged: list[str] = []
        self._decoded: list[str] = []
        self._recorded_at = time.monotonic()

    def run(
        self, numbers: Array, check: Callable[[str], PackCheck], stop: Callable[[], bool]
    ) -> Iterator[PackCheck]:
        """Checks the packs in this order until `stop` returns True. The report gets how many were left."""
        begun = 0

        def names() -> Iterator[str]:
            nonlocal begun
            for number in numbers.tolist():
                if stop():
                    return
                begun += 1
                yield self._packs[number].tobytes().hex()

        checked = in_order(check, names(), threads=self._at_once)
        for number, found in zip(numbers.tolist(), checked, strict=False):
            self._report.read += 1
            self._report.bytes += found.bytes
            self._times[number] = self._now()
            self._fresh.append(number)
            yield found
            if found.cause:
                self._damaged.append(found.name)
            if time.monotonic() - self._recorded_at > EVERY:
                self.record()
        self._report.left += len(numbers) - begun

    def decoded(self, point: str) -> None:
        """One point was decoded completely."""
        self._decoded.append(point)
        self._report.decoded.append(point)

    def record(self) -> None:
        """Records in the log what was verified since the last record."""
        self._recorded_at = time.monotonic()
        if not self._recorded or not (self._fresh or self._decoded):
            return
        try:
            looked = self._packs[np.array(self._fresh, np.int64)]
            record_verification(self._log, looked, self._decoded, self._damaged, self.verification_age())
        except UndividedError as error:
            self._recorded = False
            self._report.notes.append(f"The verification could not be recorded: {error.cause}.")
        self._fresh, self._damaged, self._decoded = [], [], []

    def verification_age(self) -> VerificationAge:
        """Of all packs, as of now."""
        if not len(self._times):
            return VerificationAge()
        never = int((self._times == NEVER).sum())
        return VerificationAge(len(self._times), never, int(self._times.min()), int(np.median(self._times)))
