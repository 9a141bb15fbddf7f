"""`undivided diff`: what changed between two points, or between a point and now."""

from __future__ import annotations

from collections.abc import Iterator

from ..host.names import shown
from ..operations.diff import Diff
from ..operations.diff import diff as compare
from .options import COMMON, Common
from .output import emit

_SIGNS = {"added": "+", "removed": "-", "changed": "M"}


def diff(service: str, before: str, after: str = "now", /, *, common: Common = COMMON) -> int:
    """Compare two points, or a point with now.

    With now, a files component is compared with its tree as it is; for
    other kinds only the positions are shown.

    Example: undivided diff portal "1 hour ago" now

    Parameters
    ----------
    service:
        Name of the service.
    before:
        The earlier point: latest, an id or its beginning, or a time.
    after:
        The later point, in the same notation, or now.
    """
    found = compare(common.open(), service, before, after)
    emit(common.json, found.as_record(), _lines(found))
    return 0


def _lines(found: Diff) -> Iterator[str]:
    for part in found.components:
        before = part.before.position.text if part.before else "-"
        after = part.after.position.text if part.after else "now"
        if part.changes is None:
            yield f"{part.name}: {part.kind}, {before} → {after}; take a point to compare its content"
            continue
        counts = ", ".join(f"{count} {kind}" for kind, count in part.counts().items())
        yield f"{part.name}: {counts} ({before} → {after})"
        yield from (f"  {_SIGNS[change.kind]} {shown(change.path)}" for change in part.changes)
