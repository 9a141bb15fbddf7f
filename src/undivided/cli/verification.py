"""How long ago the vault was verified, in one sentence: for `verify`, `status` and `vault info`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..model.durations import format_duration
from .output import plural

if TYPE_CHECKING:
    from ..vault.verify import VerificationAge

_NEVER = "vault data has never been verified. Run: undivided verify --read-data"


def age_line(age: VerificationAge | None) -> str:
    """age: None when data was never verified."""
    if age is None or age.packs == age.never:
        return _NEVER
    if age.never:
        return f"{age.never} of {plural(age.packs, 'pack')} of the vault were never verified"
    oldest, median = _since(age.oldest_ns), _since(age.median_ns)
    return f"every pack of the vault was verified within {oldest}, half of them within {median}"


def _since(time_ns: int) -> str:
    return format_duration(max(1, (time.time_ns() - time_ns) // 10**9))
