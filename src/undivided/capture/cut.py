"""The consistent cut: hold all, read every position, release all.

    watchdog ──▶ arm ──▶ hold, dependents first ──▶ mark, all held ──▶ release in reverse
                      └──────────────── the pause ─────────────────────────────────┘
                                                 └ the skew ┘

Components that are asked to quiesce are held before components that are frozen from outside. A process frozen
in the middle of a transaction keeps its locks, and a component asked after that would wait for them in vain.

If every component's writers are blocked at one common moment, no effect can be in the cut without its cause.
At most one component may be left unblocked and merely marked while all others are held: the writes it commits
after its mark can reach the others only after their release, which is after the cut. With two or more
unblocked the cut is `ordered`: positions are read referrers first, so that surplus data is harmless, and the
record names the unblocked components.

Nothing slow belongs in here: sessions come prepared, and move their data when the cut is over. The cap is
enforced three times: each hold is given the deadline, we stop at it, and the watchdog acts on it if we are
dead or stuck.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from ..drivers.base import Session, Watchdog
from ..host.crashpoints import crashpoint
from ..model.errors import SourceError, UndividedError
from ..model.point import Consistency, Position
from .watchdog_client import WatchdogClient

_log = logging.getLogger(__name__)

MILLISECOND = 1e-3
UNHURRIED = 3600.0
"""Seconds for a cut that holds no component, so no application waits."""
ARMING_SECONDS = 10.0
RELEASE_SECONDS = 5.0
SLOW = "Find what blocks the component, or raise `pause` in the policy if a longer pause is acceptable."
_LATE = {
    "arm": f"was not ready to quiesce within {ARMING_SECONDS:g} s",
    "hold": "did not quiesce in time",
    "mark": "did not report its position in time",
}
T = TypeVar("T")
Took = dict[str, dict[str, float]]
"""Component → step → milliseconds."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One instant and its record. pause_ms: from the first hold requested to the last release done (0 when no
    component was held). skew_ms: from the start of the first reading of a position to the end of the last.
    took_ms: per component, the milliseconds of its hold, mark and release."""

    time_ns: int
    positions: Mapping[str, Position]
    consistency: Mapping[str, Consistency]
    overall: Consistency
    pause_ms: float
    skew_ms: float
    took_ms: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]


def cut(
    sessions: Mapping[str, Session],
    ranks: Sequence[Sequence[str]],
    *,
    point: str,
    cap: float,
    start_watchdog: Callable[[], WatchdogClient] = WatchdogClient,
) -> Cut:
    """Takes the cut over prepared sessions. ranks: component names in start order. cap: seconds.

    Raises SourceError, with everything released, when a component could not be held or marked before the cap.
    """
    held = [name for name, session in sessions.items() if session.holds]
    frozen = [name for name in held if sessions[name].consistency is Consistency.CRASH]
    holding = [
        *([name for name in rank if name in frozen] for rank in ranks),
        *([name for name in rank if name in held and name not in frozen] for rank in ranks),
    ]
    with start_watchdog() if held else nullcontext() as watchdog, _attention(), _pool(len(sessions)) as pool:
        crashpoint("cut.watchdog-started")
        took: Took = {name: {} for name in sessions}
        try:
            if watchdog:
                watchdog.arm(cap + ARMING_SECONDS)
                _arm(sessions, held, watchdog, pool)
                watchdog.arm(cap)
            begun = time.monotonic()
            deadline = begun + (cap if held else UNHURRIED)
            if watchdog:
                _hold(sessions, reversed(holding), watchdog, deadline, pool, took)
            crashpoint("cut.held")
            time_ns = time.time_ns()
            ordered = len(sessions) - len(held) > 1
            steps = list(reversed(ranks)) if ordered else [list(sessions)]
            positions, skew = _mark(sessions, steps, point, deadline, pool, took)
            crashpoint("cut.marked")
            marked = time.monotonic()
        finally:
            _release(sessions, holding, pool, took)
        ended = time.monotonic()
        crashpoint("cut.released")
        if watchdog:
            watchdog.released()
        if _log.isEnabledFor(logging.DEBUG):
            for name, steps_ms in took.items():
                _log.debug("cut of point %s: component %s: milliseconds %s", point, name, steps_ms)
        if watchdog and watchdog.fired:
            _log.warning("cut of point %s: the watchdog released the service before we did", point)
        if marked > deadline or (watchdog and watchdog.fired):
            raise SourceError(f"the pause reached its limit of {cap:g} s", doing="cut", hint=SLOW)
    consistency = {name: session.consistency for name, session in sessions.items()}
    overall, notes = judge(consistency, held)
    return Cut(
        time_ns=time_ns,
        positions=positions,
        consistency=consistency,
        overall=overall,
        pause_ms=(ended - begun) / MILLISECOND if held else 0.0,
        skew_ms=skew / MILLISECOND,
        took_ms=took,
        notes=notes,
    )


def judge(consistency: Mapping[str, Consistency], held: Sequence[str]) -> tuple[Consistency, tuple[str, ...]]:
    """The consistency of the service, from that of its components and which of them were held, with a note on
    what could not be promised."""
    overall = Consistency.worst(list(consistency.values()))
    unheld = [name for name in consistency if name not in held]
    if len(unheld) > 1:
        names = ", ".join(unheld)
        return Consistency.ORDERED, (f"{names}: not quiesced at one moment, but read in reference order",)
    return overall, ()


def _arm(
    sessions: Mapping[str, Session], held: Sequence[str], watchdog: Watchdog, pool: ThreadPoolExecutor
) -> None:
    deadline = time.monotonic() + ARMING_SECONDS
    futures = {name: pool.submit(sessions[name].arm, watchdog, deadline) for name in held}
    for name, future in futures.items():
        _await(name, "arm", future, deadline, late=sessions[name].release)


def _hold(
    sessions: Mapping[str, Session],
    ranks: Iterable[Sequence[str]],
    watchdog: Watchdog,
    deadline: float,
    pool: ThreadPoolExecutor,
    took: Took,
) -> None:
    first = True
    for rank in ranks:
        futures = {
            name: pool.submit(_timed, took[name], "hold", sessions[name].hold, watchdog, deadline)
            for name in rank
        }
        for name, future in futures.items():
            _await(name, "hold", future, deadline, late=sessions[name].release)
        if rank and first:
            crashpoint("cut.first-held")
            first = False


def _mark(
    sessions: Mapping[str, Session],
    steps: Sequence[Sequence[str]],
    point: str,
    deadline: float,
    pool: ThreadPoolExecutor,
    took: Took,
) -> tuple[dict[str, Position], float]:
    times: list[float] = []

    def read(name: str) -> Position:
        times.append(time.monotonic())
        position = _timed(took[name], "mark", sessions[name].mark, point)
        times.append(time.monotonic())
        return position

    positions: dict[str, Position] = {}
    for step in steps:
        futures = {name: pool.submit(read, name) for name in step}
        for name, future in futures.items():
            positions[name] = _await(name, "mark", future, deadline)
    return positions, max(times) - min(times)


def _release(
    sessions: Mapping[str, Session], ranks: Sequence[Sequence[str]], pool: ThreadPoolExecutor, took: Took
) -> None:
    """Releases every component, whatever happened before: a hold that failed may have succeeded late. When we
    cannot release one, the error raised here ends the watchdog client, and the watchdog releases it."""
    for rank in ranks:
        releases = {name: pool.submit(_timed, took[name], "release", sessions[name].release) for name in rank}
        wait(releases.values(), timeout=RELEASE_SECONDS)
        for name, future in releases.items():
            if not future.done() or future.exception():
                cause = future.exception() if future.done() else f"no answer within {RELEASE_SECONDS:g} s"
                _log.warning("component %s could not be released by its driver: %s", name, cause)
                raise SourceError(
                    f"component {name} could not be released: {cause}",
                    doing="cut",
                    hint=f"The watchdog releases it now. Check that {name} is running and accepts writes.",
                )


def _timed(took: dict[str, float], step: str, work: Callable[..., T], *arguments: object) -> T:
    begun = time.monotonic()
    try:
        return work(*arguments)
    finally:
        took[step] = round((time.monotonic() - begun) / MILLISECOND, 3)


def _await(
    name: str, step: str, future: Future[T], deadline: float, late: Callable[[], None] | None = None
) -> T:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except FutureTimeout:
        if late:
            future.add_done_callback(lambda _: late())
        raise SourceError(
            f"component {name} {_LATE[step]}",
            doing="cut",
            hint=SLOW,
        ) from None
    except UndividedError as error:
        cause = f"component {name}: {error.cause}"
        raise type(error)(cause, doing=error.doing or step, hint=error.hint) from error


@contextmanager
def _attention() -> Iterator[None]:
    """No garbage collection, and threads that hand over quickly: milliseconds count."""
    interval, collecting = sys.getswitchinterval(), gc.isenabled()
    gc.disable()
    sys.setswitchinterval(0.0002)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collecting:
            gc.enable()


@contextmanager
def _pool(size: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that exist before the first hold. A stuck thread must not keep us from returning."""
    pool = ThreadPoolExecutor(2 * size, thread_name_prefix="cut")  # releases must not wait for stuck holds
    for ready in [pool.submit(time.sleep, 0.0005) for _ in range(2 * size)]:
        ready.result()
    try:
        yield pool
    finally:
        pool.shutdown(wait=False)
