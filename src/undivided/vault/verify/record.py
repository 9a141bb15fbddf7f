"""What was verified, and how long ago: kept in the log, so that a vault's proof moves with it.

While a verification reads, it appends an entry "verification" every so often, with the packs it has looked at
since the last one. A run that is killed loses no more than that; the next one begins with what was looked at
longest ago. Packs are named by the first 8 bytes of their names: 8 bytes per pack and round are all it costs,
and two packs alike in them would merely share an age.

    depth, packs: base64 of 8 bytes each, points: [ids], damaged: [names], verification_age: see report.py

Each entry of the log leads to the newest of these (vault/log/log.py), so an age is found without walking the
log."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np

from ...model.columns import Array
from ...model.errors import DamageError
from ..format.log_entry import LogEntry
from ..log.log import Log
from ..log.slot import VERIFIED
from .report import VerificationAge

PREFIX_BYTES = 8
NEVER = 0
"""The time of what was never verified, or not within the horizon."""
HORIZON_NS = 400 * 86400 * 10**9


@dataclass(frozen=True)
class Ages:
    """When things were last verified. packs: i8[n], UTC ns, of the n packs asked about; points: id → UTC ns.
    NEVER where no entry names it."""

    packs: Array
    points: dict[str, int]


def ages(log: Log, packs: Array, now_ns: int) -> Ages:
    """packs: u1[n,32], their names. Reads the entries that it takes to have seen every pack, newest first,
    and none from before the horizon: there is always a new pack that none of them names."""
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
    """Appends what was looked at. packs: u1[n,32], read byte by byte; points: decoded; damaged: what was
    found so; proven: how the whole vault stands with it."""
    body = {
        "depth": "data" if len(packs) else "points",
        "packs": base64.b64encode(prefixes(packs).astype(">u8").tobytes()).decode(),
        "points": list(points),
        "damaged": list(damaged),
        "verification_age": asdict(age),
    }
    return log.append(VERIFIED, body)


def last_verification(log: Log) -> tuple[int, VerificationAge] | None:
    """UTC ns of the newest record and how the vault stood then; None when it was never verified."""
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
    """Up to one that cannot be read: what only those before it looked at counts as never verified."""
    with suppress(DamageError):
        yield from entries


def prefixes(packs: Array) -> Array:
    """u8[n] of u1[n,32]."""
    return np.ascontiguousarray(packs.reshape(-1, 32)[:, :PREFIX_BYTES]).view(">u8").ravel().astype(np.uint64)
