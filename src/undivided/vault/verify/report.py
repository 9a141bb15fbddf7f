"""The scope of a verification, and what it found, as values."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scope:
    """What to read besides the structure, which is always checked.

    read_data: every stored byte. points: ids of points to decode completely; sample: how many points more,
    those decoded longest ago first. within: seconds; packs that were verified within them are skipped.
    seconds: the time limit for reading and decoding; the next verification continues where this one stopped.
    recorded: whether the log records what was verified.
    """

    read_data: bool = False
    points: Sequence[str] = ()
    sample: int = 0
    within: float = 0.0
    seconds: float | None = None
    recorded: bool = True


@dataclass(eq=False)
class Damage:
    """One damaged or missing object. points: ids of the affected points; files: (component, path)."""

    object: str
    cause: str
    points: list[str] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class VerificationAge:
    """How long ago the vault was verified. packs: how many there are; never: how many of them were not
    verified within the horizon (record.py); oldest_ns, median_ns: UTC, of all packs, 0 for never."""

    packs: int = 0
    never: int = 0
    oldest_ns: int = 0
    median_ns: int = 0


@dataclass
class Report:
    """packs: hex digests of damaged packs, and timelines: ids of timelines that lost a segment; both for
    `mark_damaged`. unlocked: whether names and data were opened. notes: sentences about what was not checked.
    objects, bytes: how many were checked. read, left: packs that were read, and packs for which no time was
    left. decoded: ids of points. unneeded: damaged objects that nothing needs any more. cleared: packs and
    cleared_timelines: timelines that are marked damaged and are whole."""

    damaged: list[Damage] = field(default_factory=list)
    packs: list[str] = field(default_factory=list)
    timelines: list[str] = field(default_factory=list)
    unlocked: bool = True
    notes: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    read: int = 0
    left: int = 0
    decoded: list[str] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    cleared_timelines: list[str] = field(default_factory=list)
    verification_age: VerificationAge = VerificationAge()

    @property
    def points_affected(self) -> list[str]:
        return sorted({point for damage in self.damaged for point in damage.points})

    def add(self, name: str, cause: str) -> Damage:
        """The damage of an object. The first cause that was found is kept."""
        for known in self.damaged:
            if known.object == name:
                return known
        damage = Damage(name, cause)
        self.damaged.append(damage)
        return damage

    def copy(self) -> Report:
        """Nothing of it is shared."""
        return deepcopy(self)
