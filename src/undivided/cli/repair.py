"""`undivided repair`: what is damaged, healed from a copy or set aside. Never without saying first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..model.errors import DamageError
from ..operations.workspace import Workspace
from .options import COMMON, Common
from .output import emit, plural, text
from .progress import progress

if TYPE_CHECKING:
    from ..vault.repair import Repaired, RepairPlan
    from ..vault.stores.base import Store

_FLAG = Parameter(negative=())


def repair(
    *,
    from_: Annotated[str, Parameter(name="--from")] = "",
    read_data: Annotated[bool, _FLAG] = False,
    dry_run: Annotated[bool, _FLAG] = False,
    common: Common = COMMON,
) -> int:
    """Heal what is damaged in the vault.

    From a copy of the vault where there is one; else what is damaged is set
    aside, what can still be read of it is kept, and the next protection
    stores what the source still has. Nothing is deleted: originals go to
    quarantine. Exit code 5 says that something stays lost.

    Example: undivided repair --from /mnt/copy/undivided --dry-run

    Parameters
    ----------
    from_:
        Another vault with copies of the objects: its name in the configuration, path or URL.
    read_data:
        Look at every byte first, not only at what was found damaged before.
    dry_run:
        Print the plan and stop.
    """
    from ..vault.repair import execute, open_damaged, plan_repair

    context = common.open()
    began = time.monotonic()
    context.ask_passphrase()
    copy = _other(context, from_)
    vault = open_damaged(context.store, context.writer_keys, context.ask, copy)
    with progress("look") as tell:
        watch = (lambda done, total: tell("bytes", done, total)) if tell else None
        plan = plan_repair(vault, copy, seen=context.seen, read_data=read_data, progress=watch)
    done = None if dry_run or plan.empty else execute(vault, plan)
    last = done.last if done else plan
    record = {**_record(plan, done, last), "dry_run": dry_run, "seconds": round(time.monotonic() - began, 3)}
    emit(common.json, record, _story(plan, record, done))
    return DamageError.exit_code if last.lost else 0


def _other(context: Workspace, named: str) -> Store | None:
    if not named:
        return None
    from ..vault.stores.registry import open_store

    return open_store(context.config.vaults.get(named, named))


def _record(plan: RepairPlan, done: Repaired | None, last: RepairPlan) -> dict[str, Any]:
    return {
        "from": plan.source,
        "remedies": [
            {
                "object": remedy.object,
                "cause": remedy.cause,
                "action": remedy.action.value,
                "points": list(remedy.points),
                "files": [{"component": name, "path": text(path)} for name, path in remedy.files],
            }
            for remedy in plan.remedies
        ],
        "cleared": list(plan.cleared),
        "repaired": sorted(done.repaired) if done else [],
        "quarantined": [{"object": n, "place": p} for n, p in done.quarantined.items()] if done else [],
        "salvaged": done.salvaged if done else 0,
        "lost": [remedy.object for remedy in last.lost],
        "points_affected": sorted({point for remedy in last.lost for point in remedy.points}),
        "notes": [*plan.notes, *(done.notes if done else ())],
    }


_SAYS = {
    "copy": "take it from the copy",
    "rebuild": "make it anew from the packs",
    "set aside": "set it aside; the next protection stores what the source still has",
    "none": "nothing can be done",
}


def _story(plan: RepairPlan, record: dict[str, Any], done: Repaired | None) -> Iterator[str]:
    if plan.empty:
        yield "nothing is damaged: there is nothing to repair"
    for remedy in plan.remedies:
        yield f"{remedy.object}: {remedy.cause}"
        yield f"  {_SAYS[remedy.action.value]}"
        if not remedy.repairs:
            yield from (f"    {name}: {text(path)}" for name, path in remedy.files)
    for name in plan.cleared:
        yield f"pack {name}: was found damaged, and is whole"
    if done:
        aside = plural(len(done.quarantined), "object")
        yield f"repaired: {plural(len(done.repaired), 'object')} healed, {aside} in quarantine"
        if done.salvaged:
            yield f"  {plural(done.salvaged, 'chunk')} of damaged packs kept"
    yield from (f"note: {note}" for note in record["notes"])
    if record["points_affected"]:
        yield f"points that stay affected: {', '.join(record['points_affected'])}"
    if record["dry_run"] and plan.hides:
        yield "note: what lies behind the damaged log or index can be looked at when that is mended"
    if record["dry_run"] and not plan.empty:
        yield "dry run: nothing was changed"
