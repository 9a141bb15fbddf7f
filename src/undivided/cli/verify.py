"""`undivided verify`: is what is stored what was written?

What was found damaged is recorded in the vault, so that the next protection stores it anew where the source
still has it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..catalog.catalog import PREFIX
from ..config.option_values import parse_seconds
from ..model.errors import DamageError, UndividedError, UsageError
from ..operations.verification_age import proven_line, proven_record
from ..operations.workspace import Workspace
from ..vault.damage import mark_damaged
from ..vault.verify import Scope, execute, plan_verify
from .options import COMMON, Common
from .output import emit, plural, size, text
from .progress import progress

if TYPE_CHECKING:
    from ..vault.vault import Vault
    from ..vault.verify import Report


def verify(
    *,
    read_data: Annotated[bool, Parameter(negative=())] = False,
    points: tuple[str, ...] = (),
    for_: Annotated[str | None, Parameter(name="--for")] = None,
    within: str | None = None,
    common: Common = COMMON,
) -> int:
    """Check that what is stored is what was written.

    What is not is named, down to points and files, and stored anew by the
    next protection that still has it. Exit code 5 says that something is
    damaged. What was looked at longest ago comes first, and a run that is
    cut short is gone on with by the next.

    Example: undivided verify --read-data --for 30m --within 30d

    Parameters
    ----------
    read_data:
        Read and check every byte, not only that everything is there and fits together.
    points:
        Decode whole points as a recovery would: latest, an id, or a number of those decoded longest ago.
    for_:
        Stop reading after so long: 30m, 8h.
    within:
        Pass over what was read within this time: 30d.
    """
    context = common.open()
    limit = parse_seconds("--for", for_) if for_ is not None else None
    fresh = parse_seconds("--within", within) if within is not None else 0.0
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
        watch = (lambda done, total: tell("bytes", done, total)) if tell else None
        chosen, sample = _points(context, points)
        plan = plan_verify(vault, Scope(read_data, chosen, sample, fresh, limit))
        report = execute(vault, plan, progress=watch)
    record = {
        "damaged": [*found["damaged"], *_damaged(report)],
        "points_affected": sorted({*found["points_affected"], *report.points_affected}),
        "read_data": read_data,
        "unlocked": report.unlocked,
        "objects": report.objects,
        "bytes": report.bytes,
        "packs_read": report.read,
        "packs_left": report.left,
        "points_decoded": report.decoded,
        "proven": proven_record(report.verification_age),
        "notes": [*report.notes, *_mark_damaged(vault, report), *_advice(found["damaged"] or report.damaged)],
        "seconds": round(time.monotonic() - began, 3),
    }
    emit(common.json, record, _story(record))
    return DamageError.exit_code if record["damaged"] else 0


def _points(context: Workspace, asked: Sequence[str]) -> tuple[list[str], int]:
    """Ids of the points to decode, and how many more. Raises UsageError for one that is not there."""
    chosen: list[str] = []
    sample = 0
    for wanted in asked:
        if wanted.isdecimal() and len(wanted) < PREFIX:
            sample += int(wanted)
        elif wanted == "latest":
            newest = [context.catalog.newest(service) for service in context.catalog.services()]
            chosen += [point.id for point in newest if point]
        else:
            chosen.append(_one(context, wanted))
    return list(dict.fromkeys(chosen)), sample


def _one(context: Workspace, wanted: str) -> str:
    found = [p.id for p in context.catalog.points() if len(wanted) >= PREFIX and p.id.startswith(wanted)]
    if len(found) != 1:
        cause = f"several points begin with {wanted!r}" if found else f"there is no point {wanted!r}"
        raise UsageError(cause, hint="`undivided points` lists them; `latest` and a number are taken, too.")
    return found[0]


def _nothing() -> dict[str, Any]:
    return {"damaged": [], "points_affected": []}


def _untrusted(context: Workspace, error: DamageError) -> dict[str, Any]:
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


def _mark_damaged(vault: Vault, report: Report) -> list[str]:
    """Records packs that were not known as damaged; returns notes about it."""
    if not report.packs and not report.timelines:
        return []
    try:
        mark_damaged(vault, report.packs, report.timelines)
    except UndividedError as error:
        return [f"What is damaged could not be recorded in the vault: {error.cause}."]
    return ["The next protection stores anew what is damaged and still there."]


def _advice(damaged: Sequence[object]) -> list[str]:
    return ["`undivided repair --dry-run` says what can be done about it."] if damaged else []


def _story(record: dict[str, Any]) -> list[str]:
    lines = [f"note: {note}" for note in record["notes"]]
    if record["points_decoded"]:
        lines.append(f"{plural(len(record['points_decoded']), 'point')} decoded from end to end")
    if record["packs_left"]:
        left = plural(record["packs_left"], "pack")
        lines.append(f"time is up with {left} left: the next run begins there")
    lines.append(proven_line(record["proven"]))
    if not record["damaged"]:
        depth = (
            f"{size(record['bytes'])} read" if record["read_data"] else "add --read-data to read every byte"
        )
        return [f"nothing is damaged: {plural(record['objects'], 'object')} checked, {depth}", *lines]
    for damage in record["damaged"]:
        lines.append(f"damaged: {damage['object']}: {damage['cause']}")
        lines += [f"  {file['component']}: {file['path']}" for file in damage["files"]]
    return [*lines, f"points affected: {', '.join(record['points_affected']) or 'none'}"]
