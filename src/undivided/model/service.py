"""A service as a value: components, the edges between them, objectives, policy, checks.

The values here are valid already: config/service_file.py parses and checks service files, and
config/component_options.py has the keys of each kind of component.
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
        """This component in another place: other paths, ports, sockets, host."""
        host = str(changes.get("host", self.host))
        rest = {k: v for k, v in changes.items() if k != "host"}
        return replace(self, host=host, options={**self.options, **rest})


@dataclass(frozen=True, slots=True)
class Objectives:
    """Durations in seconds; None where nothing is agreed."""

    rpo: float | None = None
    rto: float | None = None
    proof: float | None = None


@dataclass(frozen=True, slots=True)
class CopyRule:
    """Points are copied to `vault`: each within `within` seconds of its mark, or one every `every`
    seconds."""

    vault: str
    within: float | None = None
    every: float | None = None
    keep: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """mark: seconds between two points. pause: the longest hold, in seconds. keep: rule → number of points;
    for `within`, seconds; empty: every point is kept."""

    mark: float | None = None
    pause: float = 5.0
    keep: Mapping[str, float] = field(default_factory=dict)
    copies: tuple[CopyRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that must hold after a recovery. Exactly one of http, command. expect: status, or exit
    code."""

    http: str | None = None
    command: tuple[str, ...] | None = None
    expect: int = 0
    contains: str | None = None
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """The unit of protection. needs: component → the components that it needs and may refer to. definition:
    the plain values of the applied file from which this was parsed; every point contains it."""

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
        """Components in start order: each rank needs only earlier ones. Holds and stops use the reverse
        order, dependents first."""
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
