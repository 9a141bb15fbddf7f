"""Is this the component that was protected? Checked before any data in place is changed.

A path and a port are the same on many hosts. So a point records the machine of each component, and the
identifier of its application where there is one (PostgreSQL's system identifier). If the point has no such
record, or the component is down and cannot answer, recovery continues: then path and host must do, because
the operator requested --in-place.
"""

from __future__ import annotations

from pathlib import Path

from ..drivers.registry import driver_for
from ..host.machine_id import MACHINE, this_machine
from ..model.errors import SourceError, UsageError
from ..model.point import ComponentPoint
from ..model.service import Component

SYSTEM = "system"
"""Key of a component's state and of `Description.details`: the permanent identifier of an installation."""


def refuse_other_installation(component: Component, part: ComponentPoint) -> None:
    """Raises UsageError when the component here is provably not the one that was protected."""
    doing = f"recover {component.name} in place"
    machine = part.state.get(MACHINE)
    if machine is not None and machine != this_machine():
        raise UsageError(
            f"{component.name} was protected on another machine",
            doing=doing,
            hint="Recover on the machine that was protected, or use --target with paths and ports here.",
        )
    system = part.state.get(SYSTEM)
    if system is None:
        return
    try:
        found = driver_for(component).describe().details.get(SYSTEM)
    except SourceError:
        return
    if found is not None and str(found) != str(system):
        raise UsageError(
            f"{component.name} is not the installation that was protected: "
            f"its system identifier is {found}, but {system} in the point",
            doing=doing,
            hint="Check port and path in the service file, or use --target to recover next to this server.",
        )


def path_warning(component: Component, part: ComponentPoint, place: Path) -> str | None:
    """A warning when the component has another path now than at the point."""
    recorded = part.state.get("directory")
    if recorded is None or str(recorded) in (str(place), str(place.parent), str(component.get("path"))):
        return None
    return f"{part.name} had its data in {recorded} at this point, and has it in {place} now"
