"""A point that is captured but not committed: all of it except its place in the log.

A point names the log entry that commits it and the digests of its timelines after that entry. Both are known
only when the commit takes its place in the log, and they change when another writer takes that place first.
So the writer asks for the record once for each place (vault/log/slot.py), and the draft makes it from values:
nothing is captured again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host.crashpoints import crashpoint
from ..model.entries import Entries
from ..model.point import ComponentPoint, RecoveryPoint
from ..model.service import Component, Service
from ..vault.vault import CommitPlace, Writer
from .cut import Cut
from .sink import ComponentSink
from .source_cache import CachedState, write_next


@dataclass(frozen=True)
class CapturedComponent:
    """One component as captured. entries: its whole tree, sorted by path. state: the driver's, for the next
    point. cached: the component at the last point, None for a new timeline."""

    component: Component
    directory: Path
    timeline: str
    cached: CachedState | None
    sink: ComponentSink
    entries: Entries
    state: Mapping[str, Any]


@dataclass
class PointDraft:
    """begun: monotonic seconds when the capture started. kept: for each changed component, the digest of the
    entries that were written for the next point."""

    id: str
    service: Service
    instant: Cut
    components: Mapping[str, CapturedComponent]
    begun: float
    kept: dict[str, str] = field(default_factory=dict)

    def continues(self) -> dict[str, str]:
        """Timeline → its digest at the last point, "" for a new timeline."""
        befores = [(part.timeline, part.cached) for part in self.components.values()]
        return {timeline: before.point.digest if before else "" for timeline, before in befores}

    def record(self, place: CommitPlace, writer: Writer) -> dict[str, Any]:
        """The body of the point's log entry at this place. First writes the entries of the changed components
        for the next point. Raises UndividedError when they cannot be written."""
        components = {name: self._component(name, place) for name in self.components}
        self._keep_entries(components)
        point = RecoveryPoint(
            id=self.id,
            service=self.service.name,
            time_ns=self.instant.time_ns,
            consistency=self.instant.overall,
            pause_ms=round(self.instant.pause_ms, 3),
            skew_ms=round(self.instant.skew_ms, 3),
            components=components,
            definition=self.service.definition,
            bytes_seen=sum(part.bytes_seen for part in components.values()),
            bytes_read=sum(part.bytes_read for part in components.values()),
            bytes_stored=writer.bytes_stored,
            seconds=round(time.monotonic() - self.begun, 3),
            notes=self.instant.notes,
        )
        return {"point": point.as_record()}

    def _component(self, name: str, place: CommitPlace) -> ComponentPoint:
        own = self.components[name]
        before = own.cached.point if own.cached else None
        digest = place.digests[own.timeline]
        changed = digest != (before.digest if before else "")
        return ComponentPoint(
            name=name,
            kind=own.component.kind,
            timeline=own.timeline,
            sequence=place.number if changed else before.sequence if before else 0,
            digest=digest,
            consistency=self.instant.consistency[name],
            position=self.instant.positions[name],
            state=own.state,
            took_ms=self.instant.took_ms[name],
            files=len(own.entries),
            bytes_seen=int(own.entries.size.sum()),
            bytes_read=own.sink.bytes_read,
            image="new" if own.sink.imaged else "continued",
            notes=tuple(own.sink.notes),
        )

    def _keep_entries(self, components: Mapping[str, ComponentPoint]) -> None:
        """Entries that were written for an earlier place are not written again."""
        for name, own in self.components.items():
            digest = components[name].digest
            before = own.cached.point.digest if own.cached else None
            if digest not in (before, self.kept.get(name)):
                write_next(own.directory, components[name], own.entries)
                self.kept[name] = digest
        crashpoint("protect.cache-written")
