"""`undivided service …`: the services applied here and their components."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..model.durations import format_duration
from ..model.service import Service
from ..operations.services import (
    apply_services,
    listed_record,
    remove_service,
    show_service,
)
from ..operations.services import list_services as listed
from .options import COMMON, Common
from .output import NO_SERVICE, emit, plural, table


def apply(*files: Path, common: Common = COMMON) -> int:
    """Apply service files.

    All files are checked before any is applied; every mistake in them is
    reported at once.

    Example: undivided service apply portal.yaml

    Parameters
    ----------
    files:
        Service files, in YAML; `undivided service schema` describes them.
    """
    applied = apply_services(common.open(), files)
    emit(
        common.json,
        {"services": [one.as_record() for one in applied]},
        (f"{a.service.name}: {a.result}, {plural(len(a.service.components), 'component')}" for a in applied),
    )
    return 0


def list_services(*, common: Common = COMMON) -> int:
    """List the services applied here.

    Example: undivided service list
    """
    found = listed(common.open())
    rows = [[s.name, ", ".join(f"{c.name} ({c.kind})" for c in s.components.values())] for s in found]
    lines = table(["SERVICE", "COMPONENTS"], rows) if rows else [NO_SERVICE]
    emit(common.json, {"services": [listed_record(service) for service in found]}, lines)
    return 0


def show(service: str, /, *, common: Common = COMMON) -> int:
    """Show a service's components, objectives and order.

    Example: undivided service show portal

    Parameters
    ----------
    service:
        Name of the service.
    """
    found = show_service(common.open(), service)
    emit(common.json, found.as_record(), _lines(found.service))
    return 0


def _lines(service: Service) -> Iterator[str]:
    yield f"service {service.name}"
    for component in service.components.values():
        options = ", ".join(f"{k} {_short(v)}" for k, v in component.options.items())
        yield f"  {component.name}: {component.kind}{', ' if options else ''}{options}"
    for name, targets in service.needs.items():
        yield f"  {name} needs {', '.join(targets)}"
    objectives = {
        "rpo": service.objectives.rpo,
        "rto": service.objectives.rto,
        "proof": service.objectives.proof,
    }
    parts = [f"{name} {format_duration(value)}" for name, value in objectives.items() if value is not None]
    yield f"  objectives: {', '.join(parts) or 'none'}"
    yield f"  start order: {' → '.join(', '.join(rank) for rank in service.ranks())}"


def remove(service: str, /, *, common: Common = COMMON) -> int:
    """Stop protecting a service here.

    Its points stay in the vault and can still be recovered.

    Example: undivided service remove portal

    Parameters
    ----------
    service:
        Name of the service.
    """
    remove_service(common.open(), service)
    emit(
        common.json,
        {"service": service, "result": "removed"},
        [f"{service}: removed; its points stay in the vault"],
    )
    return 0


def schema(*, common: Common = COMMON) -> int:
    """Print the JSON Schema of service files, for your editor.

    Example: undivided service schema > service.schema.json
    """
    from ..config.json_schema import service_schema

    del common
    json_format.dump(service_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k} {_short(v)}" for k, v in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
