"""Is this the component that was protected? Asked before anything in place is touched.

A path and a port are the same on many hosts. So when the component still answers, what it says of itself is
compared with what the point recorded of it, as far as its driver records such a thing. A component that is
down or gone cannot be asked; then path and host have to do, and the operator has asked for in place by
name.
"""

from __future__ import annotations

from ..drivers.registry import driver_for
from ..model.errors import SourceError, UsageError
from ..model.point import ComponentPoint
from ..model.service import Component

MARKS = {
    "system_identifier": "system identifier",
    "server_uid": "server id",
    "machine": "machine id",
    "host": "host",
}
"""What names one installation for good: keys of a point's state and of `Description.details`."""


def refuse_stranger(component: Component, part: ComponentPoint) -> None:
    """Raises UsageError when what answers here is provably another installation than the protected one."""
    known = {mark: part.state[mark] for mark in MARKS if mark in part.state}
    if not known:
        return
    try:
        details = driver_for(component).describe().details
    except SourceError:
        return
    for mark, recorded in known.items():
        found = details.get(mark)
        if found is not None and str(found) != str(recorded):
            raise UsageError(
                f"what answers as {component.name} is not what was protected: its {MARKS[mark]} is {found}, "
                f"and was {recorded}",
                doing=f"recover {component.name} in place",
                hint="Recover on the host it came from, or give --target to recover beside what runs here.",
            )
