"""Executing a plan: everything is built before anything live is touched.

    ┌ point ┐   ┌── build db ───┐   ┌ stop ┐   ┌ exchange ┐   ┌ start ┐   ┌ check ┐   ┌ record ┐
    │       ├──▶├── build cache ├──▶│      ├──▶│          ├──▶│       ├──▶│       ├──▶│        │
    └───────┘   └── build site ─┘   └──────┘   └──────────┘   └───────┘   └───────┘   └────────┘
     live service untouched         down: what its users feel ────────────────────▶

Until all builds are complete and on disk, a failure removes them and the service has not noticed. From the
first stop on nothing is undone in silence: a failure is recorded and says where the old data is. Killed
anywhere, the same recovery started again goes on from what is on disk (staging.py) and ends in the
recovered service; the old data is kept beside under one name through all attempts.
"""

from __future__ import annotations

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
from ..host.lockfile import alone
from ..model.errors import UndividedError, error_context
from ..model.point import RecoveryPoint
from ..vault.read.reader import Reader
from ..vault.vault import Vault
from . import checks
from .errors import HINTS
from .placement import Placement
from .plan import Mode, RecoveryPlan, StepKind
from .result import Recovered, Result
from .staging import First, Record, Stage
from .targets import occupied
from .vault_source import SourceAbandoned, VaultSource

Progress = Callable[[str, int, int | None], None]
_READY_SECONDS = 120.0
_POLL = 0.1


