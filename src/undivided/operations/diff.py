"""diff: what changed between two points, or between a point and now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config.files import file_errors
from ..host.names import shown
from ..host.rooted import RootedDirectory
from ..model.times import iso_utc
from ..tree.compare import PathChange, compare
from ..tree.patterns import Patterns
from ..tree.walk import walk
from .workspace import Workspace

if TYPE_CHECKING:
    from ..model.entries import Entries
    from ..model.point import ComponentPoint, RecoveryPoint
    from ..model.service import Component
    from ..vault.reading import Reader

CHANGES = ("added", "removed", "changed")


@dataclass(frozen=True)
class ComponentDiff:
    """One component. before, after: its parts in the points; None where it has none, or after is now.
    changes: None when it was not compared, because only a point shows the content of its kind."""

    name: str
    before: ComponentPoint | None
    after: ComponentPoint | None
    changes: list[PathChange] | None

    @property
    def kind(self) -> str | None:
        part = self.before or self.after
        return part.kind if part else None

    def counts(self) -> dict[str, int]:
        return {kind: sum(c.kind == kind for c in self.changes or ()) for kind in CHANGES}

    def as_record(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "position_before": self.before.position.text if self.before else None,
            "position_after": self.after.position.text if self.after else None,
            "compared": self.changes is not None,
            **(self.counts() if self.changes is not None else {}),
        }


@dataclass(frozen=True)
class Diff:
    """after: None for now."""

    service: str
    before: RecoveryPoint
    after: RecoveryPoint | None
    components: tuple[ComponentDiff, ...]

    def as_record(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "before": _point(self.before),
            "after": _point(self.after) if self.after else "now",
            "components": {c.name: c.as_record() for c in self.components},
            "changes": [_change(c.name, change) for c in self.components for change in c.changes or ()],
        }


def diff(workspace: Workspace, service: str, before: str, after: str = "now") -> Diff:
    """before, after: latest, an id, the beginning of an id, or a time; after may be now. Then a files
    component is compared with its tree, and of other kinds only the positions are known."""
    workspace.known_service(service)
    first = workspace.catalog.point(service, before)
    second = None if after == "now" else workspace.catalog.point(service, after)
    described = workspace.service(service) if second is None else workspace.service_at(second)
    reader = workspace.vault.reader()
    components = []
    for name in dict.fromkeys([*first.components, *(second or described).components]):
        part = first.components.get(name)
        later = second.components.get(name) if second else None
        if second:
            changes: list[PathChange] | None = _between(reader, part, later)
        else:
            changes = _with_now(reader, part, described.components.get(name))
        components.append(ComponentDiff(name, part, later, changes))
    return Diff(service, first, second, tuple(components))


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


def live_tree(component: Component) -> Entries:
    """A files component as it is now, with the patterns that choose its files when it is protected."""
    path = str(component.options["path"])
    patterns = Patterns(component.get("include", ()), component.get("exclude", ()))
    one_filesystem = component.get("one_filesystem", False)
    with file_errors(f"read {path}"), RootedDirectory(os.fsencode(path)) as root:
        return walk(root, patterns=patterns, one_filesystem=one_filesystem).entries


def _entries(reader: Reader, part: ComponentPoint | None) -> Entries:
    from ..recovery.vault_source import VaultSource

    if part is None:
        from ..model.entries import Entries

        return Entries.none()
    return VaultSource(reader, part).entries


def _point(point: RecoveryPoint) -> dict[str, str]:
    return {"point": point.id, "time": iso_utc(point.time_ns)}


def _change(component: str, change: PathChange) -> dict[str, Any]:
    return {
        "component": component,
        "change": change.kind,
        "path": shown(change.path),
        "size_before": change.before,
        "size_after": change.after,
    }
