"""Protect: one recovery point of one service, from the live parts to the commit.

    prepare all, in parallel ──▶ the cut ──▶ finish all ──▶ one commit ──▶ promote the source's cache

All or nothing. Until the commit's one log entry exists there is no point, whatever was uploaded. If a
component cannot be captured, all components are released, the error names it, and the vault's points do not
change. A vault that cannot be written to is a failure of its own, and never reported as a component's.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ..drivers.base import Driver, Session, TreeDriver
from ..drivers.registry import driver_for
from ..host.crashpoints import crashpoint
from ..host.lockfile import exclusive
from ..host.machine_id import MACHINE, this_machine
from ..model.entries import Entries, merge
from ..model.errors import DamageError, SourceError, UndividedError
from ..model.log_kinds import LogKind
from ..model.point import RecoveryPoint
from ..model.service import Component, Service
from ..snapshotters.registry import snapshotter_for
from ..vault.stores.base import StoreError
from ..vault.vault import ConflictError, FencedError, TimelineSegment, Vault, Writer
from .cut import cut
from .damage import NEW_HISTORY, SEEN, damaged_files, lost_history, reread_note, without_state
from .draft import CapturedComponent, PointDraft
from .sink import ComponentSink, Progress, SinkAbandoned
from .source_cache import CachedState, load, make_private, promote_next

T = TypeVar("T")
_log = logging.getLogger(__name__)
OF_THE_VAULT = (StoreError, DamageError, FencedError)
"""Failures of the vault and not of a component, although they occur while one is captured."""


@dataclass(frozen=True, slots=True)
class Part:
    """One component on its way into a point."""

    component: Component
    directory: Path
    timeline: str
    cached: CachedState | None
    session: Session
    sink: ComponentSink

    @property
    def previous(self) -> Entries:
        return self.cached.entries if self.cached else Entries.none()


def protect(
    service: Service,
    vault: Vault,
    state: Path,
    *,
    last: RecoveryPoint | None,
    progress: Progress | None = None,
) -> RecoveryPoint:
    """Takes a point and commits it. last: the service's newest point, to continue from. state: a private
    directory that is kept between points.

    Raises SourceError when a component could not be captured, StoreError when the vault could not be written
    to, FencedError or ConflictError when prunes by others removed the base of this point again and again:
    then there is no point. Any other UndividedError means that the point exists, but the cache for the next
    point could not be kept; its message names the point.
    """
    try:
        return _take(service, vault, state, last, progress)
    except ConflictError as error:
        _log.warning("protect %s: taking the point again with new timelines: %s", service.name, error.cause)
        return _take(service, vault, state, _without(last, error.timelines), progress)


def _without(last: RecoveryPoint | None, timelines: Collection[str]) -> RecoveryPoint | None:
    """The point without the components on these timelines: they start new ones."""
    if last is None:
        return None
    parts = {name: part for name, part in last.components.items() if part.timeline not in timelines}
    return replace(last, components=parts)


def _take(
    service: Service, vault: Vault, state: Path, last: RecoveryPoint | None, progress: Progress | None
) -> RecoveryPoint:
    begun = time.monotonic()
    point_id = new_point_id()
    doing = f"protect {service.name}"
    home = state / vault.id / service.name
    with _alone(home, doing), vault.writer() as writer, ExitStack() as closing:
        crashpoint("protect.begun")
        seen = vault.head.number
        parts = _open(service, home, vault, writer, last, progress, closing)
        sessions = {name: part.session for name, part in parts.items()}
        try:
            _everywhere(parts, lambda part: part.session.prepare(part.sink))
            crashpoint("protect.prepared")
            instant = cut(sessions, service.ranks(), point=point_id, cap=service.policy.pause)
            states = _everywhere(parts, lambda part: part.session.finish(part.sink))
        except UndividedError as error:
            raise _no_point(error, doing) from error
        added = {name: part.sink.segment() for name, part in parts.items()}
        here = {MACHINE: this_machine(), SEEN: seen}
        captured = {
            name: CapturedComponent(
                part.component,
                part.directory,
                part.timeline,
                part.cached,
                part.sink,
                merge(part.previous, *added[name]),
                {**states[name], **here},
            )
            for name, part in parts.items()
        }
        draft = PointDraft(point_id, service, instant, captured, begun)
        # With unchanged components: their empty segments add nothing, but link the commit to them.
        segments = {parts[name].timeline: TimelineSegment(*segment) for name, segment in added.items()}
        try:
            entry = writer.commit(
                LogKind.POINT, segments, lambda place: draft.record(place, writer), draft.continues()
            )
        except StoreError as error:
            raise StoreError(error.summary, doing=doing, hint=error.hint) from error
        except (FencedError, ConflictError) as error:
            error.doing = doing
            raise
        point = RecoveryPoint.from_record(entry.body["point"])
        _promote(parts, draft.kept, point, doing)
        return point


def new_point_id() -> str:
    """Sorts by time, for people to read; only the log gives the order in the vault."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(3).hex()}"


