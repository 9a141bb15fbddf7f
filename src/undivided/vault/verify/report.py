"""What a verification was asked to look at, and what it found, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scope:
    """What is looked at besides the structure, which always is.

    read_data: every stored byte. points: ids of points to decode wholly; sample: how many points more, those
    decoded longest ago first. within: seconds; packs that were read so lately are passed over. seconds: when
    to stop reading and decoding; the next verification begins where this one ended. recorded: whether what
    was looked at is said in the log.
    """

    read_data: bool = False
    points: Sequence[str] = ()
    sample: int = 0
    within: float = 0.0
    seconds: float | None = None
    recorded: bool = True


@dataclass(eq=False)
class Damage:
    """One damaged or missing object. points: ids of points that it touches; files: (component, path)."""

    object: str
    cause: str
    points: list[str] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class VerificationAge:
    """How much of the vault was verified how long ago. packs: how many there are; never: how many of them
    were not verified within the horizon (record.py); oldest_ns, median_ns: UTC, of all, 0 for never."""

    packs: int = 0
    never: int = 0
    oldest_ns: int = 0
    median_ns: int = 0


@dataclass
class Report:
    """packs: hex digests of damaged packs, and timelines: ids of those that lost a segment, for
    `Vault.mark_damaged`. unlocked: whether names and data were opened; notes say what was not looked at. objects,
    bytes: how much was. read, left: packs read, and packs that there was no time for; decoded: points.
    spent: damaged objects that nothing needs any more. whole: condemned packs, and whole_timelines: condemned
    timelines, that are as they were stored."""

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
    spent: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    whole_timelines: list[str] = field(default_factory=list)
    proven: VerificationAge = VerificationAge()

    @property
    def points_affected(self) -> list[str]:
        return sorted({point for damage in self.damaged for point in damage.points})

    def add(self, name: str, cause: str) -> Damage:
        """The damage of an object: the first cause that was found stands."""
        for known in self.damaged:
            if known.object == name:
                return known
        damage = Damage(name, cause)
        self.damaged.append(damage)
        return damage
