"""`undivided vault …`: the primary vault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from ..model.times import local
from ..operations.recovery_kit import recovery_kit
from ..operations.vault_info import VaultInfo, vault_info
from .options import COMMON, Common
from .output import emit, plural, size
from .verification import age_line


def info(*, common: Common = COMMON) -> int:
    """Show where the primary vault is, its size and its content.

    Example: undivided vault info
    """
    found = vault_info(common.open())
    emit(common.json, found.as_record(), _lines(found))
    return 0


def _lines(found: VaultInfo) -> Iterator[str]:
    details = found.details
    head = details["head"]
    yield f"vault {details['vault']}, format {details['format']}, created {local(details['created_ns'])}"
    yield f"  in {found.url}"
    yield f"  {plural(found.points, 'point')}, {plural(len(details['recipients']), 'key')}"
    yield f"  log ends at {head['number']}, {head['digest'][:16] or 'empty'}"
    yield f"  {age_line(found.verification.age if found.verification else None)}"
    yield f"  {size(details['bytes'])} in all:"
    for kind, count in details["objects"].items():
        yield f"    {kind}: {plural(count['objects'], 'object')}, {size(count['bytes'])}"


def kit(*, label: Annotated[str, Parameter(metavar="TEXT")] = "recovery kit", common: Common = COMMON) -> int:
    """Print a recovery kit: a page that opens the vault, for the safe.

    The page explains where the vault is and how to recover, step by step, and
    holds a key of its own: `undivided vault key list` shows it, and it can be
    removed like any other. The page lets its holder read everything.

    Example: undivided vault kit > kit.txt

    Parameters
    ----------
    label:
        The name of its key in lists.
    """
    made = recovery_kit(common.open(), label=label)
    emit(common.json, made.as_record(), made.text.splitlines())
    return 0
