"""`undivided catalog …`: the cache of the vault's log."""

from __future__ import annotations

from ..operations.catalog import rebuild_catalog
from .options import COMMON, Common
from .output import emit, plural


def rebuild(*, common: Common = COMMON) -> int:
    """Rebuild the catalog from the vault.

    The catalog is a cache: its old content does not matter.

    Example: undivided catalog rebuild
    """
    made = rebuild_catalog(common.open())
    points = plural(made.points, "point")
    emit(common.json, made.as_record(), [f"catalog rebuilt to log entry {made.entries}: {points}"])
    return 0
