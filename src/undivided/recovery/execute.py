"""Executing a plan: everything is built before the live service is changed.

    ┌ point ┐   ┌── build db ───┐   ┌ stop ┐   ┌ install ┐   ┌ start ┐   ┌ check ┐   ┌ record ┐
    │       ├──▶├── build cache ├──▶│      ├──▶│         ├──▶│       ├──▶│       ├──▶│        │
    └───────┘   └── build site ─┘   └──────┘   └─────────┘   └───────┘   └───────┘   └────────┘
     live service unchanged         down: what its users feel ───────────────────▶

Until all builds are complete and on disk, a failure removes them and the service has not noticed. From the
first stop on nothing is undone silently: a failure is recorded, and its message names the place of the old
data. After a kill at any step, the same recovery started again resumes from the state on disk (staging.py)
and ends in the recovered service; the old data keeps one name through all attempts.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ..drivers.registry import driver_for
from ..host.crashpoints import crashpoint
from ..host.lockfile import exclusive
from ..model.errors import UndividedError, error_context
from ..model.log_kinds import LogKind
from ..model.point import RecoveryPoint
from ..vault.reading import Reader
from ..vault.vault import Vault
from . import checks
from .errors import HINTS
from .placement import Placement
from .plan import Mode, RecoveryPlan, StepKind
from .result import RecoveredComponent, RecoveryResult
from .staging import BuildState, PointBefore, StagingRecord
from .targets import occupied
from .vault_source import SourceAbandoned, VaultSource

Progress = Callable[[str, int, int | None], None]
_log = logging.getLogger(__name__)
_READY_SECONDS = 120.0
_POLL = 0.1


def execute(
    plan: RecoveryPlan,
    vault: Vault,
    *,
    state: Path,
    protect_first: Callable[[], RecoveryPoint] | None = None,
    progress: Progress | None = None,
) -> RecoveryResult:
    """Recovers as planned and records it in the vault. state: a private directory of this host.
    protect_first: takes the point of the plan's first step. progress: (component, bytes built, total
    bytes), from several threads.

    Raises UndividedError while the live service is unchanged. A later failure is recorded and returned in the
    result, with `failure()` as its error; so is a check that did not pass.
    """
    with _alone(state, plan):
        return _Recovery(plan, vault, protect_first, progress).run()


class _Recovery:
    """One execution, with its findings so far."""

    def __init__(
        self,
        plan: RecoveryPlan,
        vault: Vault,
        protect_first: Callable[[], RecoveryPoint] | None,
        progress: Progress | None,
    ) -> None:
        self.plan = plan
        self.vault = vault
        self.protect_first = protect_first
        self.progress = progress
        self.begun = time.monotonic()
        self.begun_ns = time.time_ns()
        self.stopped: float | None = None
        self.hint = ""
        self.first = plan.first
        self.parts = {p.name: _placed(p) for p in plan.placements}

    def run(self) -> RecoveryResult:
        crashpoint("recover.planned")
        self.take_point()
        self.build()
        crashpoint("recover.built")
        self.stop()
        crashpoint("recover.stopped")
        failed, verdicts = None, []
        try:
            self.install()
            crashpoint("recover.installed")
            self.start()
            crashpoint("recover.started")
            self.tidy()
        except UndividedError as error:
            failed = error.summary
            self.hint = error.hint
        else:
            verdicts = checks.run(
                self.plan.service.checks if self.plan.of(StepKind.CHECK) else (), self.plan.service.components
            )
        result = self.record(self.result(failed, verdicts))
        crashpoint("recover.recorded")
        return result

    def record(self, result: RecoveryResult) -> RecoveryResult:
        """A recovery that cannot be recorded has failed, but it is not undone."""
        try:
            self.vault.append(LogKind.RECOVERY, result.as_record())
        except UndividedError as error:
            unrecorded = f"the recovery could not be recorded in the vault: {error.cause}"
            return replace(result, ok=False, failed="; ".join(filter(None, (result.failed, unrecorded))))
        return result

    def take_point(self) -> None:
        if not self.plan.of(StepKind.POINT):
            return
        if self.protect_first is None:
            raise ValueError("the plan's first step takes a point, so protect_first is needed")
        point = self.protect_first()
        wanted = self.plan.point.components
        unchanged = all(
            (part.timeline, part.digest) == (wanted[name].timeline, wanted[name].digest)
            for name, part in point.components.items()
        )
        self.first = PointBefore(point.id, point.time_ns, unchanged)

    def build(self) -> None:
        """All components in parallel, on disk, or none: when one fails, all builds are removed."""
        placements = self.plan.placed(StepKind.BUILD)
        abandoned = threading.Event()
        try:
            self.build_all(placements, abandoned)
        except BaseException:
            for placement in placements:
                placement.staging.remove()
            raise

    def build_all(self, placements: Sequence[Placement], abandoned: threading.Event) -> None:
        reader = self.vault.reader()
        with ThreadPoolExecutor(1 + len(placements), thread_name_prefix="build") as pool:
            if placements:
                # In parallel with unlocking and reading the trees. A build that needs it gets its errors.
                pool.submit(reader.open_index)
            futures = [pool.submit(self.build_one, p, reader, abandoned) for p in placements]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                if any(not future.done() or future.exception() for future in futures):
                    abandoned.set()
        failures = [error for future in futures if (error := future.exception())]
        if failures:
            raise next((e for e in failures if not isinstance(e, SourceAbandoned)), failures[0])

    def build_one(self, placement: Placement, reader: Reader, abandoned: threading.Event) -> None:
        begun = time.monotonic()
        total, lock = placement.part.bytes_seen, threading.Lock()
        done = 0

        def given(count: int) -> None:
            nonlocal done
            with lock:
                done += count
            if self.progress:
                self.progress(placement.name, done, max(total, done))

        record = StagingRecord(
            self.plan.service.name,
            self.plan.point.id,
            placement.name,
            str(placement.place),
            placement.suffix,
            first=self.first,
        )
        source = VaultSource(reader, placement.part, abandoned=abandoned, given=given)
        with _step(f"build {placement.name}"):
            placement.staging.write(record)
            driver_for(placement.component).restore(source, placement.staging.empty())
            placement.staging.settle()
            placement.staging.write(replace(record, built=True))
        crashpoint("recover.first-built")
        self.parts[placement.name] = replace(
            self.parts[placement.name],
            seconds=round(time.monotonic() - begun, 3),
            bytes=done,
            notes=(*placement.part.notes, *source.notes),
        )

    def stop(self) -> None:
        """Dependents first. When one cannot be stopped, the stopped ones are started again: no data has
        changed yet."""
        placements = self.plan.placed(StepKind.STOP)
        if not placements:
            return
        if self.first:
            for placement in self.plan.placements:
                record = placement.staging.record()
                if record and record.first is None:
                    placement.staging.write(replace(record, first=self.first))
        self.stopped = time.monotonic()
        for number, placement in enumerate(placements):
            try:
                with _step(f"stop {placement.name}"):
                    driver_for(placement.component).stop()
            except UndividedError as error:
                self.start_again(placements[: number + 1], error)
                raise

    def start_again(self, stopped: Sequence[Placement], error: UndividedError) -> None:
        for placement in reversed(stopped):
            try:
                driver_for(placement.component).start()
            except UndividedError as another:
                hint = f"Start {placement.name} yourself: it could not be started again ({another.cause})."
                _log.warning("component %s could not be started again: %s", placement.name, another)
                error.hint = f"{error.hint} {hint}".strip()

    def install(self) -> None:
        for placement in self.plan.placed(StepKind.INSTALL):
            doing = f"install {placement.name} at {placement.place}"
            with _step(doing):
                self.make_way(placement)
                aside = driver_for(placement.component).install(placement.staging.data, placement.suffix)
            if aside:
                self.parts[placement.name] = replace(self.parts[placement.name], aside=str(aside))

    def make_way(self, placement: Placement) -> None:
        """Makes the directories above the place, and removes an empty directory at the place."""
        place = placement.place
        place.parent.mkdir(parents=True, exist_ok=True)
        # Without a build in its staging, the empty directory may be the component that was recovered.
        waiting = os.path.lexists(placement.staging.data)
        if waiting and place.is_dir() and not place.is_mount() and not occupied(place):
            place.rmdir()

    def start(self) -> None:
        """In the order of the edges. Each component must be healthy before the next one, which needs it."""
        for placement in self.plan.placed(StepKind.START):
            component = placement.component
            driver = driver_for(component)
            with _step(f"start {component.name}"):
                driver.start()
                deadline = time.monotonic() + _READY_SECONDS
                while not (health := driver.health()).ok:
                    if time.monotonic() > deadline:
                        raise UndividedError(
                            f"{component.name} did not become healthy within {_READY_SECONDS:g} s: "
                            f"{health.reason}",
                            hint=f"Look at the log of {component.name}.",
                        )
                    time.sleep(_POLL)

    def tidy(self) -> None:
        """Removes staging once the service is back: from now on a recovery to this point is a new one."""
        for placement in self.plan.placements:
            placement.staging.remove()

    def result(self, failed: str | None, verdicts: list[checks.CheckResult]) -> RecoveryResult:
        now = time.monotonic()
        plan = self.plan
        return RecoveryResult(
            service=plan.service.name,
            point=plan.point.id,
            point_time_ns=plan.point.time_ns,
            mode=str(plan.mode),
            ok=failed is None and all(verdict.ok for verdict in verdicts),
            started=bool(plan.of(StepKind.START)) and failed is None,
            time_ns=self.begun_ns,
            seconds=round(now - self.begun, 3),
            down_seconds=round(now - self.stopped, 3) if self.stopped else None,
            data_loss_seconds=self.data_loss(),
            first=self.first.id if self.first else None,
            components=self.parts,
            checks=tuple(verdicts),
            failed=failed,
            hint=self.hint,
            resumable=failed is not None,
            notes=plan.warnings,
        )

    def data_loss(self) -> float | None:
        """Seconds of work that are lost at most: from the point, or from the point taken first if nothing had
        changed until then, to the stop of the service, or to the start of the recovery without a stop."""
        if self.plan.mode is Mode.DIRECTORY:
            return None
        same = self.first.time_ns if self.first and self.first.unchanged else self.plan.point.time_ns
        waited = self.stopped - self.begun if self.stopped else 0.0
        return round(max(self.begun_ns / 1e9 + waited - same / 1e9, 0.0), 3)


def _placed(placement: Placement) -> RecoveredComponent:
    moved = placement.state is BuildState.INSTALLING and os.path.lexists(placement.aside)
    return RecoveredComponent(
        kind=placement.component.kind,
        place=str(placement.place),
        position=placement.part.position.text,
        aside=str(placement.aside) if moved else None,
    )


@contextmanager
def _alone(state: Path, plan: RecoveryPlan) -> Iterator[None]:
    """One recovery of a service at a time on this host."""
    doing, file = f"recover {plan.service.name}", state / f"recover-{plan.service.name}.lock"
    with ExitStack() as held:
        with error_context(doing, HINTS):
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(exclusive(file, doing, "another recovery of this service is running"))
        yield


@contextmanager
def _step(doing: str) -> Iterator[None]:
    """Every error inside names this step, and with it the component, before the operation that failed."""
    try:
        with error_context(doing, HINTS):
            yield
    except UndividedError as error:
        if error.doing != doing:
            error.doing = f"{doing}: {error.doing}"
        raise
