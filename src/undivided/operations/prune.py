"""prune: expires points and frees the space that only they used. A decision, a plan, its execution."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.errors import UndividedError
from ..policy.anomalies import Anomaly, suspended
from .forget_by_name import named_points
from .records import anomaly_records
from .retention import Decision, decide, log_anomalies
from .workspace import Workspace

if TYPE_CHECKING:
    from ..vault.prune import PrunePlan


@dataclass(frozen=True)
class PruneDecision:
    """anomalies: of the log and the clock; with any of them nothing expires. despite: kinds of anomalies that
    the operator has accepted."""

    services: tuple[Decision, ...]
    anomalies: tuple[Anomaly, ...]
    despite: frozenset[str]

    def open(self, decision: Decision) -> list[Anomaly]:
        """The anomalies of one service that are not accepted."""
        return [anomaly for anomaly in decision.anomalies if anomaly.reason not in self.despite]

    @property
    def expired(self) -> list[str]:
        """Ids of the points that expire: of a service with an open anomaly only the requested ones."""
        if self.anomalies:
            return []
        return [id for d in self.services for id in (d.requested if self.open(d) else d.expired)]

    @property
    def failures(self) -> list[UndividedError]:
        """Why less expires than the rules say."""
        if self.anomalies:
            return [suspended(self.anomalies, "prune")]
        return [suspended(found, f"prune {d.service}") for d in self.services if (found := self.open(d))]

    @property
    def exit_code(self) -> int:
        return max((error.exit_code for error in self.failures), default=0)


def decide_prune(
    workspace: Workspace,
    services: Sequence[str] = (),
    *,
    forget: Sequence[str] = (),
    despite: Collection[str] = (),
) -> PruneDecision:
    """Which points expire. services: only theirs; empty for all. forget: ids of further points, or their
    beginnings. despite: kinds of anomalies that are accepted. Raises UsageError for an unknown service or
    point."""
    for name in services:
        workspace.known_service(name)
    now = time.time_ns()
    catalog = workspace.catalog
    requested = named_points(catalog, forget, services)
    applied = set(workspace.services())
    decisions = tuple(
        decide(
            catalog,
            name,
            workspace.service(name).policy if name in applied else None,
            now,
            requested.get(name, ()),
        )
        for name in services or catalog.services()
    )
    anomalies = (a for a in log_anomalies(catalog, now) if a.reason not in despite)
    return PruneDecision(decisions, tuple(anomalies), frozenset(despite))


def plan_prune(
    workspace: Workspace, decision: PruneDecision, *, grace: float, budget: int
) -> PrunePlan | None:
    """Changes nothing. None while an anomaly of the log or the clock suspends pruning: then nothing expires,
    and nothing is deleted either. grace: seconds until objects that are not needed any more are deleted.
    budget: how many bytes of packs are rewritten at most. Needs the passphrase."""
    if decision.anomalies:
        return None
    from ..vault.prune import plan_prune as plan

    return plan(workspace.vault, decision.expired, grace=grace, budget=budget)


def execute_prune(workspace: Workspace, plan: PrunePlan) -> None:
    from ..vault.prune import execute

    execute(workspace.vault, plan)
    workspace.catalog.follow(workspace.vault)


def prune_record(decision: PruneDecision, plan: PrunePlan | None, *, dry_run: bool) -> dict[str, Any]:
    """plan: None while pruning is suspended."""
    record: dict[str, Any] = {
        "dry_run": dry_run,
        "services": [d.as_record() for d in decision.services],
        "suspended": anomaly_records(decision.anomalies),
    }
    if plan is None:
        return record
    return {
        **record,
        "expired": list(plan.expired),
        "freed_bytes": plan.freed,
        "deleted_bytes": plan.deleted,
        "pending_deletion_bytes": pending_bytes(plan),
        "packs_unused": len(plan.unused),
        "packs_repacked": len(plan.repacked),
        "states_compacted": plan.compacted,
        "sessions_fenced": len(plan.orphans.fenced),
        "objects_unknown": sum(map(len, plan.orphans.unknown.values())),
    }


def pending_bytes(plan: PrunePlan) -> int:
    """Bytes marked for deletion by earlier prunes whose grace is not over."""
    return sum(size for kind in plan.orphans.waiting.values() for size in kind.values())
