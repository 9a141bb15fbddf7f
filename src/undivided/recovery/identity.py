"""Is this the component that was protected? Asked before anything in place is touched.

A path and a port are the same on many hosts. So a point remembers the machine of each component, and what
its application calls itself, where it has such a name (PostgreSQL's system identifier). What a point does
not remember, or what a component that is down cannot be asked, is not held against it: then path and host
have to do, and the operator has asked for in place by name.
"""

from __future__ import annotations

from pathlib import Path

from ..drivers.registry import driver_for
from ..host.machine_id import MACHINE, this_machine
from ..model.errors import SourceError, UsageError
from ..model.point import ComponentPoint
from ..model.service import Component

SYSTEM = "system"
"""Key of a component's state and of `Description.details`: what names one installation for good."""


def refuse_stranger(component: Component, part: ComponentPoint) -> None:
    """Raises UsageError when what is here is provably another than what was protected."""
    doing = f"recover {component.name} in place"
    machine = part.state.get(MACHINE)
    if machine is not None and machine != this_machine():
        raise UsageError(
            f"{component.name} was protected on another machine",
            doing=doing,
            hint="Recover on the host it came from; on this one, give --target with its places here.",
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
            f"what answers as {component.name} is another installation than the one protected: "
            f"its system identifier is {found}, and was {system}",
            doing=doing,
            hint="Check port and path in the service file, or give --target to recover beside what runs.",
        )


def elsewhere(component: Component, part: ComponentPoint, place: Path) -> str | None:
    """A warning when the component lives at another path than it did."""
    recorded = part.state.get("directory")
    if recorded is None or str(recorded) in (str(place), str(place.parent), str(component.get("path"))):
        return None
    return f"{part.name} lived in {recorded} at this point, and lives at {place} now"
