"""`undivided pin` and `unpin`: points that no prune forgets."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.errors import UsageError
from .options import COMMON, Common
from .output import emit


def pin(service: str, /, *points: str, common: Common = COMMON) -> int:
    """Keep points, whatever the keep rules say.

    They stay until they are unpinned. Needs no passphrase.

    Example: undivided pin portal 20310131T140500-5f2c81

    Parameters
    ----------
    service:
        Its name.
    points:
        Ids or their beginnings, latest, or times: of each the last point not after it.
    """
    return _change(service, points, True, common)


def unpin(service: str, /, *points: str, common: Common = COMMON) -> int:
    """Let the keep rules decide about points again.

    Needs the passphrase: what a source may not forget, it may not unpin.

    Example: undivided unpin portal 20310131T140500-5f2c81

    Parameters
    ----------
    service:
        Its name.
    points:
        Ids or their beginnings, latest, or times: of each the last point not after it.
    """
    return _change(service, points, False, common)


def _change(service: str, wanted: Sequence[str], pinned: bool, common: Common) -> int:
    context = common.open()
    context.known_service(service)
    if not wanted:
        hint = f"`undivided points {service}` lists them."
        raise UsageError("no point given", doing=f"{'pin' if pinned else 'unpin'} {service}", hint=hint)
    points = [context.catalog.point(service, at).id for at in wanted]
    before = context.catalog.pinned()
    changed = [point for point in dict.fromkeys(points) if (point in before) != pinned]
    for point in changed:
        context.vault.append("pin", {"point": point, "pinned": pinned})
    context.catalog.follow(context.vault)
    record = {"service": service, "points": points, "pinned": pinned, "changed": changed}
    did = "pinned" if pinned else "unpinned"
    lines = (f"{service}: {p} {'is' if p in changed else 'was already'} {did}" for p in points)
    emit(common.json, record, lines)
    return 0
