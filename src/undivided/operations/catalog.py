"""catalog rebuild: the cache of the vault's log, read again from the vault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .workspace import Workspace


@dataclass(frozen=True)
class RebuiltCatalog:
    """entries: how many log entries were read; head: digest of the last one."""

    entries: int
    head: str
    points: int
    services: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "head": self.head,
            "points": self.points,
            "services": list(self.services),
        }


def rebuild_catalog(workspace: Workspace) -> RebuiltCatalog:
    made = workspace.rebuild_catalog()
    number, digest = made.head
    return RebuiltCatalog(number, digest, made.count(), tuple(made.services()))
