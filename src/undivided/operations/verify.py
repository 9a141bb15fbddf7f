"""verify: whether the stored bytes are the bytes that were written.

Damage is recorded in the vault, so that the next protection stores again what the source still has.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..catalog.point_names import PREFIX, point_named
from ..model.errors import DamageError, UndividedError
from .progress import Progress, of_bytes
from .records import file_records, verification_age_record
from .workspace import Workspace

if TYPE_CHECKING:
    from ..vault.vault import Vault
    from ..vault.verify import Damage, Report


@dataclass(frozen=True)
class Verified:
    """damaged: first the log itself, when it is not the log that this client knows. notes: sentences.
    seconds: how long it took."""

    read_data: bool
    report: Report
    damaged: tuple[Damage, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def points_affected(self) -> list[str]:
        return sorted({point for damage in self.damaged for point in damage.points})

    @property
    def exit_code(self) -> int:
        return DamageError.exit_code if self.damaged else 0

    def as_record(self) -> dict[str, Any]:
        report = self.report
        return {
            "damaged": [
                {
                    "object": damage.object,
                    "cause": damage.cause,
                    "points": list(damage.points),
                    "files": file_records(damage.files),
                }
                for damage in self.damaged
            ],
            "points_affected": self.points_affected,
            "read_data": self.read_data,
            "unlocked": report.unlocked,
            "objects": report.objects,
            "bytes": report.bytes,
            "packs_read": report.read,
            "packs_left": report.left,
            "points_decoded": report.decoded,
            "verification_age": verification_age_record(report.verification_age),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def verify(
    workspace: Workspace,
    *,
    read_data: bool = False,
    points: Sequence[str] = (),
    within: float = 0.0,
    limit: float | None = None,
    progress: Progress | None = None,
) -> Verified:
    """read_data: read every stored byte. points: points to decode as a recovery would: latest, ids,
    beginnings of ids, or numbers of points whose last decoding is longest ago. within: seconds; packs read
    within them are skipped. limit: seconds after which reading stops; None for never.

    Raises UsageError for a point that does not exist.
    """
    from ..vault.verify import Scope, execute, plan_verify

    began = time.monotonic()
    vault, damaged = _open(workspace)
    chosen, sample = _points(workspace, points)
    scope = Scope(read_data, chosen, sample, within, limit)
    report = execute(vault, plan_verify(vault, scope), progress=of_bytes(progress))
    notes = [*report.notes, *_mark_damaged(vault, report)]
    if damaged or report.damaged:
        notes.append("Run `undivided repair --dry-run` to see what can be repaired.")
    seconds = round(time.monotonic() - began, 3)
    return Verified(read_data, report, (*damaged, *report.damaged), tuple(notes), seconds)


def _open(workspace: Workspace) -> tuple[Vault, list[Damage]]:
    """The vault. When its log was rolled back or is damaged at its end, it is opened as far as it opens, and
    every point that this client knew may be gone or changed."""
    from ..vault.verify import Damage

    try:
        vault = workspace.vault
        _ = vault.head
    except DamageError as error:
        return workspace.vault_as_it_is(), [Damage("log", error.cause, workspace.known_points())]
    return vault, []


def _points(workspace: Workspace, wanted: Sequence[str]) -> tuple[list[str], int]:
    """Ids of the points to decode, and how many more."""
    chosen: list[str] = []
    sample = 0
    for name in wanted:
        if name.isdecimal() and len(name) < PREFIX:
            sample += int(name)
        elif name == "latest":
            newest = [workspace.catalog.newest(service) for service in workspace.catalog.services()]
            chosen += [point.id for point in newest if point]
        else:
            chosen.append(point_named(workspace.catalog, name, doing="verify points").id)
    return list(dict.fromkeys(chosen)), sample


def _mark_damaged(vault: Vault, report: Report) -> list[str]:
    """Records damage that was not known; returns notes about it."""
    from ..vault.damage import mark_damaged

    if not report.packs and not report.timelines:
        return []
    try:
        mark_damaged(vault, report.packs, report.timelines)
    except UndividedError as error:
        return [f"The damage could not be recorded in the vault: {error.cause}."]
    return ["The next protection stores the damaged data again, where the source still has it."]