def execute(
    plan: RecoveryPlan,
    vault: Vault,
    *,
    state: Path,
    protect_first: Callable[[], RecoveryPoint] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Recovers as planned and records it in the vault. state: a private directory of this host.
    protect_first: takes the point of the plan's first step. progress: (component, bytes built, bytes in
    all), from several threads.

    Raises UndividedError while nothing live has been touched. What fails later is in the result, recorded,
    with `failure()` as the error; so is a check that did not pass.
    """
    with _alone(state, plan):
        return _Recovery(plan, vault, protect_first, progress).run()


class _Recovery:
    """One execution: what is known so far, step by step."""

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
        self.advice = ""
        self.first = plan.first
        self.parts = {p.name: _placed(p) for p in plan.placements}

    def run(self) -> Result:
        crashpoint("recover.planned")
        self.take_point()
        self.build()
        crashpoint("recover.built")
        self.stop()
        crashpoint("recover.stopped")
        failed, verdicts = None, []
        try:
            self.exchange()
            crashpoint("recover.installed")
            self.start()
            crashpoint("recover.started")
            self.tidy()
        except UndividedError as error:
            failed = f"{error.doing}: {error.cause}" if error.doing else error.cause
            self.advice = error.hint
        else:
            verdicts = checks.run(
                self.plan.service.checks if self.plan.of(StepKind.CHECK) else (), self.plan.service.components
            )
        result = self.record(self.result(failed, verdicts))
        crashpoint("recover.recorded")
        return result

    def record(self, result: Result) -> Result:
        """A recovery that cannot be recorded is not undone by that, but it has failed."""
        try:
            self.vault.append("recovery", result.as_record())
        except UndividedError as error:
            told = f"it could not be recorded in the vault: {error.cause}"
            return replace(result, ok=False, failed="; ".join(filter(None, (result.failed, told))))
        return result

    def take_point(self) -> None:
        if not self.plan.of(StepKind.POINT):
            return
        if self.protect_first is None:
            raise ValueError("the plan's first step is a point, and there is nobody to take it")
        point = self.protect_first()
        wanted = self.plan.point.components
        unchanged = all(
            (part.timeline, part.digest) == (wanted[name].timeline, wanted[name].digest)
            for name, part in point.components.items()
        )
        self.first = First(point.id, point.time_ns, unchanged)

    def build(self) -> None:
        """All components side by side, on disk, or none: what was built is removed when one fails."""
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
                # Beside unlocking and reading the trees. Whoever needs it is told what goes wrong with it.
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

        record = Record(
            self.plan.service.name,
            self.plan.point.id,
            placement.name,
            str(placement.place),
            placement.suffix,
            first=self.first,
        )
        source = VaultSource(reader, placement.part, abandoned=abandoned, given=given)
        with error_context(f"build {placement.name}", HINTS):
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
        """Dependents first. When one cannot be stopped, those that were are started again: nothing has
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
                with error_context(f"stop {placement.name}", HINTS):
                    driver_for(placement.component).stop()
            except UndividedError as error:
                self.start_again(placements[: number + 1], error)
                raise

    def start_again(self, stopped: Sequence[Placement], error: UndividedError) -> None:
        for placement in reversed(stopped):
            try:
                driver_for(placement.component).start()
            except UndividedError as another:
                hint = f"{placement.name} could not be started again ({another.cause}): start it yourself."
                error.hint = f"{error.hint} {hint}".strip()

    def exchange(self) -> None:
        for placement in self.plan.placed(StepKind.EXCHANGE):
            what = f"put {placement.name} at {placement.place}"
            with error_context(what, HINTS):
                self.make_way(placement)
                aside = driver_for(placement.component).install(placement.staging.data, placement.suffix)
            if aside:
                self.parts[placement.name] = replace(self.parts[placement.name], aside=str(aside))

    def make_way(self, placement: Placement) -> None:
        """The directories above the place are made; an empty one at the place is nothing to keep."""
        place = placement.place
        place.parent.mkdir(parents=True, exist_ok=True)
        # Without a build in its staging, the empty directory may be the component that was recovered.
        waiting = os.path.lexists(placement.staging.data)
        if waiting and place.is_dir() and not place.is_mount() and not occupied(place):
            place.rmdir()

    def start(self) -> None:
        """In the order of the edges; each has to be well before the next, which needs it."""
        for placement in self.plan.placed(StepKind.START):
            component = placement.component
            driver = driver_for(component)
            with error_context(f"start {component.name}", HINTS):
                driver.start()
                deadline = time.monotonic() + _READY_SECONDS
                while not (health := driver.health()).ok:
                    if time.monotonic() > deadline:
                        raise UndividedError(
                            f"it is not well: {health.reason}", doing=f"start {component.name}"
                        )
                    time.sleep(_POLL)

    def tidy(self) -> None:
        """Staging goes once the service is back: from here on a recovery to this point is a new one."""
        for placement in self.plan.placements:
            placement.staging.remove()

    def result(self, failed: str | None, verdicts: list[checks.CheckResult]) -> Result:
        now = time.monotonic()
        plan = self.plan
        return Result(
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
            advice=self.advice,
            resumable=failed is not None,
            notes=plan.warnings,
        )

    def data_loss(self) -> float | None:
        """What is lost was done after the point, or after the point taken first if that found everything as
        it was at the point; and before the service was stopped, or the recovery began where nothing was."""
        if self.plan.mode is Mode.DIRECTORY:
            return None
        same = self.first.time_ns if self.first and self.first.unchanged else self.plan.point.time_ns
        waited = self.stopped - self.begun if self.stopped else 0.0
        return round(max(self.begun_ns / 1e9 + waited - same / 1e9, 0.0), 3)


def _placed(placement: Placement) -> Recovered:
    moved = placement.stage is Stage.TAKING and os.path.lexists(placement.aside)
    return Recovered(
        kind=placement.component.kind,
        place=str(placement.place),
        position=placement.part.position.text,
        aside=str(placement.aside) if moved else None,
    )


@contextmanager
def _alone(state: Path, plan: RecoveryPlan) -> Iterator[None]:
    """One recovery of a service at a time on this host."""
    what, file = f"recover {plan.service.name}", state / f"recover-{plan.service.name}.lock"
    with ExitStack() as held:
        with error_context(what, HINTS):
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(alone(file, what, "another recovery of this service is running"))
        yield
