"""`undivided verify`: is what is stored what was written?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..model.errors import DamageError
from .options import COMMON, Common
from .output import emit, text
from .progress import progress

if TYPE_CHECKING:
    from ..vault.verify import Damage


def verify(*, read_data: Annotated[bool, Parameter(negative=())] = False, common: Common = COMMON) -> int:
    """Check that what is stored is what was written, and name what is not, down to points and files.

    Exit code 5 says that something is damaged.

    Example: undivided verify --read-data

    Parameters
    ----------
    read_data:
        Read and check every byte, not only that everything is there and fits together.
    """
    context = common.open()
    began = time.monotonic()
    with progress("verify") as tell:
        report = context.vault.verify(
            read_data=read_data,
            progress=(lambda done, total: tell("objects", done, total)) if tell else None,
        )
    damaged = [_record(damage) for damage in report.damaged]
    affected = sorted({point for damage in report.damaged for point in damage.points})
    record = {
        "damaged": damaged,
        "points_affected": affected,
        "read_data": read_data,
        "seconds": round(time.monotonic() - began, 3),
    }
    emit(common.json, record, _story(report.damaged, affected, read_data))
    return DamageError.exit_code if damaged else 0


def _record(damage: Damage) -> dict[str, Any]:
    files = [{"component": component, "path": text(path)} for component, path in damage.files]
    return {"object": damage.object, "cause": damage.cause, "points": list(damage.points), "files": files}


def _story(damaged: list[Damage], affected: list[str], read_data: bool) -> list[str]:
    if not damaged:
        depth = "every byte was read" if read_data else "add --read-data to read every byte"
        return [f"nothing is damaged ({depth})"]
    lines = []
    for damage in damaged:
        lines.append(f"damaged: {damage.object}: {damage.cause}")
        lines += [f"  {component}: {text(path)}" for component, path in damage.files]
    return [*lines, f"points affected: {', '.join(affected) or 'none'}"]
