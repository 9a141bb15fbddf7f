"""Verification: are the stored bytes the bytes that were written? `plan_verify` plans, `execute` carries
out.
"""

from ..vault import Vault
from .execute import Progress, execute
from .plan import VerifyPlan, plan_verify
from .record import last_verification
from .report import Damage, Report, Scope, VerificationAge

__all__ = [
    "Damage",
    "Progress",
    "Report",
    "Scope",
    "VerificationAge",
    "VerifyPlan",
    "execute",
    "plan_verify",
    "verification_age",
    "verify",
]


def verify(vault: Vault, scope: Scope | None = None, *, progress: Progress | None = None) -> Report:
    """Plans a verification and carries it out."""
    return execute(vault, plan_verify(vault, scope), progress=progress)


def verification_age(vault: Vault) -> tuple[int, VerificationAge] | None:
    """UTC ns of the newest verification of data, and how long ago all packs were verified as of then. None
    when there was none."""
    return last_verification(vault.commits)
