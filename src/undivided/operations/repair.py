"""repair: damaged objects are repaired from a copy or from the packs, or set aside. A plan, then its
execution."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.errors import DamageError
from .progress import Progress, of_bytes
from .records import file_records
from .workspace import Workspace

if TYPE_CHECKING:
    from ..vault.repair import Remedy, Repaired, RepairPlan
    from ..vault.stores.base import Store
    from ..vault.vault import Vault


@dataclass(frozen=True)
class RepairOutcome:
    """plan: as it was shown. done: None when nothing was done. seconds: how long plan and execution took."""

    plan: RepairPlan
    done: Repaired | None
    dry_run: bool
    seconds: float

    @property
    def lost(self) -> list[Remedy]:
        """Those that leave a point without something that it needs."""
        return self.done.lost if self.done else self.plan.lost

    @property
    def notes(self) -> list[str]:
        return [*self.plan.notes, *(self.done.notes if self.done else ())]

    @property
    def points_affected(self) -> list[str]:
        return sorted({point for remedy in self.lost for point in remedy.points})

    @property
    def exit_code(self) -> int:
        return DamageError.exit_code if self.lost else 0

    def as_record(self) -> dict[str, Any]:
        done = self.done
        return {
            "from": self.plan.source,
            "remedies": [
                {
                    "object": remedy.object,
                    "cause": remedy.cause,
                    "action": remedy.action.value,
                    "points": list(remedy.points),
                    "files": file_records(remedy.files),
                }
                for remedy in self.plan.remedies
            ],
            "cleared": list(self.plan.cleared),
            "repaired": sorted(done.repaired) if done else [],
            "quarantined": [{"object": n, "place": p} for n, p in done.quarantined.items()] if done else [],
            "salvaged": done.salvaged if done else 0,
            "lost": [remedy.object for remedy in self.lost],
            "points_affected": self.points_affected,
            "notes": self.notes,
            "dry_run": self.dry_run,
            "seconds": self.seconds,
        }


def plan_repair(
    workspace: Workspace, *, copy: str = "", read_data: bool = False, progress: Progress | None = None
) -> RepairPlan:
    """Changes nothing. copy: another vault with copies of the objects: its name in the configuration, path or
    URL. read_data: check every byte first, not only what was found damaged before. Needs the passphrase."""
    from ..vault import repair

    other = _store_of(workspace, copy)
    vault, watch = _open(workspace, other), of_bytes(progress)
    return repair.plan_repair(vault, other, seen=workspace.seen, read_data=read_data, progress=watch)


def execute_repair(workspace: Workspace, plan: RepairPlan, *, dry_run: bool = False) -> RepairOutcome:
    """Executes the plan. Nothing is done in a dry run, or when nothing is damaged."""
    from ..vault.repair import execute

    began = time.monotonic()
    done = None if dry_run or plan.empty else execute(_open(workspace, plan.other), plan)
    seconds = round(plan.seconds + time.monotonic() - began, 3)
    return RepairOutcome(plan, done, dry_run, seconds)


def _open(workspace: Workspace, other: Store | None) -> Vault:
    """The vault as far as it opens. other: the store of a copy."""
    from ..vault.repair import open_damaged

    return open_damaged(workspace.store, workspace.writer_keys, workspace.secret, other)


def _store_of(workspace: Workspace, vault: str) -> Store | None:
    if not vault:
        return None
    from ..vault.stores.registry import open_store

    return open_store(workspace.config.vaults.get(vault, vault))
