"""Targets: where the data of components is, and which data must not be overwritten.

Recovery over live data happens only on explicit request (--in-place). Every other target must be free: no
file, no directory with files in it, no server that answers. The host itself is examined, not the service
file: an original that is lost occupies no target.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.component_options import KINDS
from ..drivers.registry import driver_for
from ..model.errors import SourceError, UsageError, error_context
from ..model.point import ComponentPoint
from ..model.service import Component
from .errors import HINTS
from .staging import PREFIX

_ANSWER_SECONDS = 1.0
_HERE = ("localhost", "127.0.0.1", "::1")


def place_of(component: Component, part: ComponentPoint) -> Path:
    """The path that is exchanged when the component is recovered in place: a directory, or the file of a
    SQLite database. Links to it are resolved, so that the data moves and not the link."""
    path = component.get("path")
    if path is None:
        try:
            path = driver_for(component).directory()
        except SourceError as error:
            path = part.state.get("directory")
            if path is None:
                raise UsageError(
                    f"the data directory of {component.name} is unknown: {error.cause}",
                    hint=f"Give {component.name} a `path` in the service file or in the target.",
                ) from error
    with error_context(f"find the data of {component.name}", HINTS):
        return Path(os.path.realpath(path))


def refuse_other_host(component: Component) -> None:
    """Raises UsageError when the component belongs to another host or its server has the address of one:
    nothing is recovered to the wrong host."""
    if component.host not in (*_HERE, socket.gethostname(), socket.getfqdn()):
        raise UsageError(
            f"{component.name} belongs to host {component.host}, but this is {socket.gethostname()}",
            hint=f"Recover on {component.host}, or give {component.name} a target with `host: localhost`.",
        )

    address = component.get("address")
    if address is not None and component.get("socket") is None and not _has_address(str(address)):
        raise UsageError(
            f"{component.name} has the address {address}, which is not an address of this host",
            hint=f"Recover on the host with that address, or give {component.name} an `address` in a target.",
        )


def _has_address(address: str) -> bool:
    """Whether this host has the address: only then a socket can be bound to it."""
    try:
        for family, _, _, _, name in socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM):
            with socket.socket(family) as probe:
                probe.bind(name)
    except OSError:
        return False
    return True


def occupied(place: Path) -> bool:
    """Whether the place holds data: a file of any kind, or a directory that is not empty. The `lost+found` of
    a filesystem and the staging of a recovery do not count."""
    with error_context(f"examine {place}", HINTS):
        if not os.path.lexists(place):
            return False
        if not place.is_dir():
            return True
        names = os.listdir(place)
        if place.is_mount():
            names = [name for name in names if name != "lost+found" and not name.startswith(PREFIX)]
        return bool(names)


def endpoints(component: Component, part: ComponentPoint) -> list[tuple[str, str | tuple[str, int]]]:
    """The addresses on which a server of this component, recovered from `part`, will answer: (name for
    messages, address to connect to)."""
    found: list[tuple[str, str | tuple[str, int]]] = []
    port, path = _port(component, part.state.get("settings", {})), component.get("socket")
    if port:
        address = str(component.get("address", "127.0.0.1"))
        found.append((f"port {port} of {address}", (address, port)))
    if path is not None:
        # A PostgreSQL socket option names the directory; the port names the file in it.
        file = f"{path}/.s.PGSQL.{port}" if component.kind == "postgresql" else str(path)
        found.append((f"the socket {file}", file))
    return found


def _port(component: Component, settings: Mapping[str, Any]) -> int:
    """The TCP port it will have; 0 for none. settings: the original's. A component without a `port` has the
    usual port of its kind; docs/drivers describes how each driver uses it."""
    port = int(component.get("port", 0))
    if component.kind == "mariadb" and settings.get("skip_networking") == "ON":
        return 0
    if component.kind not in ("mariadb", "redis") or port != KINDS[component.kind]["port"].default:
        return port
    path = component.get("socket")
    if component.kind == "redis" and path is not None and path != settings.get("unixsocket"):
        return 0
    return int(settings.get("port", port)) if component.kind == "mariadb" or path else port


def answers(endpoint: str | tuple[str, int]) -> bool:
    """Whether a server listens there now."""
    try:
        if isinstance(endpoint, tuple):
            socket.create_connection(endpoint, _ANSWER_SECONDS).close()
        else:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(_ANSWER_SECONDS)
                client.connect(endpoint)
    except OSError:
        return False
    return True


def refuse_collisions(each: Sequence[tuple[Component, ComponentPoint, Path]]) -> None:
    """Raises UsageError when two components would use the same path, port or socket."""
    taken: dict[object, str] = {}
    for component, part, place in each:
        for label, key in [(str(place), place), *endpoints(component, part)]:
            other = taken.setdefault(key, component.name)
            if other != component.name:
                raise UsageError(
                    f"{other} and {component.name} would both use {label}",
                    hint=f"Give {component.name} another path, port or socket in the target.",
                )


def refuse_occupied(
    component: Component, part: ComponentPoint, place: Path, original: Path | None, *, endpoints_too: bool
) -> None:
    """Raises UsageError unless the component's target is free. original: the path that was protected.
    endpoints_too: the addresses of its server must be free as well."""
    if occupied(place):
        if place == original:
            raise UsageError(
                f"{place} holds the live data of {component.name}",
                hint=f"Give {component.name} another path in the target, or recover with --in-place, which "
                "moves the live data aside.",
            )
        raise UsageError(
            f"{place} {'is not empty' if place.is_dir() else 'already exists'}",
            hint=f"Recover {component.name} to an empty directory or to a path that does not exist.",
        )
    for label, endpoint in endpoints(component, part) if endpoints_too else ():
        if answers(endpoint):
            raise UsageError(
                f"{component.name} would use {label}, but a server already answers there",
                hint=f"Give {component.name} another port or socket in the target, or stop that server.",
            )


def inside_protected(places: Mapping[str, Path], originals: Sequence[Component]) -> list[str]:
    """Warnings for targets in a tree that is itself protected: the next points would contain them too."""
    trees = [Path(os.path.realpath(c.options["path"])) for c in originals if c.kind == "files"]
    return [
        f"{place} lies in the protected tree {tree}: the next points will contain {name} twice"
        for name, place in places.items()
        for tree in trees
        if tree in place.parents and tree.is_dir()
    ]


def short_of_space(builds: Sequence[tuple[Path, int]]) -> list[str]:
    """Warnings for filesystems with less room than the builds there may need. builds: (directory, bytes)."""
    needed: dict[int, tuple[Path, int]] = {}
    for directory, size in builds:
        existing = next(parent for parent in directory.parents if parent.is_dir())
        with error_context(f"examine {existing}", HINTS):
            device = existing.stat().st_dev
        _, before = needed.get(device, (existing, 0))
        needed[device] = (existing, before + size)
    warnings = []
    for existing, size in needed.values():
        with error_context(f"read the free space of {existing}", HINTS):
            found = os.statvfs(existing)
        free = found.f_bavail * found.f_frsize
        if free < size:
            warnings.append(f"{existing} has {free:,} bytes free, but the builds there may need {size:,}")
    return warnings


def enclosing(place: Path, others: Sequence[Path]) -> Path:
    """The outermost of `others` that contains `place`; `place` itself when none does."""
    holders = [other for other in others if other in place.parents]
    return min(holders, key=lambda path: len(path.parts), default=place)
