"""Which points of a service expire, and why the others stay: the decision behind `prune` and `policy
simulate`.

The catalog knows the points, the service file has the keep rules, and policy/ decides. Nothing here changes
anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog.point_history import PointHistory, point_history, times_of_log
from ..model.times import iso_utc
from ..policy import anomalies as anomaly
from ..policy.anomalies import Anomaly
from ..policy.keep import Kept, Points, Rules, keep
from ..policy.proof import proven
from .records import anomaly_records

if TYPE_CHECKING:
    from ..catalog.catalog import Catalog
    from ..model.service import Policy


REQUESTED = "requested"
"""The reason of a point that an operator named: it expires whatever the rules say."""


@dataclass(frozen=True)
class Decision:
    """About one service. history: its points in the order of the log; kept: why each of them stays;
    requested: ids of those that an operator named. anomalies: why none of the others may expire for now;
    empty where none would."""

    service: str
    rules: Rules
    history: PointHistory
    kept: Kept
    requested: Collection[str]
    anomalies: Sequence[Anomaly]

    @property
    def expired(self) -> list[str]:
        """Ids, in the order of the log."""
        return [self.history.ids[row] for row in np.flatnonzero(~self.kept.kept).tolist()]

    def points(self) -> Iterator[dict[str, Any]]:
        """Records of all points, in the order of the log."""
        times = self.history.time_ns.tolist()
        for row, (id, time_ns) in enumerate(zip(self.history.ids, times, strict=True)):
            reasons = list(self.kept.why(row))
            given = [REQUESTED] if id in self.requested else reasons
            yield {"id": id, "time": iso_utc(time_ns), "stays": bool(reasons), "reasons": given}

    def as_record(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "keep": dict(self.rules),
            "points": list(self.points()),
            "suspended": anomaly_records(self.anomalies),
        }


def decide(
    catalog: Catalog, service: str, policy: Policy | None, now_ns: int, requested: Collection[str] = ()
) -> Decision:
    """policy: None for a service that is not applied here; then no rule expires any of its points. requested:
    ids of its points that expire in any case. The rules are applied as if these were gone already, so that no
    other point expires in their favour; anomalies are about the other points only."""
    found = point_history(catalog, service)
    rules: Rules = policy.keep if policy else {}
    known = proven(catalog.recoveries(service))
    flags = np.fromiter((id in known for id in found.ids), np.bool_, len(found.ids))
    rest = np.flatnonzero([id not in requested for id in found.ids])
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
    return Decision(service, rules, found, Kept(reasons), requested, anomalies)


def log_anomalies(catalog: Catalog, now_ns: int) -> list[Anomaly]:
    """Why nothing may expire for now, of any service: the clock disagrees with the log."""
    times, settled = times_of_log(catalog)
    return anomaly.of_clock(times, settled, now_ns)
