"""`undivided policy …`: what a service's policy means in points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from ..config.option_values import parse_keep_rules, parse_seconds
from ..model.durations import format_duration
from ..operations.simulate import Simulation
from ..operations.simulate import simulate as simulated
from .decisions import lines_of
from .options import COMMON, Common
from .output import NO_SERVICE, emit, table


def simulate(
    service: str | None = None,
    /,
    *,
    keep: Annotated[list[str] | None, Parameter(metavar="RULE")] = None,
    mark: Annotated[str | None, Parameter(metavar="TIME")] = None,
    over: Annotated[str, Parameter(metavar="TIME")] = "400d",
    common: Common = COMMON,
) -> int:
    """Show which points would stay, and why, without changing any.

    First for today's points, then for points at a steady interval over a
    long time. `undivided prune` expires points by the same rules.

    Example: undivided policy simulate portal --keep daily=30 --keep within=2d

    Parameters
    ----------
    service:
        Only this one; all that are applied here when left out.
    keep:
        RULE=COUNT, or within=2d: try these rules instead of the service's own.
    mark:
        Interval between points; when left out, that of the service file, else of the points so far.
    over:
        For how long points are taken.
    """
    found = simulated(
        common.open(),
        service,
        keep=parse_keep_rules(keep or []),
        mark=parse_seconds("--mark", mark) if mark else None,
        over=parse_seconds("--over", over),
    )
    lines: list[str] = []
    for one in found:
        lines += [*lines_of(one.decision), *_outlook(one), ""]
    emit(common.json, {"services": [one.as_record() for one in found]}, lines[:-1] or [NO_SERVICE])
    return 0


def _outlook(one: Simulation) -> Iterator[str]:
    steady = one.steady
    yield (
        f"  a point every {format_duration(one.every)} for {format_duration(one.over)}: {steady.kept} of "
        f"{steady.taken} stay, the oldest is {format_duration(steady.oldest)} old"
    )
    head = ["RULE", "POINTS ", "BY NO OTHER ", "OLDEST "]
    rows = [[s.rule, str(s.points), str(s.alone), format_duration(s.oldest)] for s in steady.shares]
    yield from (f"    {line}" for line in table(head, rows))
