"""`undivided verify`: whether the stored bytes are the bytes that were written."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.option_values import parse_seconds
from ..host.names import shown
from ..operations.verify import Verified
from ..operations.verify import verify as check
from .options import COMMON, Common
from .output import emit, plural, size
from .progress import progress
from .verification import age_line


def verify(
    *,
    read_data: bool = False,
    points: Annotated[tuple[str, ...], Parameter(metavar="POINT")] = (),
    for_: Annotated[str | None, Parameter(name="--for", metavar="TIME")] = None,
    within: Annotated[str | None, Parameter(metavar="TIME")] = None,
    common: Common = COMMON,
) -> int:
    """Check that the stored bytes are the bytes that were written.

    Damage is reported down to points and files, and the next protection
    stores the data again where the source still has it. Exit code 5 means
    that something is damaged. Packs read longest ago come first, and an
    interrupted run is resumed by the next one.

    Example: undivided verify --read-data --for 30m --within 30d

    Parameters
    ----------
    read_data:
        Read and check every byte, not only that all objects exist and fit together.
    points:
        Decode whole points as a recovery would: latest, an id, or a number of points decoded longest ago.
        May be repeated.
    for_:
        Stop reading after this time: 30m, 8h.
    within:
        Skip packs that were read within this time: 30d.
    """
    limit = parse_seconds("--for", for_) if for_ is not None else None
    fresh = parse_seconds("--within", within) if within is not None else 0.0
    workspace = common.open()
    workspace.ask_early()
    with progress("verify") as report:
        found = check(
            workspace, read_data=read_data, points=points, within=fresh, limit=limit, progress=report
        )
    emit(common.json, found.as_record(), _lines(found))
    return found.exit_code


def _lines(found: Verified) -> list[str]:
    report = found.report
    lines = [f"note: {note}" for note in found.notes]
    if report.decoded:
        lines.append(f"{plural(len(report.decoded), 'point')} decoded completely")
    if report.left:
        lines.append(f"time is up with {plural(report.left, 'pack')} left: the next run begins there")
    lines.append(age_line(report.verification_age))
    if not found.damaged:
        depth = f"{size(report.bytes)} read" if found.read_data else "add --read-data to read every byte"
        return [f"nothing is damaged: {plural(report.objects, 'object')} checked, {depth}", *lines]
    for damage in found.damaged:
        lines.append(f"damaged: {damage.object}: {damage.cause}")
        lines += [f"  {component}: {shown(path)}" for component, path in damage.files]
    return [*lines, f"points affected: {', '.join(found.points_affected) or 'none'}"]
