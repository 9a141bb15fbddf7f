"""`undivided find`: which points have a file, and in which versions."""

from __future__ import annotations

from itertools import chain

from ..host.names import shown
from ..model.entries import Kind
from ..model.times import local
from ..operations.find import FileVersion
from ..operations.find import find as search
from .options import COMMON, Common
from .output import emit, long_table, size, write_json_list

_HEAD = ["COMPONENT", "PATH", "SIZE ", "CHANGED", "FIRST POINT", "LAST POINT", "POINTS "]


def find(pattern: str, service: str | None = None, /, *, common: Common = COMMON) -> int:
    """Find files by name across points.

    Each version is shown with the first and the last point that have it, as
    it is found: component by component, versions that ended first.
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
    found = search(common.open(), pattern, service)
    if common.json:
        write_json_list("versions", (version.as_record() for version in found))
        return 0
    lines = long_table(_HEAD, map(_row, found))
    first = next(lines, "No point has a file of that name.")
    emit(False, {}, chain([first], lines))
    return 0


def _row(found: FileVersion) -> list[str]:
    version = found.version
    return [
        found.component,
        shown(version.path),
        "-" if version.kind is Kind.DIRECTORY else size(version.size),
        local(version.mtime_ns),
        found.first.point,
        found.last.point,
        str(found.points),
    ]
