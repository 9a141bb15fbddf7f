"""Where each component of a recovery goes, where it is built, and how far earlier attempts got.

Components can lie within each other: a SQLite database in an upload tree. The tree is then installed first,
and its old content moves aside with it, so the database is built outside the tree and put into the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import UsageError
from ..model.point import ComponentPoint, RecoveryPoint
from ..model.service import Component, Service
from .staging import BuildState, PointBefore, Staging, StagingRecord, leftovers
from .targets import enclosing, occupied, place_of, refuse_other_host


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one component goes. component: with the options it will run with. place: the path to exchange.
    suffix: the ending of the names of data that moves aside. occupied: whether the place holds data. state:
    how far an earlier attempt got."""

    component: Component
    part: ComponentPoint
    place: Path
    staging: Staging
    suffix: str
    occupied: bool
    state: BuildState

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def aside(self) -> Path:
        return _aside(self.place, self.suffix)


@dataclass(frozen=True, slots=True)
class Placements:
    """All components in start order. first: the point that an interrupted attempt took of the live service
    before it changed it. warnings: about the remains of earlier attempts, for the operator."""

    each: tuple[Placement, ...]
    first: PointBefore | None
    warnings: tuple[str, ...]


def components_of(service: Service, point: RecoveryPoint) -> list[Component]:
    """The service's components in start order. Raises UsageError unless they are those of the point."""
    hint = "Apply the service file of that time, or use --target: then the definition in the point counts."
    for name, part in point.components.items():
        if service.component(name).kind != part.kind:
            kind = service.component(name).kind
            raise UsageError(
                f"{name} is of kind {kind}, but of kind {part.kind} in point {point.id}", hint=hint
            )
    for name in service.components:
        if name not in point.components:
            raise UsageError(f"{name} is not in point {point.id}", hint=hint)
    return [service.components[name] for rank in service.ranks() for name in rank]


def beneath(component: Component, root: Path) -> Component:
    """The component under DIR/<component>; the one file of a SQLite database keeps its name there."""
    path = root / component.name
    if component.kind == "sqlite":
        path /= Path(component.options["path"]).name
    reached = {"address": "127.0.0.1"} if component.get("address") else {}
    return component.at({"path": str(path), "host": "localhost", **reached})


def placements(service: Service, point: RecoveryPoint, components: Sequence[Component]) -> Placements:
    """components: as they will run, in start order. Reads only, changes nothing. Raises UsageError when a
    component belongs to another host, or when its data directory is unknown."""
    for component in components:
        refuse_other_host(component)
    places = {c.name: place_of(c, point.components[c.name]) for c in components}
    stagings, records, warnings = {}, list[StagingRecord](), list[str]()
    for name, place in places.items():
        parent = _staging_parent(place, list(places.values()))
        stagings[name] = Staging.within(parent, point.id, name)
        for staging, record in leftovers(parent, name, service.name):
            records.append(record)
            if record.point != point.id:
                warnings.append(
                    f"an earlier recovery of {name} to point {record.point} was interrupted: remove "
                    f"{staging.directory} after this one; data that it moved aside has names ending in "
                    f"{record.suffix}"
                )
    ours = [record for record in records if record.point == point.id]
    suffix = ours[0].suffix if ours else _free_suffix(point.id, places.values())
    each = []
    for component in components:
        name, place, staging = component.name, places[component.name], stagings[component.name]
        left = staging.record()
        state = staging.state() if left and left.place == str(place) else BuildState.NEW
        if state is BuildState.INSTALLING:
            warnings.append(
                f"{name} at {place} is kept: an interrupted attempt has already recovered it; to recover it "
                f"again, remove {staging.directory} first"
            )
        placed = component.at({"path": str(place)})
        part = point.components[name]
        each.append(Placement(placed, part, place, staging, suffix, occupied(place), state))
    first = next((record.first for record in records if record.first), None)
    return Placements(tuple(each), first, tuple(warnings))


def _staging_parent(place: Path, places: Sequence[Path]) -> Path:
    """On the filesystem of the place, and outside every tree that moves aside before it."""
    outermost = enclosing(place, places)
    if outermost == place and os.path.ismount(place):
        return place
    return outermost.parent


def _aside(place: Path, suffix: str) -> Path:
    """Where `install` moves the data that is at the place."""
    if os.path.ismount(place):
        return place / f".undivided-old{suffix}"
    return place.with_name(place.name + suffix)


def _free_suffix(point_id: str, places: Iterable[Path]) -> str:
    """An ending that no file has yet: data that an earlier recovery moved aside is never overwritten."""
    known = list(places)
    suffix, number = f".before-{point_id}", 1
    while any(os.path.lexists(_aside(place, suffix)) for place in known):
        number += 1
        suffix = f".before-{point_id}-{number}"
    return suffix