def _open(
    service: Service,
    home: Path,
    vault: Vault,
    writer: Writer,
    last: RecoveryPoint | None,
    progress: Progress | None,
    closing: ExitStack,
) -> dict[str, Part]:
    abandoned = threading.Event()
    drivers = {name: driver_for(component) for name, component in service.components.items()}
    unheld = _left_unheld(drivers)
    parts: dict[str, Part] = {}
    for name, component in service.components.items():
        directory = home / name
        make_private(directory)
        before = last.components.get(name) if last else None
        cached = load(directory, before if before and before.kind == component.kind else None)
        driver = drivers[name]
        driver.cache = directory
        if isinstance(driver, TreeDriver):
            driver.snapshotter = snapshotter_for(driver.directory())
        lost = lost_history(cached, vault)
        if lost:
            cached = None
        damaged = damaged_files(cached, vault, writer)
        known = cached.point if cached else None
        previous = without_state(known) if known and damaged else known
        session = driver.session(previous, must_hold=name != unheld)
        closing.callback(session.close)
        entries = cached.entries if cached else Entries.none()
        sink = ComponentSink(name, writer, entries, abandoned, progress)
        if damaged:
            sink.note(reread_note(damaged))
        if lost:
            sink.note(NEW_HISTORY)
        parts[name] = Part(
            component,
            directory,
            cached.point.timeline if cached else os.urandom(16).hex(),
            cached,
            session,
            sink,
        )
    return parts


def _left_unheld(drivers: Mapping[str, Driver]) -> str | None:
    """The one component that needs no hold: the last one that can be marked without it."""
    return next((name for name in reversed(list(drivers)) if drivers[name].markable), None)


def _everywhere(parts: Mapping[str, Part], work: Callable[[Part], T]) -> dict[str, T]:
    """The same step on all components, in parallel. The first failure abandons the others."""
    if len(parts) == 1:
        return {name: _named(name, work, part) for name, part in parts.items()}
    with ThreadPoolExecutor(len(parts), thread_name_prefix="component") as pool:
        futures: dict[str, Future[T]] = {n: pool.submit(_named, n, work, part) for n, part in parts.items()}
        wait(futures.values(), return_when=FIRST_EXCEPTION)
        if any(future.done() and future.exception() for future in futures.values()):
            for part in parts.values():
                part.sink.abandon()
    failures = [error for future in futures.values() if (error := future.exception())]
    if failures:
        raise next((e for e in failures if not isinstance(e, SinkAbandoned)), failures[0])
    return {name: future.result() for name, future in futures.items()}


def _named(name: str, work: Callable[[Part], T], part: Part) -> T:
    try:
        return work(part)
    except UndividedError as error:
        if not isinstance(error, (SinkAbandoned, *OF_THE_VAULT)):
            error.cause = f"component {name}: {error.summary}"
            error.doing = ""
        raise


def _no_point(error: UndividedError, doing: str) -> UndividedError:
    """The failure of a component as a failure of the whole service."""
    if isinstance(error, OF_THE_VAULT):
        return type(error)(f"no point was made: {error.summary}", doing=doing, hint=error.hint)
    kind = type(error) if error.exit_code != 1 else SourceError
    return kind(f"no point was made: {error.cause}", doing=doing, hint=error.hint)


def _promote(parts: Mapping[str, Part], kept: Mapping[str, str], point: RecoveryPoint, doing: str) -> None:
    """Lets the next point continue from this one. Raises UndividedError when it cannot; the point exists."""
    try:
        for name, part in parts.items():
            if name in kept:
                promote_next(part.directory)
            part.session.committed()
    except (OSError, UndividedError) as error:
        cause = error.summary if isinstance(error, UndividedError) else str(error)
        raise UndividedError(
            f"point {point.id} was made, but the cache for the next point could not be written: {cause}",
            doing=doing,
            hint="The point is good. Remove the cause, or the next point may have to read everything again.",
        ) from error
    crashpoint("protect.cache-promoted")


@contextmanager
def _alone(home: Path, doing: str) -> Iterator[None]:
    """One point of a service at a time on this source."""
    make_private(home.parent)
    make_private(home)
    with exclusive(home / "lock", doing, "another point of this service is being taken"):
        yield
