"""Where each component of a recovery goes, where it is built, and what earlier attempts left there.

Components can lie within each other: a SQLite database in an upload tree. The tree then goes first, and
takes aside all that is in it, so the database is built outside the tree and put into the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import UsageError
from ..model.point import ComponentPoint, RecoveryPoint
from ..model.service import Component, Service
from .staging import First, Record, Stage, Staging, leftovers
from .targets import enclosing, here, occupied, place_of


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one component goes. component: with the options it will live with. place: what is exchanged.
    suffix: how the name of what moves aside ends. occupied: whether something is there. stage: how far an
    earlier attempt got."""

    component: Component
    part: ComponentPoint
    place: Path
    staging: Staging
    suffix: str
    occupied: bool
    stage: Stage

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def aside(self) -> Path:
        return _aside(self.place, self.suffix)


@dataclass(frozen=True, slots=True)
class Placements:
    """All components in start order. first: the point that an interrupted attempt took of the live service
    before it touched it. warnings: what an operator should know of what earlier attempts left."""

    each: tuple[Placement, ...]
    first: First | None
    warnings: tuple[str, ...]


def components_of(service: Service, point: RecoveryPoint) -> list[Component]:
    """The service's components in start order. Raises UsageError unless they are those of the point."""
    hint = "Recover with the service as it was then: its definition is kept in the point."
    for name, part in point.components.items():
        if service.component(name).kind != part.kind:
            kind = service.component(name).kind
            raise UsageError(f"{name} is a {kind} now and was a {part.kind} at point {point.id}", hint=hint)
    for name in service.components:
        if name not in point.components:
            raise UsageError(f"point {point.id} was taken before {name} belonged to the service", hint=hint)
    return [service.components[name] for rank in service.ranks() for name in rank]


def beneath(component: Component, root: Path) -> Component:
    """The component under DIR/<component>; the one file of a SQLite database keeps its name there."""
    path = root / component.name
    if component.kind == "sqlite":
        path /= Path(component.options["path"]).name
    reached = {"address": "127.0.0.1"} if component.get("address") else {}
    return component.at({"path": str(path), "host": "localhost", **reached})


def placements(service: Service, point: RecoveryPoint, components: Sequence[Component]) -> Placements:
    """components: as they will live, in start order. Looks, and changes nothing. Raises UsageError when one
    lives on another host, or when nobody knows where it lives."""
    for component in components:
        here(component)
    places = {c.name: place_of(c, point.components[c.name]) for c in components}
    stagings, records, warnings = {}, list[Record](), list[str]()
    for name, place in places.items():
        parent = _staging_parent(place, list(places.values()))
        stagings[name] = Staging.within(parent, point.id, name)
        for staging, record in leftovers(parent, name, service.name):
            records.append(record)
            if record.point != point.id:
                warnings.append(
                    f"a recovery of {name} to point {record.point} was interrupted: {staging.directory} can "
                    f"be removed after this; what it moved aside ends in {record.suffix}"
                )
    ours = [record for record in records if record.point == point.id]
    suffix = ours[0].suffix if ours else _free_suffix(point.id, places.values())
    each = []
    for component in components:
        name, place, staging = component.name, places[component.name], stagings[component.name]
        left = staging.record()
        stage = staging.stage() if left and left.place == str(place) else Stage.NEW
        if stage is Stage.TAKING:
            warnings.append(
                f"{name} at {place} was recovered by an attempt that was interrupted, and stays; to recover "
                f"it anew, remove {staging.directory} first"
            )
        placed = component.at({"path": str(place)})
        part = point.components[name]
        each.append(Placement(placed, part, place, staging, suffix, occupied(place), stage))
    first = next((record.first for record in records if record.first), None)
    return Placements(tuple(each), first, tuple(warnings))


def _staging_parent(place: Path, places: Sequence[Path]) -> Path:
    """On the filesystem of the place, and outside all that goes aside before it."""
    outermost = enclosing(place, places)
    if outermost == place and os.path.ismount(place):
        return place
    return outermost.parent


def _aside(place: Path, suffix: str) -> Path:
    """Where `install` moves what is at the place."""
    if os.path.ismount(place):
        return place / f".undivided-old{suffix}"
    return place.with_name(place.name + suffix)


def _free_suffix(point_id: str, places: Iterable[Path]) -> str:
    """An ending that nothing has yet: what an earlier recovery moved aside is never written over."""
    known = list(places)
    suffix, number = f".before-{point_id}", 1
    while any(os.path.lexists(_aside(place, suffix)) for place in known):
        number += 1
        suffix = f".before-{point_id}-{number}"
    return suffix
