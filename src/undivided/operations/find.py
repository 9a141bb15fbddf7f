"""find: which points have a file, and in which versions. Versions are reported as they are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..catalog.file_versions import Version, Wanted, versions, within
from ..catalog.timelines import PointPlace, point_at, point_numbers, timelines_of
from ..host.names import shown
from ..model.times import iso_utc
from ..tree.patterns import Patterns
from .workspace import Workspace


class FileVersion(NamedTuple):
    """One version of a file. first, last: the first and the last point that have it; points: how many have
    it."""

    service: str
    component: str
    version: Version
    first: PointPlace
    last: PointPlace
    points: int

    def as_record(self) -> dict[str, Any]:
        version = self.version
        return {
            "service": self.service,
            "component": self.component,
            "path": shown(version.path),
            "type": version.kind.name.lower(),
            "size": version.size,
            "mtime": iso_utc(version.mtime_ns),
            "mtime_ns": version.mtime_ns,
            "first": {"point": self.first.point, "time": iso_utc(self.first.time_ns)},
            "last": {"point": self.last.point, "time": iso_utc(self.last.time_ns)},
            "points": self.points,
        }


def find(workspace: Workspace, pattern: str, service: str | None = None) -> Iterator[FileVersion]:
    """Versions of the files that match, of one service or of all: component by component, the ended versions
    first. Only columns of the matching paths of one component are in memory. Needs the passphrase.

    Raises UsageError at once for an unknown service or a wrong pattern.
    """
    if service is not None:
        workspace.known_service(service)
    names = [service] if service is not None else workspace.catalog.services()
    patterns, only_directories = Patterns(exclude=[pattern]), pattern.endswith("/")

    def wanted(path: bytes, directory: bool) -> bool:
        return (directory or not only_directories) and patterns.excludes(path, directory=only_directories)

    return (found for name in names for found in _of_service(workspace, name, wanted))


def _of_service(workspace: Workspace, service: str, wanted: Wanted) -> Iterator[FileVersion]:
    catalog, reader = workspace.catalog, workspace.vault.reader()
    for timeline in timelines_of(catalog, service):
        numbers = point_numbers(catalog, service, timeline)
        for version in versions(reader.history(timeline.timeline), wanted):
            first, end = within(version, numbers)
            if first < end:
                places = point_at(catalog, numbers[first]), point_at(catalog, numbers[end - 1])
                yield FileVersion(service, timeline.component, version, *places, end - first)
