"""The plan of a recovery: a value with every step and its concrete target.

    point ──▶ build, in parallel ──▶ stop ──▶ install ──▶ start ──▶ check ──▶ record
    (in place)                       dependents first     in order of the edges

Making a plan reads everything and changes nothing, so it is the whole of a dry run; executing it is a second
step (execute.py). All refusals happen here: an occupied target, the wrong host, the wrong server. No live
component is stopped before everything is built.

A plan also resumes a killed recovery to the same point, from the staging directories next to its targets:
complete builds are not built again, installed builds stay, and the old data keeps the name it was moved to.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..model.errors import UsageError, error_context
from ..model.point import RecoveryPoint
from ..model.service import Component, Service
from . import checks
from .errors import HINTS
from .identity import path_warning, refuse_other_installation
from .placement import Placement, beneath, components_of, placements
from .staging import BuildState, PointBefore
from .targets import inside_protected, refuse_collisions, refuse_occupied, short_of_space


class Mode(enum.StrEnum):
    DIRECTORY = "directory"
    """Each component beneath one directory, not started."""
    TARGET = "target"
    """Components at other paths, ports, sockets."""
    IN_PLACE = "in-place"
    """The service's own paths and ports; the live data moves aside."""


_HOW = {
    Mode.DIRECTORY: "to one directory, not started",
    Mode.TARGET: "to the target's paths and ports",
    Mode.IN_PLACE: "in place",
}


