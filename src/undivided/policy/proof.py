"""Which points are proven: those that a recovery has brought back and seen working."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def proven(recoveries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Ids of the points that the recoveries of one service prove. recoveries: records of the vault's log.

    A recovery proves its point when it succeeded and every check passed. A recovery without checks (it only
    wrote a directory, or the service has none) counts as long as no other recovery had any.
    """
    succeeded = [r for r in recoveries if r.get("ok") and all(c.get("ok") for c in r.get("checks", ()))]
    checked = {str(r["point"]) for r in succeeded if r.get("checks")}
    return checked or {str(r["point"]) for r in succeeded}
