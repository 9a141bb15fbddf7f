"""`undivided diff`: what changed between two points, or between a point and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.times import iso_utc
from ..operations.compare import PathChange, compare, live_tree
from .options import COMMON, Common
from .output import emit, text

if TYPE_CHECKING:
    from ..model.entries import Entries
    from ..model.point import ComponentPoint, RecoveryPoint
    from ..model.service import Component
    from ..vault.reading import Reader

_SIGNS = {"added": "+", "removed": "-", "changed": "M"}


def diff(service: str, before: str, after: str = "now", /, *, common: Common = COMMON) -> int:
    """Compare two points, or a point with now.

    With now, a files component is compared with its tree as it is; of other
    kinds only the position is told.

    Example: undivided diff portal "1 hour ago" now

    Parameters
    ----------
    service:
        Whose points.
    before:
        The earlier point: latest, an id or its beginning, or a time.
    after:
        The later point, said likewise, or now.
    """
    context = common.open()
    context.known_service(service)
    first = context.catalog.point(service, before)
    second = None if after == "now" else context.catalog.point(service, after)
    described = context.service(service) if second is None else context.service_at(second)
    reader = context.vault.reader()
    changes: dict[str, list[PathChange]] = {}
    components: dict[str, dict[str, Any]] = {}
    names = dict.fromkeys([*first.components, *(second.components if second else described.components)])
    for name in names:
        part = first.components.get(name)
        later = second.components.get(name) if second else None
        found = (
            _between(reader, part, later)
            if second
            else _with_now(reader, part, described.components.get(name))
        )
        changes[name] = found or []
        components[name] = _summary(part, later, found)
    record = {
        "service": service,
        "before": _told(first),
        "after": _told(second) if second else "now",
        "components": components,
        "changes": [_record(name, change) for name, found in changes.items() for change in found],
    }
    emit(common.json, record, _story(components, changes))
    return 0


def _between(reader: Reader, before: ComponentPoint | None, after: ComponentPoint | None) -> list[PathChange]:
    if before and after and (before.timeline, before.digest) == (after.timeline, after.digest):
        return []
    return compare(_entries(reader, before), _entries(reader, after))


def _with_now(
    reader: Reader, before: ComponentPoint | None, component: Component | None
) -> list[PathChange] | None:
    """None when this kind of component cannot be compared with now."""
    if component is None or component.kind != "files":
        return None
    return compare(_entries(reader, before), live_tree(component), live=True)


def _entries(reader: Reader, part: ComponentPoint | None) -> Entries:
    from ..recovery.vault_source import VaultSource

    if part is None:
        from ..model.entries import Entries

        return Entries.none()
    return VaultSource(reader, part).entries


def _summary(
    before: ComponentPoint | None, after: ComponentPoint | None, found: list[PathChange] | None
) -> dict[str, Any]:
    counted = {kind: sum(c.kind == kind for c in found) for kind in _SIGNS} if found is not None else None
    return {
        "kind": (before or after).kind if before or after else None,  # type: ignore[union-attr]
        "position_before": before.position.text if before else None,
        "position_after": after.position.text if after else None,
        "compared": found is not None,
        **(counted or {}),
    }


def _told(point: RecoveryPoint) -> dict[str, str]:
    return {"point": point.id, "time": iso_utc(point.time_ns)}


def _record(component: str, change: PathChange) -> dict[str, Any]:
    return {
        "component": component,
        "change": change.kind,
        "path": text(change.path),
        "size_before": change.before,
        "size_after": change.after,
    }


def _story(components: dict[str, dict[str, Any]], changes: dict[str, list[PathChange]]) -> list[str]:
    lines: list[str] = []
    for name, said in components.items():
        places = f"{said['position_before'] or '-'} → {said['position_after'] or 'now'}"
        if not said["compared"]:
            lines.append(
                f"{name}: {said['kind']}, {places}; only its position is known until a point is taken"
            )
            continue
        counts = ", ".join(f"{said[kind]} {kind}" for kind in _SIGNS)
        lines.append(f"{name}: {counts} ({places})")
        lines += [f"  {_SIGNS[change.kind]} {text(change.path)}" for change in changes[name]]
    return lines