class StepKind(enum.StrEnum):
    POINT = "point"
    BUILD = "build"
    STOP = "stop"
    INSTALL = "install"
    START = "start"
    CHECK = "check"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One step. component: its component; None for a step of the whole service."""

    action: StepKind
    text: str
    component: str | None = None


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """A recovery as a value. service: as it will run. placements: in start order. first: the point that an
    interrupted attempt took before it changed anything."""

    service: Service
    point: RecoveryPoint
    mode: Mode
    placements: tuple[Placement, ...]
    steps: tuple[RecoveryStep, ...]
    warnings: tuple[str, ...] = ()
    first: PointBefore | None = None

    def of(self, action: StepKind) -> list[RecoveryStep]:
        """The steps of one action, in order."""
        return [step for step in self.steps if step.action is action]

    def placed(self, action: StepKind) -> list[Placement]:
        """The placements of these steps, in the order of the steps."""
        by_name = {placement.name: placement for placement in self.placements}
        return [by_name[step.component] for step in self.of(action) if step.component]

    def describe(self) -> list[str]:
        """The lines of a dry run: a heading, every step with its concrete target, warnings."""
        taken = datetime.fromtimestamp(self.point.time_ns / 1e9, UTC)
        heading = (
            f"Recover {self.service.name} to point {self.point.id} of {taken:%Y-%m-%d %H:%M:%S} UTC "
            f"(consistency {self.point.consistency}), {_HOW[self.mode]}:"
        )
        lines = [f"{number:3}. {step.text}" for number, step in enumerate(self.steps, 1)]
        return [heading, *lines, *(f"WARNING: {text}" for text in self.warnings)]

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        components = {
            p.name: {
                "kind": p.component.kind,
                "place": str(p.place),
                "staging": str(p.staging.directory),
                "aside": str(p.aside) if p.occupied else None,
                "earlier_attempt": p.state.value,
            }
            for p in self.placements
        }
        return {
            "service": self.service.name,
            "point": self.point.id,
            "mode": str(self.mode),
            "components": components,
            "steps": [
                {"action": str(s.action), "component": s.component, "text": s.text} for s in self.steps
            ],
            "warnings": list(self.warnings),
        }


def make_plan(
    service: Service,
    point: RecoveryPoint,
    *,
    to: Path | None = None,
    target: Mapping[str, Mapping[str, Any]] | None = None,
    in_place: bool = False,
    start: bool = False,
    protect_first: bool = True,
) -> RecoveryPlan:
    """The plan to recover `point` of `service`: exactly one of to (a directory), target (component →
    changed options, see `parse_target` in config/service_file.py) and in_place. start: also start and check a
    service at a target; in place that always happens. protect_first: take a point of the live service before
    it is changed in place.

    Raises UsageError for a recovery that must not be done. Nothing is changed either way.
    """
    with error_context(f"recover {service.name} to point {point.id}", HINTS):
        mode = _mode(to, target, in_place, start)
        originals = components_of(service, point)
        if to is not None:
            components = [beneath(component, Path(os.path.abspath(to))) for component in originals]
        else:
            components = _at(target or {}, originals, point)
        found = placements(service, point, components)
        _refuse(mode, found.each, originals)
    first = found.first if mode is Mode.IN_PLACE else None
    whole = replace(service, components={p.name: p.component for p in found.each})
    takes_point = mode is Mode.IN_PLACE and protect_first and first is None
    starts = start or mode is Mode.IN_PLACE
    return RecoveryPlan(
        whole,
        point,
        mode,
        found.each,
        tuple(_steps(whole, mode, found.each, takes_point=takes_point, starts=starts)),
        (*found.warnings, *_warnings(whole, mode, found.each, originals, first, starts=starts)),
        first,
    )


def _mode(to: Path | None, target: object, in_place: bool, start: bool) -> Mode:
    if sum((to is not None, target is not None, in_place)) != 1:
        raise UsageError(
            "a recovery needs exactly one destination: a directory, a target file or in place",
            hint="Give one of --to DIR, --target FILE, --in-place.",
        )
    if to is not None and start:
        raise UsageError(
            "components recovered to a directory are not started",
            hint="To start them, use --target with a file that has the paths and ports to run with.",
        )
    return Mode.IN_PLACE if in_place else Mode.TARGET if target is not None else Mode.DIRECTORY


def _at(
    target: Mapping[str, Mapping[str, Any]], originals: Sequence[Component], point: RecoveryPoint
) -> list[Component]:
    """The components with the options of the target; options that it does not name keep their value."""
    for name in target:
        if name not in point.components:
            known = ", ".join(point.components)
            raise UsageError(
                f"the target names {name}, which is not in point {point.id}", hint=f"The point has {known}."
            )
    return [component.at(target.get(component.name, {})) for component in originals]


def _refuse(mode: Mode, each: Sequence[Placement], originals: Sequence[Component]) -> None:
    """Fault: recovery onto the wrong host, or over live data."""
    if mode is not Mode.DIRECTORY:
        refuse_collisions([(p.component, p.part, p.place) for p in each])
    home = {c.name: Path(os.path.realpath(c.get("path"))) for c in originals if c.get("path")}
    for p in each:
        if mode is Mode.IN_PLACE:
            refuse_other_installation(p.component, p.part)
        elif p.state is not BuildState.INSTALLING:
            too = mode is Mode.TARGET
            refuse_occupied(p.component, p.part, p.place, home.get(p.name), endpoints_too=too)


def _warnings(
    service: Service,
    mode: Mode,
    each: Sequence[Placement],
    originals: Sequence[Component],
    first: PointBefore | None,
    *,
    starts: bool,
) -> list[str]:
    found = short_of_space(
        [(p.staging.directory, p.part.bytes_seen) for p in each if p.state is BuildState.NEW]
    )
    if mode is not Mode.IN_PLACE:
        found += inside_protected({p.name: p.place for p in each}, originals)
    if first:
        found.append(
            f"no other point is taken first: the interrupted attempt took point {first.id} before it changed "
            "anything"
        )
    if mode is Mode.TARGET and starts:
        found += [
            f"check {check.http} uses the address in the service file: the original service may answer it"
            for check in service.checks
            if check.http
        ]
    for p in each if mode is Mode.IN_PLACE else ():
        if moved := path_warning(p.component, p.part, p.place):
            found.append(moved)
        if p.component.kind in ("files", "sqlite") and not (
            p.component.get("unit") or p.component.get("stop")
        ):
            found.append(
                f"{p.name} has no `unit` and no `stop`: the recovery does not stop processes that write to "
                f"{p.place}; stop them yourself until the recovery is done"
            )
    return found


def _steps(
    service: Service, mode: Mode, each: Sequence[Placement], *, takes_point: bool, starts: bool
) -> list[RecoveryStep]:
    steps = []
    if takes_point:
        steps.append(RecoveryStep(StepKind.POINT, f"take a point of {service.name} in its present state"))
    for p in each:
        if p.state is BuildState.NEW:
            text = (
                f"build {p.name} ({p.component.kind}, {p.part.files:,} entries, {p.part.bytes_seen:,} bytes) "
                f"in {p.staging.data}"
            )
            steps.append(RecoveryStep(StepKind.BUILD, text, p.name))
    if mode is Mode.IN_PLACE:
        steps += [RecoveryStep(StepKind.STOP, f"stop {p.name}", p.name) for p in reversed(each)]
    # A tree that contains others goes first: installed later, it would move them aside with it.
    for p in sorted(each, key=lambda p: len(p.place.parts)):
        text = f"install {p.name} at {p.place}"
        if p.occupied and p.state is not BuildState.INSTALLING:
            text += f"; the present data moves to {p.aside}"
        steps.append(RecoveryStep(StepKind.INSTALL, text, p.name))
    if starts:
        steps += [
            RecoveryStep(StepKind.START, f"start {p.name} and wait until it answers", p.name) for p in each
        ]
        steps += [
            RecoveryStep(StepKind.CHECK, f"run check {checks.check_name(check)}") for check in service.checks
        ]
    return [*steps, RecoveryStep(StepKind.RECORD, "record the recovery in the vault")]
