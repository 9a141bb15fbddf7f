"""vault info: where the primary vault is, how large it is, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config.main_file import NEAR
from ..model.times import iso_utc
from .verification_age import VaultVerification, vault_verification
from .workspace import Workspace


@dataclass(frozen=True)
class VaultInfo:
    """url: as configured. points: how many it holds. details: as Vault.info gives them."""

    url: str
    points: int
    details: Mapping[str, Any]
    verification: VaultVerification | None

    def as_record(self) -> dict[str, Any]:
        details = self.details
        return {
            "name": NEAR,
            "url": self.url,
            "vault": details["vault"],
            "format": details["format"],
            "created": iso_utc(details["created_ns"]),
            "points": self.points,
            "head": details["head"],
            "bytes": details["bytes"],
            "objects": details["objects"],
            "keys": len(details["recipients"]),
            "verification": self.verification.as_record() if self.verification else None,
        }


def vault_info(workspace: Workspace) -> VaultInfo:
    vault = workspace.vault
    points = workspace.catalog.count()
    return VaultInfo(workspace.config.vaults[NEAR], points, vault.info(), vault_verification(vault))
