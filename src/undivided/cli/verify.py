"""`undivided verify`: is what is stored what was written?

What was found damaged is recorded in the vault, so that the next protection stores it anew where the source
still has it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..model.errors import DamageError, UndividedError
from .context import Context
from .options import COMMON, Common
from .output import emit, plural, size, text
from .progress import progress

if TYPE_CHECKING:
    from ..vault.report import Report
    from ..vault.vault import Vault


def verify(*, read_data: Annotated[bool, Parameter(negative=())] = False, common: Common = COMMON) -> int:
    """Check that what is stored is what was written.

    What is not is named, down to points and files, and stored anew by the
    next protection that still has it. Exit code 5 says that something is
    damaged.

    Example: undivided verify --read-data

    Parameters
    ----------
    read_data:
        Read and check every byte, not only that everything is there and fits together.
    """
    context = common.open()
    began = time.monotonic()
    try:
        vault = context.vault
        _ = vault.head
        found: dict[str, Any] = _nothing()
    except DamageError as error:
        # A log that was rolled back or is torn at its end still has entries that can be checked.
        found = _untrusted(context, error)
        vault = context.vault_as_it_is()
    context.ask_passphrase()
    with progress("verify") as tell:
        watch = (lambda done, total: tell("bytes", done, total)) if tell and read_data else None
        report = vault.verify(read_data=read_data, progress=watch)
    record = {
        "damaged": [*found["damaged"], *_damaged(report)],
        "points_affected": sorted({*found["points_affected"], *report.points_affected}),
        "read_data": read_data,
        "unlocked": report.unlocked,
        "objects": report.objects,
        "bytes": report.bytes,
        "notes": [*report.notes, *_condemn(vault, report)],
        "seconds": round(time.monotonic() - began, 3),
    }
    emit(common.json, record, _story(record))
    return DamageError.exit_code if record["damaged"] else 0


def _nothing() -> dict[str, Any]:
    return {"damaged": [], "points_affected": []}


def _untrusted(context: Context, error: DamageError) -> dict[str, Any]:
    """The log is not what this client saw: every point it knew may be gone or changed."""
    damaged = {"object": "log", "cause": error.cause, "points": context.known_points(), "files": []}
    return {"damaged": [damaged], "points_affected": damaged["points"]}


def _damaged(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "object": damage.object,
            "cause": damage.cause,
            "points": list(damage.points),
            "files": [{"component": name, "path": text(path)} for name, path in damage.files],
        }
        for damage in report.damaged
    ]


def _condemn(vault: Vault, report: Report) -> list[str]:
    """Records packs that were not known as damaged; returns notes about it."""
    if not report.packs:
        return []
    try:
        known = {name for entry in vault.log() if entry.kind == "damage" for name in entry.body["packs"]}
        fresh = [name for name in report.packs if name not in known]
        if fresh:
            vault.condemn(fresh)
    except UndividedError as error:
        return [f"What is damaged could not be recorded in the vault: {error.cause}."]
    return ["The next protection stores anew what is damaged and still there."]


def _story(record: dict[str, Any]) -> list[str]:
    lines = [f"note: {note}" for note in record["notes"]]
    if not record["damaged"]:
        depth = (
            f"{size(record['bytes'])} read" if record["read_data"] else "add --read-data to read every byte"
        )
        return [f"nothing is damaged: {plural(record['objects'], 'object')} checked, {depth}", *lines]
    for damage in record["damaged"]:
        lines.append(f"damaged: {damage['object']}: {damage['cause']}")
        lines += [f"  {file['component']}: {file['path']}" for file in damage["files"]]
    return [*lines, f"points affected: {', '.join(record['points_affected']) or 'none'}"]
