"""policy simulate: which points the keep rules would keep, today and after a long time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..model.errors import UsageError
from ..model.service import Policy, Service
from ..policy.simulate import Steady, steady_state, usual_pace
from .retention import Decision, decide
from .workspace import Workspace


@dataclass(frozen=True)
class Simulation:
    """every: seconds between points; over: for so many seconds."""

    decision: Decision
    every: float
    over: float
    steady: Steady

    def as_record(self) -> dict[str, Any]:
        decision, steady = self.decision, self.steady
        record = decision.as_record()
        anomalies = record.pop("suspended")
        return {
            **record,
            "stay": int(decision.kept.kept.sum()),
            "expired": len(decision.expired),
            "suspended": anomalies,
            "steady": {
                "mark_seconds": self.every,
                "over_seconds": self.over,
                "taken": steady.taken,
                "stay": steady.kept,
                "oldest_seconds": steady.oldest,
                "rules": [
                    {"rule": s.rule, "points": s.points, "alone": s.alone, "oldest_seconds": s.oldest}
                    for s in steady.shares
                ],
            },
        }


def simulate(
    workspace: Workspace,
    service: str | None = None,
    *,
    keep: Mapping[str, float],
    mark: float | None,
    over: float,
) -> list[Simulation]:
    """service: None for all that are applied here. keep: rules in place of the service's own; empty for its
    own. mark: seconds between points; None for the interval of the service file, of the points so far, or the
    RPO."""
    if service is not None:
        workspace.known_service(service)
    applied = workspace.services()
    found = []
    for name in applied if service is None else [service]:
        described = workspace.service(name) if name in applied else None
        policy = described.policy if described else Policy()
        policy = replace(policy, keep=keep or policy.keep, mark=mark or policy.mark)
        moment = time.time_ns()
        decision = decide(workspace.catalog, name, policy, moment)
        every = _interval(name, policy, described, decision)
        found.append(Simulation(decision, every, over, steady_state(policy.keep, every, over, moment)))
    return found


def _interval(name: str, policy: Policy, described: Service | None, decision: Decision) -> float:
    """Seconds between points: as configured, as they came so far, or as the objective requires."""
    required = described.objectives.rpo if described else None
    interval = policy.mark or usual_pace(decision.history.ever_ns) or required
    if interval is None:
        raise UsageError(
            f"no interval is configured for {name}",
            doing="simulate",
            hint="Pass --mark 5m, or set policy.mark in the service file.",
        )
    return interval
