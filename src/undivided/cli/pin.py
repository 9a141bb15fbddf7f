"""`undivided pin` and `unpin`: points that no prune forgets."""

from __future__ import annotations

from .options import COMMON, Common
from .output import emit


def pin(service: str, point: str, /, *, common: Common = COMMON) -> int:
    """Keep a point, whatever the keep rules say.

    It stays until it is unpinned. Needs no passphrase.

    Example: undivided pin portal 20310131T140500-5f2c81

    Parameters
    ----------
    service:
        Its name.
    point:
        A point's id or its beginning, latest, or a time: the last point not after it.
    """
    return _change(service, point, True, common)


def unpin(service: str, point: str, /, *, common: Common = COMMON) -> int:
    """Let the keep rules decide about a point again.

    Needs the passphrase: what a source may not forget, it may not unpin.

    Example: undivided unpin portal 20310131T140500-5f2c81

    Parameters
    ----------
    service:
        Its name.
    point:
        A point's id or its beginning, latest, or a time: the last point not after it.
    """
    return _change(service, point, False, common)


def _change(service: str, at: str, pinned: bool, common: Common) -> int:
    context = common.open()
    context.known_service(service)
    point = context.catalog.point(service, at)
    changed = (point.id in context.catalog.pinned()) != pinned
    if changed:
        context.vault.append("pin", {"point": point.id, "pinned": pinned})
        context.catalog.follow(context.vault)
    record = {"service": service, "point": point.id, "pinned": pinned, "changed": changed}
    did = "pinned" if pinned else "unpinned"
    emit(common.json, record, [f"{service}: {point.id} {'is' if changed else 'was already'} {did}"])
    return 0
