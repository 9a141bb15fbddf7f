"""Which points are proven: those that a recovery has brought back, so that somebody saw them work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def proven(recoveries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Ids of the points that the recoveries of one service prove. recoveries: records of the vault's log.

    A recovery proves its point when it went well and every check passed. One that ran no check (it only wrote
    a directory, or the service has none) counts as long as no other has been checked.
    """
    went_well = [r for r in recoveries if r.get("ok") and all(c.get("ok") for c in r.get("checks", ()))]
    checked = {str(r["point"]) for r in went_well if r.get("checks")}
    return checked or {str(r["point"]) for r in went_well}
