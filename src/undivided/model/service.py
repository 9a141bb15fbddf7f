"""A service as a value: components, the edges between them, objectives, policy, checks.

Parsing service files, and every complaint about them, lives in config/service_file.py; what a component of
each kind may say, in config/component_options.py. Values here are already right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import UsageError


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a service. options: the keys of its kind (config/component_options.py), checked, defaults
    filled in."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    host: str = "localhost"

    def get(self, key: str, default: Any = None) -> Any:
        value = self.options.get(key)
        return default if value is None else value

    def at(self, changes: Mapping[str, Any]) -> Component:
        """This component living elsewhere: other paths, ports, sockets, host."""
        host = str(changes.get("host", self.host))
        rest = {k: v for k, v in changes.items() if k != "host"}
        return replace(self, host=host, options={**self.options, **rest})


@dataclass(frozen=True, slots=True)
class Objectives:
    """Durations in seconds; None where nothing was agreed."""

    rpo: float | None = None
    rto: float | None = None
    proof: float | None = None


@dataclass(frozen=True, slots=True)
class CopyRule:
    """Points also go to `vault`: each `within` seconds of its mark, or one `every` so many seconds."""

    vault: str
    within: float | None = None
    every: float | None = None
    keep: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """mark: seconds between points when followed. pause: hard cap of a hold, seconds. keep: rule → count, of
    `within` seconds; empty: everything stays."""

    mark: float | None = None
    pause: float = 5.0
    keep: Mapping[str, float] = field(default_factory=dict)
    copies: tuple[CopyRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold after a recovery. Exactly one of http, command. expect: status, or exit code."""

    http: str | None = None
    command: tuple[str, ...] | None = None
    expect: int = 0
    contains: str | None = None
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """The unit of protection. needs: a → the components it needs (may refer to). definition: the plain values
    of the file, as applied, from which this was parsed: kept with every point."""

    name: str
    components: Mapping[str, Component]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    objectives: Objectives = Objectives()
    policy: Policy = Policy()
    checks: tuple[Check, ...] = ()
    definition: Mapping[str, Any] = field(default_factory=dict)

    def component(self, name: str) -> Component:
        try:
            return self.components[name]
        except KeyError:
            known = ", ".join(self.components)
            raise UsageError(
                f"service {self.name} has no component {name!r}", hint=f"It has: {known}."
            ) from None

    def ranks(self) -> list[list[str]]:
        """Components in start order: each rank needs only earlier ones. Holds go through it backwards
        (dependents first), so does stopping."""
        placed: set[str] = set()
        ranks: list[list[str]] = []
        while len(placed) < len(self.components):
            rank = [
                c for c in self.components if c not in placed and placed.issuperset(self.needs.get(c, ()))
            ]
            assert rank, "a parsed service has no cycles"
            ranks.append(rank)
            placed.update(rank)
        return ranks
