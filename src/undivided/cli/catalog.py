"""`undivided catalog …`: the cache of what the vault holds."""

from __future__ import annotations

from .options import COMMON, Common
from .output import emit, plural


def rebuild(*, common: Common = COMMON) -> int:
    """Make the catalog anew from the vault.

    It is a cache: what it held before does not matter.

    Example: undivided catalog rebuild
    """
    context = common.open()
    made = context.rebuild_catalog()
    points = len(made.points())
    number, digest = made.head
    record = {"entries": number, "head": digest, "points": points, "services": made.services()}
    emit(common.json, record, [f"catalog rebuilt to log entry {number}: {plural(points, 'point')}"])
    return 0
