"""service apply, list, show, remove: the services that are applied here."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.files import file_errors
from ..config.parse_cache import service_record, store_parsed
from ..host.atomic_files import make_directories, replace_file
from ..model.errors import UsageError
from ..model.service import Service
from .workspace import Workspace


@dataclass(frozen=True)
class Applied:
    """result: applied, changed or unchanged."""

    service: Service
    result: str

    def as_record(self) -> dict[str, Any]:
        return {
            "service": self.service.name,
            "result": self.result,
            "components": list(self.service.components),
        }


def apply_services(workspace: Workspace, files: Sequence[Path]) -> list[Applied]:
    """Checks all files, then applies all of them, or none. Raises UsageError with every mistake of a file."""
    _ = workspace.config
    if not files:
        raise UsageError("no service file is given", hint="Run `undivided service apply portal.yaml`.")
    checked = [_read(path) for path in files]
    with file_errors(f"make directory {workspace.services_directory}"):
        make_directories(workspace.services_directory)
    return [_apply(workspace, text, service) for text, service in checked]


def _apply(workspace: Workspace, text: str, service: Service) -> Applied:
    path = workspace.service_file(service.name)
    before = path.read_bytes() if path.exists() else None
    unchanged = before == text.encode()
    if not unchanged:
        with file_errors(f"write {path}"):
            replace_file(path, text.encode())
    store_parsed(workspace.parse_cache_file(f"service-{service.name}"), text, service_record(service))
    return Applied(service, "unchanged" if unchanged else "applied" if before is None else "changed")


def _read(path: Path) -> tuple[str, Service]:
    from ..config.service_file import parse_service
    from ..drivers.registry import driver_for

    text = file_text(path, hint="Give the path of a service file.")
    service = parse_service(text, str(path))
    here = ("localhost", "127.0.0.1", socket.gethostname())
    for component in service.components.values():
        if component.host not in here:
            raise UsageError(
                f"component {component.name} is on host {component.host}, not on this one",
                doing=f"apply {path}",
                hint="Run undivided on that host, or leave `host` out.",
            )
        try:
            driver_for(component)
        except UsageError as error:
            cause = f"component {component.name}: {error.cause}"
            raise UsageError(cause, doing=f"apply {path}", hint=error.hint) from None
    return text, service


def file_text(path: Path, hint: str) -> str:
    """A file that an operator named. Raises UsageError when it cannot be read as text."""
    with file_errors(f"read {path}", hint, raises=UsageError):
        return path.read_text()


def list_services(workspace: Workspace) -> list[Service]:
    """The services applied here, by name."""
    _ = workspace.config
    return [workspace.service(name) for name in workspace.services()]


def listed_record(service: Service) -> dict[str, Any]:
    """A service as `service list` answers it."""
    components = {c.name: {"kind": c.kind, "host": c.host} for c in service.components.values()}
    return {"service": service.name, "components": components}


@dataclass(frozen=True)
class ShownService:
    """file: where the applied definition is kept."""

    service: Service
    file: Path

    def as_record(self) -> dict[str, Any]:
        return {
            "service": self.service.name,
            "file": str(self.file),
            "definition": self.service.definition,
            "order": self.service.ranks(),
        }


def show_service(workspace: Workspace, name: str) -> ShownService:
    """Raises UsageError when no service of that name is applied here."""
    _ = workspace.config
    return ShownService(workspace.service(name), workspace.service_file(name))


def remove_service(workspace: Workspace, name: str) -> None:
    """The service is not protected here any more. Its points stay in the vault. Raises UsageError when no
    service of that name is applied here."""
    _ = workspace.config
    workspace.service(name)
    path = workspace.service_file(name)
    with file_errors(f"remove {path}"):
        path.unlink()
        workspace.parse_cache_file(f"service-{name}").unlink(missing_ok=True)
