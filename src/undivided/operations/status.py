"""status: whether each service meets its objectives."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.errors import ObjectiveError, UndividedError
from ..model.times import iso_utc
from ..policy.objectives import ObjectiveVerdict, verdict
from .verification_age import VaultVerification, vault_verification
from .workspace import Workspace

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint


@dataclass(frozen=True)
class ServiceStatus:
    """newest: its newest point; last_recovery: the record of it in the vault's log, with `time_ns`."""

    service: str
    newest: RecoveryPoint | None
    verdict: ObjectiveVerdict
    last_recovery: Mapping[str, Any] | None

    def as_record(self) -> dict[str, Any]:
        newest, recovery = self.newest, self.last_recovery
        return {
            "service": self.service,
            "point": newest.id if newest else None,
            "time": iso_utc(newest.time_ns) if newest else None,
            "age_seconds": self.verdict.age,
            "consistency": newest.consistency.value if newest else None,
            "pause_ms": round(newest.pause_ms, 3) if newest else None,
            "rpo": {"seconds": self.verdict.rpo, "met": self.verdict.met},
            "last_recovery": {**recovery, "time": iso_utc(recovery["time_ns"])} if recovery else None,
        }


@dataclass(frozen=True)
class UnreadableService:
    """A service whose file cannot be read. It must not hide the status of the others."""

    service: str
    error: UndividedError

    def as_record(self) -> dict[str, Any]:
        return {"service": self.service, "error": self.error.summary}


@dataclass(frozen=True)
class Status:
    services: tuple[ServiceStatus | UnreadableService, ...]
    verification: VaultVerification | None

    @property
    def errors(self) -> list[UndividedError]:
        return [s.error for s in self.services if isinstance(s, UnreadableService)]

    @property
    def exit_code(self) -> int:
        """A breached objective counts more than a file that cannot be read."""
        if any(isinstance(s, ServiceStatus) and s.verdict.met is False for s in self.services):
            return ObjectiveError.exit_code
        return self.errors[0].exit_code if self.errors else 0

    def as_record(self) -> dict[str, Any]:
        return {
            "services": [service.as_record() for service in self.services],
            "verification": self.verification.as_record() if self.verification else None,
        }


def status(workspace: Workspace, service: str | None = None) -> Status:
    """service: None for all services that are applied here; else an unreadable file is raised."""
    names = workspace.services() if service is None else [service]
    _ = workspace.catalog
    now = time.time_ns()
    found: list[ServiceStatus | UnreadableService] = []
    for name in names:
        try:
            found.append(_status_of(workspace, name, now))
        except UndividedError as error:
            if service is not None:
                raise
            found.append(UnreadableService(name, error))
    return Status(tuple(found), vault_verification(workspace.vault))


def _status_of(workspace: Workspace, name: str, now_ns: int) -> ServiceStatus:
    objectives = workspace.service(name).objectives
    newest = workspace.catalog.newest(name)
    recoveries = workspace.catalog.recoveries(name)
    judged = verdict(objectives, newest.time_ns if newest else None, now_ns)
    return ServiceStatus(name, newest, judged, recoveries[-1] if recoveries else None)
