"""How much of the vault was verified how long ago: for `verify`, `status` and `vault info`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..cli.output import plural
from ..model.durations import format_duration
from ..model.times import iso_utc

if TYPE_CHECKING:
    from ..vault.vault import Vault
    from ..vault.verify import VerificationAge


NEVER = "no stored byte was read again yet: `undivided verify --read-data` does"


def proven_record(proven: VerificationAge) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "packs": proven.packs,
        "never": proven.never,
        "oldest": iso_utc(proven.oldest_ns) if proven.oldest_ns else None,
        "median": iso_utc(proven.median_ns) if proven.median_ns else None,
        "oldest_seconds": _age(proven.oldest_ns),
        "median_seconds": _age(proven.median_ns),
    }


def vault_record(vault: Vault) -> dict[str, Any] | None:
    """As of the newest verification of data; None when there was none."""
    from ..vault.verify import verification_age

    known = verification_age(vault)
    return {"time": iso_utc(known[0]), **proven_record(known[1])} if known else None


def proven_line(record: Mapping[str, Any]) -> str:
    """One sentence for people."""
    if record["packs"] == record["never"]:
        return NEVER
    if record["never"]:
        return f"{record['never']} of {plural(record['packs'], 'pack')} never read again"
    oldest, median = (format_duration(record[key]) for key in ("oldest_seconds", "median_seconds"))
    return f"every pack was read again: the oldest proof is {oldest} old, half are within {median}"


def _age(time_ns: int) -> int | None:
    """Seconds since then; at least 1, None for never."""
    return max(1, (time.time_ns() - time_ns) // 10**9) if time_ns else None
