"""One component captured alone, in the steps of a cut: for tests of a driver without a vault."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..drivers.base import Driver
from ..model.point import ComponentPoint
from .memory import MemorySink, NoWatchdog

PAUSE = 5.0


def capture(
    driver: Driver,
    sink: MemorySink,
    previous: ComponentPoint | None = None,
    *,
    must_hold: bool = True,
    prepared: Callable[[], object] = lambda: None,
    held: Callable[[], object] = lambda: None,
    released: Callable[[], object] = lambda: None,
) -> ComponentPoint:
    """Takes one point into `sink`. prepared, held, released: called after that step."""
    session = driver.session(previous, must_hold=must_hold)
    try:
        session.prepare(sink)
        prepared()
        session.arm(NoWatchdog(), time.monotonic() + 10)
        session.hold(NoWatchdog(), time.monotonic() + PAUSE)
        held()
        position = session.mark("point")
        session.release()
        released()
        state = session.finish(sink)
        consistency = session.consistency
        session.committed()
    finally:
        session.close()
    return ComponentPoint(
        name="component",
        kind=driver.kind,
        timeline="timeline",
        sequence=1,
        digest="",
        consistency=consistency,
        position=position,
        state=state,
        notes=tuple(sink.notes),
    )
