"""Recovery points: one instant of a whole service, and a record of how it was taken.

A point exists only if it contains every component. Its consistency is computed from measurements
(capture/cut.py), never declared. The consistency of the whole is that of its worst part.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class Consistency(enum.StrEnum):
    """How an instant was made; the best first."""

    APPLICATION = "application"
    """Every component was held by its own means; at most one was only marked."""
    CRASH = "crash"
    """Held from outside: frozen processes, a frozen filesystem, or one atomic snapshot."""
    ORDERED = "ordered"
    """Not all components could be held: read in reference order. `notes` name what is not guaranteed."""
    TIME = "time"
    """Between marks, by timestamps."""

    @staticmethod
    def worst(parts: list[Consistency]) -> Consistency:
        order = list(Consistency)
        return max(parts, key=order.index)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a component's own log. `text` is the application's own notation; `order` compares positions
    of one component: later is greater."""

    text: str
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentPoint:
    """One component's part in a point.

    timeline: its id in the vault. sequence: the commit that last changed its timeline, 0 when never. digest:
    hex, chained over its segments up to this commit. state: values from which the driver restores or
    continues (never a secret). bytes_seen: size of the protected data; bytes_read: bytes read from the source
    for this point. The bytes added to the vault are known for the whole point only, because components share
    chunks.
    """

    name: str
    kind: str
    timeline: str
    sequence: int
    digest: str
    consistency: Consistency
    position: Position
    state: Mapping[str, Any] = field(default_factory=dict)
    took_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of its hold, mark and release: they show which component made the pause long."""
    files: int = 0
    bytes_seen: int = 0
    bytes_read: int = 0
    image: str = "continued"
    """'new' if this point took a new image, 'continued' if it continues the last one; with the reason."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """One instant across all components of a service. Times are UTC nanoseconds since the epoch.

    pause_ms: from the request of the first hold to the end of the last release, as the application felt it.
    skew_ms: between the first and the last position read. definition: the service as applied, so that the
    vault alone is enough to recover.
    """

    id: str
    service: str
    time_ns: int
    consistency: Consistency
    pause_ms: float
    skew_ms: float
    components: Mapping[str, ComponentPoint]
    definition: Mapping[str, Any] = field(default_factory=dict)
    bytes_seen: int = 0
    bytes_read: int = 0
    bytes_stored: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values, as stored in the commit log."""
        return asdict(self)

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> RecoveryPoint:
        parts = {}
        for name, part in record["components"].items():
            position = Position(part["position"]["text"], tuple(part["position"]["order"]))
            kept = {**part, "position": position, "consistency": Consistency(part["consistency"])}
            parts[name] = ComponentPoint(**{**kept, "notes": tuple(part["notes"])})
        whole = {**record, "components": parts, "consistency": Consistency(record["consistency"])}
        return RecoveryPoint(**{**whole, "notes": tuple(record["notes"])})
