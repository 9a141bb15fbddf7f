"""`undivided repair`: damage is repaired from a copy, from the packs, or set aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from ..host.names import shown
from ..operations.repair import RepairOutcome, execute_repair, plan_repair
from .options import COMMON, Common
from .output import emit, plural
from .progress import progress

_ACTIONS = {
    "copy": "copy it from the other vault",
    "rebuild": "rebuild it from the packs",
    "set aside": "set it aside; the next protection stores what the source still has",
    "none": "it cannot be repaired",
}


def repair(
    *,
    from_: Annotated[str, Parameter(name="--from", metavar="VAULT")] = "",
    read_data: bool = False,
    dry_run: bool = False,
    common: Common = COMMON,
) -> int:
    """Repair damage in the vault.

    From a copy of the vault if there is one. Otherwise damaged objects are
    set aside, their readable parts are kept, and the next protection stores
    what the source still has. Nothing is deleted: originals go to
    quarantine. Exit code 5 means that some data stays lost.

    Example: undivided repair --from /mnt/copy/undivided --dry-run

    Parameters
    ----------
    from_:
        Another vault with copies of the objects: its name in the configuration, path or URL.
    read_data:
        Check every byte first, not only what was found damaged before.
    dry_run:
        Print the plan and stop.
    """
    workspace = common.open()
    workspace.ask_early()
    with progress("repair") as report:
        plan = plan_repair(workspace, copy=from_, read_data=read_data, progress=report)
    outcome = execute_repair(workspace, plan, dry_run=dry_run)
    emit(common.json, outcome.as_record(), _lines(outcome))
    return outcome.exit_code


def _lines(outcome: RepairOutcome) -> Iterator[str]:
    plan, done = outcome.plan, outcome.done
    if plan.empty:
        yield "nothing is damaged: there is nothing to repair"
    for remedy in plan.remedies:
        yield f"{remedy.object}: {remedy.cause}"
        yield f"  {_ACTIONS[remedy.action.value]}"
        if not remedy.repairs:
            yield from (f"    {name}: {shown(path)}" for name, path in remedy.files)
    for name in plan.cleared:
        yield f"pack {name}: it was found damaged before, and is whole"
    if done:
        aside = plural(len(done.quarantined), "object")
        yield f"{plural(len(done.repaired), 'object')} repaired, {aside} in quarantine"
        if done.salvaged:
            yield f"  {plural(done.salvaged, 'chunk')} of damaged packs kept"
    yield from (f"note: {note}" for note in outcome.notes)
    if outcome.points_affected:
        yield f"points that stay affected: {', '.join(outcome.points_affected)}"
    if outcome.dry_run and plan.hides:
        yield "note: more damage may be found once the log or index is repaired; run repair again afterwards"
    if outcome.dry_run and not plan.empty:
        yield "dry run: nothing was changed"
