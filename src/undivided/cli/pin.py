"""`undivided pin` and `unpin`: points that no prune expires."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.points import set_pins
from .options import COMMON, Common
from .output import emit


def pin(service: str, /, *points: str, common: Common = COMMON) -> int:
    """Keep points, whatever the keep rules say.

    They stay until they are unpinned. Needs no passphrase.

    Example: undivided pin portal 20310131T140500-5f2c81

    Parameters
    ----------
    service:
        Name of the service.
    points:
        Ids or their beginnings, latest, or times: of each the last point not after it.
    """
    return _change(service, points, True, common)


def unpin(service: str, /, *points: str, common: Common = COMMON) -> int:
    """Let the keep rules decide about points again.

    Needs the passphrase: a machine that may only protect must not make
    points expire.

    Example: undivided unpin portal 20310131T140500-5f2c81

    Parameters
    ----------
    service:
        Name of the service.
    points:
        Ids or their beginnings, latest, or times: of each the last point not after it.
    """
    return _change(service, points, False, common)


def _change(service: str, points: Sequence[str], pinned: bool, common: Common) -> int:
    done = set_pins(common.open(), service, points, pinned=pinned)
    state = "pinned" if pinned else "unpinned"
    lines = (f"{service}: {p} {'is' if p in done.changed else 'was already'} {state}" for p in done.points)
    emit(common.json, done.as_record(), lines)
    return 0
