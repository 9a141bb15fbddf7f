"""What a verification found, as values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Damage:
    """One damaged or missing object. points: ids of points that it touches; files: (component, path)."""

    object: str
    cause: str
    points: list[str] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Report:
    """packs: hex digests of damaged packs, for `Vault.condemn`. unlocked: whether names and data were opened;
    notes say what was not looked at. objects, bytes: how much was."""

    damaged: list[Damage] = field(default_factory=list)
    packs: list[str] = field(default_factory=list)
    unlocked: bool = True
    notes: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0

    @property
    def points_affected(self) -> list[str]:
        return sorted({point for damage in self.damaged for point in damage.points})

    def add(self, name: str, cause: str) -> Damage:
        damage = Damage(name, cause)
        self.damaged.append(damage)
        return damage
