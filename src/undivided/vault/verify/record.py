"""The verification record: what was verified, and when, in the log, so that it stays with the vault.

While a verification reads, it appends an entry "verification" from time to time, with the packs that it has
read since the last one. A run that is killed loses no more than that, and the next run begins with the packs
whose verification is oldest. Packs are named by the first 8 bytes of their names: that is all an entry costs
per pack, and two packs with the same 8 bytes would merely share an age.

    depth, packs: base64 of 8 bytes each, points: [ids], damaged: [names], verification_age: see report.py

Every entry of the log leads to the newest of these (vault/log/slot.py), so an age is found without walking
the log.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np

from ...model.columns import Array
from ...model.errors import DamageError
from ...model.log_kinds import LogKind
from ..format.log_entry import LogEntry
from ..log.log import Log
from .report import VerificationAge

PREFIX_BYTES = 8
NEVER = 0
"""The time of a pack or point that was never verified, or not within the horizon."""
HORIZON_NS = 400 * 86400 * 10**9


@dataclass(frozen=True)
class Ages:
    """When things were last verified. packs: i8[n], UTC ns, of the n requested packs; points: id → UTC ns.
    NEVER where no entry names it."""

    packs: Array
    points: dict[str, int]


def ages(log: Log, packs: Array, now_ns: int) -> Ages:
    """packs: u1[n,32], their names. Reads entries, newest first, until every pack was seen, and none from
    before the horizon: there is always a new pack that no entry names."""
    wanted = prefixes(packs)
    times = np.full(len(wanted), NEVER, np.int64)
    open_ = np.arange(len(wanted))
    points: dict[str, int] = {}
    for entry in _readable(verified_entries(log)):
        if entry.time_ns < now_ns - HORIZON_NS:
            break
        for point in entry.body["points"]:
            points.setdefault(point, entry.time_ns)
        seen = np.sort(np.frombuffer(base64.b64decode(entry.body["packs"]), ">u8"))
        if len(seen):
            place = np.minimum(np.searchsorted(seen, wanted[open_]), len(seen) - 1)
            hit = seen[place] == wanted[open_]
            times[open_[hit]] = entry.time_ns
            open_ = open_[~hit]
        if not len(open_):
            break
    return Ages(times, points)


def record_verification(
    log: Log, packs: Array, points: Sequence[str], damaged: Sequence[str], age: VerificationAge
) -> LogEntry:
    """Appends a record. packs: u1[n,32], read completely; points: decoded; damaged: packs that were found so;
    age: of the whole vault, with this record."""
    body = {
        "depth": "data" if len(packs) else "points",
        "packs": base64.b64encode(prefixes(packs).astype(">u8").tobytes()).decode(),
        "points": list(points),
        "damaged": list(damaged),
        "verification_age": asdict(age),
    }
    return log.append(LogKind.VERIFICATION, body)


def last_verification(log: Log) -> tuple[int, VerificationAge] | None:
    """UTC ns of the newest record, and the age of all verifications as of then. None when there is none."""
    entry = next(verified_entries(log), None)
    return (entry.time_ns, VerificationAge(**entry.body["verification_age"])) if entry else None


def verified_entries(log: Log) -> Iterator[LogEntry]:
    """Newest first."""
    last = log.last
    number = int(last.links["verified"]) if last else 0
    while number:
        yield log.entry(number)
        number = int(log.entry(number - 1).links["verified"]) if number > 1 else 0


def _readable(entries: Iterator[LogEntry]) -> Iterator[LogEntry]:
    """The entries up to one that cannot be read: packs that only older ones name count as never verified."""
    with suppress(DamageError):
        yield from entries


def prefixes(packs: Array) -> Array:
    """u8[n] of u1[n,32]."""
    return np.ascontiguousarray(packs.reshape(-1, 32)[:, :PREFIX_BYTES]).view(">u8").ravel().astype(np.uint64)
