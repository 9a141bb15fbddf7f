"""How long ago the vault was verified: for `status` and `vault info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .records import verification_age_record

if TYPE_CHECKING:
    from ..vault.vault import Vault
    from ..vault.verify import VerificationAge


@dataclass(frozen=True)
class VaultVerification:
    """age: how long ago the packs were verified, as of time_ns, the newest verification of data."""

    time_ns: int
    age: VerificationAge

    def as_record(self) -> dict[str, Any]:
        return verification_age_record(self.age, self.time_ns)


def vault_verification(vault: Vault) -> VaultVerification | None:
    """None when data of the vault was never verified."""
    from ..vault.verify import verification_age

    known = verification_age(vault)
    return VaultVerification(*known) if known else None
