"""What would be expired, and why the rest stays: the question behind `prune` and `policy simulate`.

The catalog says which points there are, the service file what shall stay, policy/ decides; nothing here does
anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog.point_history import PointHistory, lives, times_of_log
from ..cli.output import plural, table
from ..model.columns import Array
from ..model.durations import format_duration
from ..model.times import iso_utc, local
from ..policy import anomalies as anomaly
from ..policy.anomalies import Anomaly
from ..policy.keep import Kept, Points, Rules, keep
from ..policy.proof import proven

if TYPE_CHECKING:
    from ..catalog.catalog import Catalog
    from ..model.service import Policy


ASKED = "asked for"
"""Why a point goes whatever the rules say."""


@dataclass(frozen=True)
class Decision:
    """About one service. lives: its points in the order of the log; kept: row by row why each stays; asked:
    ids of those that go because somebody named them. anomalies: why none of the others is to be expired
    for now; there are none where none would be."""

    service: str
    rules: Rules
    lives: PointHistory
    kept: Kept
    asked: Collection[str]
    anomalies: Sequence[Anomaly]

    @property
    def expired(self) -> list[str]:
        """Ids, in the order of the log."""
        return [self.lives.ids[row] for row in np.flatnonzero(~self.kept.kept).tolist()]

    def points(self) -> Iterator[dict[str, Any]]:
        """All of them, in the order of the log, as --json tells them."""
        times = self.lives.time_ns.tolist()
        for row, (id, time_ns) in enumerate(zip(self.lives.ids, times, strict=True)):
            reasons = list(self.kept.why(row))
            told = [ASKED] if id in self.asked else reasons
            yield {"id": id, "time": iso_utc(time_ns), "stays": bool(reasons), "reasons": told}


def decide(
    catalog: Catalog, service: str, policy: Policy | None, now_ns: int, asked: Collection[str] = ()
) -> Decision:
    """policy: None for a service that is not applied here; no rule forgets anything of it. asked: ids of its
    points that go in any case. The rules are applied as if these were gone already, so that none of the
    others goes in their favour, and doubts are about the others only."""
    found = lives(catalog, service)
    rules: Rules = policy.keep if policy else {}
    known = proven(catalog.recoveries(service))
    flags = np.fromiter((id in known for id in found.ids), np.bool_, len(found.ids))
    rest = np.flatnonzero([id not in asked for id in found.ids])
    points = Points(found.time_ns, found.pinned, flags).take(rest)
    kept = keep(points, rules, now_ns)
    anomalies: list[Anomaly] = []
    if not kept.kept.all():
        mark = policy.mark if policy else None
        anomalies = anomaly.of_points(
            found.ever_ns, found.live[rest], points, found.settled, rules, mark, now_ns
        )
    reasons = np.zeros(len(found.ids), np.uint16)
    reasons[rest] = kept.reasons
    return Decision(service, rules, found, Kept(reasons), asked, anomalies)


def doubts(catalog: Catalog, now_ns: int) -> list[Anomaly]:
    """Why nothing at all is to be destroyed for now, of any service: the clock disagrees with the log."""
    times, settled = times_of_log(catalog)
    return anomaly.of_clock(times, settled, now_ns)


def rules_text(rules: Mapping[str, float]) -> str:
    """ "last 20, within 2d"."""
    said = (
        f"{rule} {format_duration(amount) if rule == 'within' else f'{amount:.0f}'}"
        for rule, amount in rules.items()
    )
    return ", ".join(said) or "everything"


def anomaly_records(anomalies: Sequence[Anomaly]) -> list[dict[str, str]]:
    return [{"reason": s.reason, "says": s.says, "hint": s.hint} for s in anomalies]


def story(decision: Decision) -> Iterator[str]:
    """For people: what stays and why; what goes, run by run."""
    stays = decision.kept.kept
    count, gone = len(stays), len(stays) - int(stays.sum())
    yield f"{decision.service}: keep {rules_text(decision.rules)}"
    if not gone:
        yield f"  all {plural(count, 'point')} stay"
        return
    yield f"  {plural(count - gone, 'point')} of {count} stay, {gone} go"
    yield from (f"    {line}" for line in table(["TIME", "POINT", "STAYS AS"], list(_rows(decision, stays))))
    if decision.asked:
        yield f"  {ASKED}: {', '.join(id for id in decision.lives.ids if id in decision.asked)}"
    for doubt in decision.anomalies:
        yield f"  suspended by {doubt.reason}: {doubt.says}"


def _rows(decision: Decision, stays: Array) -> Iterator[list[str]]:
    """Each point that stays; of each run that goes the first, the last, and how many they are."""
    ids, times = decision.lives.ids, decision.lives.time_ns
    begins = np.flatnonzero(np.diff(stays, prepend=~stays[:1]))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(stays)], strict=True):
        if stays[begin]:
            for row in range(begin, end):
                yield [local(int(times[row])), ids[row], ", ".join(decision.kept.why(row))]
        else:
            last = f" … {ids[end - 1]}" if end - begin > 1 else ""
            yield [local(int(times[begin])), ids[begin] + last, f"({end - begin} go)"]
