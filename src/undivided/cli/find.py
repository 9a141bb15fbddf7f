"""`undivided find`: which points have that file, and in which version?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..model.times import iso_utc, local
from ..operations.file_versions import Version, versions, within
from ..operations.workspace import Workspace
from ..tree.patterns import Patterns
from .options import COMMON, Common
from .output import emit, size, table, text

if TYPE_CHECKING:
    from ..catalog.catalog import FollowMark


def find(pattern: str, service: str | None = None, /, *, common: Common = COMMON) -> int:
    """Find files by name across points.

    Each version is told with the first and the last point that it is in.
    A pattern without a slash matches names in any directory; with one,
    paths from the component's root.

    Example: undivided find "invoice-*.pdf" portal

    Parameters
    ----------
    pattern:
        * any characters but /, ** any directories, ? one character, [ab] one of a set.
    service:
        Only this service's points; all services' when left out.
    """
    context = common.open()
    if service is not None:
        context.known_service(service)
    names = [service] if service is not None else context.catalog.services()
    found = [hit for name in names for hit in _search(context, name, pattern)]
    rows = [
        [
            hit["component"],
            hit["path"],
            "-" if hit["type"] == "directory" else size(hit["size"]),
            local(hit["mtime_ns"]),
            hit["first"]["point"],
            hit["last"]["point"],
            str(hit["points"]),
        ]
        for hit in found
    ]
    head = ["COMPONENT", "PATH", "SIZE ", "CHANGED", "FIRST POINT", "LAST POINT", "POINTS "]
    nothing = ["No point has a file of that name."]
    emit(common.json, {"versions": found}, table(head, rows) if rows else nothing)
    return 0


def _search(context: Workspace, service: str, pattern: str) -> Iterator[dict[str, Any]]:
    only_directories = pattern.endswith("/")
    patterns = Patterns(exclude=[pattern])

    def wanted(path: bytes, directory: bool) -> bool:
        return (directory or not only_directories) and patterns.excludes(path, directory=only_directories)

    reader = context.vault.reader()
    for (component, timeline), marks in context.catalog.timelines(service).items():
        numbers = [mark.number for mark in marks]
        hits = sorted(versions(reader.history(timeline), wanted), key=lambda v: (v.row.path, v.begin))
        for version in hits:
            first, end = within(version, numbers)
            if first < end:
                yield _record(service, component, version, marks[first:end])


def _record(service: str, component: str, version: Version, marks: list[FollowMark]) -> dict[str, Any]:
    row = version.row
    return {
        "service": service,
        "component": component,
        "path": text(row.path),
        "type": row.kind.name.lower(),
        "size": row.size,
        "mtime": iso_utc(row.mtime_ns),
        "mtime_ns": row.mtime_ns,
        "first": {"point": marks[0].point, "time": iso_utc(marks[0].time_ns)},
        "last": {"point": marks[-1].point, "time": iso_utc(marks[-1].time_ns)},
        "points": len(marks),
    }
