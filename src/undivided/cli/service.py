"""`undivided service …`: which services there are here and what they are made of."""

from __future__ import annotations

import json as json_format
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..config.parse_cache import service_record, store_parsed
from ..config.service_file import parse_service
from ..host.paths import file_error, make_directory, save
from ..model.durations import format_duration
from ..model.errors import UsageError
from ..model.service import Service
from .options import COMMON, Common
from .output import emit, plural, table


def apply(*files: Path, common: Common = COMMON) -> int:
    """Take over service files.

    All files are checked before any is taken over; every mistake in them is
    told at once.

    Example: undivided service apply portal.yaml

    Parameters
    ----------
    files:
        Service files, in YAML; `undivided service schema` describes them.
    """
    context = common.open()
    _ = context.config
    if not files:
        raise UsageError("no service file given", hint="Run `undivided service apply portal.yaml`.")
    read = [_read(path) for path in files]
    applied = []
    make_directory(context.services_directory)
    for text, service in read:
        path = context.service_file(service.name)
        there = path.read_bytes() if path.exists() else None
        if there != text.encode():
            save(path, text.encode())
        store_parsed(context.parse_cache_file(f"service-{service.name}"), text, service_record(service))
        did = "unchanged" if there == text.encode() else "applied" if there is None else "changed"
        applied.append({"service": service.name, "result": did, "components": list(service.components)})
    emit(
        common.json,
        {"services": applied},
        (f"{a['service']}: {a['result']}, {plural(len(a['components']), 'component')}" for a in applied),
    )
    return 0


def _read(path: Path) -> tuple[str, Service]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not text"
        raise UsageError(cause, doing=f"read {path}", hint="Give the path of a service file.") from None
    service = parse_service(text, str(path))
    here = ("localhost", "127.0.0.1", socket.gethostname())
    for component in service.components.values():
        if component.host not in here:
            raise UsageError(
                f"component {component.name} lives on {component.host}, and only this host can be protected",
                doing=f"apply {path}",
                hint="Run undivided on that host, or leave `host` out.",
            )
    return text, service


def list_services(*, common: Common = COMMON) -> int:
    """List the services applied here.

    Example: undivided service list
    """
    context = common.open()
    _ = context.config
    services = [context.service(name) for name in context.services()]
    rows = [[s.name, ", ".join(f"{c.name} ({c.kind})" for c in s.components.values())] for s in services]
    records = [{"service": s.name, "components": _components(s)} for s in services]
    nothing = ["No service is applied here. `undivided service apply FILE` takes one over."]
    emit(common.json, {"services": records}, table(["SERVICE", "COMPONENTS"], rows) if rows else nothing)
    return 0


def show(service: str, /, *, common: Common = COMMON) -> int:
    """Show what a service is made of and what was agreed about it.

    Example: undivided service show portal

    Parameters
    ----------
    service:
        Its name.
    """
    context = common.open()
    _ = context.config
    found = context.service(service)
    record = {
        "service": found.name,
        "file": str(context.service_file(service)),
        "definition": found.definition,
        "order": found.ranks(),
    }
    emit(common.json, record, _story(found))
    return 0


def _story(service: Service) -> Iterator[str]:
    yield f"service {service.name}"
    for component in service.components.values():
        options = ", ".join(f"{k} {_short(v)}" for k, v in component.options.items())
        yield f"  {component.name}: {component.kind}{', ' if options else ''}{options}"
    for name, targets in service.needs.items():
        yield f"  {name} needs {', '.join(targets)}"
    agreed = {"rpo": service.objectives.rpo, "rto": service.objectives.rto, "proof": service.objectives.proof}
    said = [f"{name} {format_duration(value)}" for name, value in agreed.items() if value is not None]
    yield f"  objectives: {', '.join(said) or 'none agreed'}"
    yield f"  started in this order: {' → '.join(', '.join(rank) for rank in service.ranks())}"


def remove(service: str, /, *, common: Common = COMMON) -> int:
    """Forget a service here.

    Its points stay in the vault and can still be recovered.

    Example: undivided service remove portal

    Parameters
    ----------
    service:
        Its name.
    """
    context = common.open()
    _ = context.config
    context.service(service)
    path = context.service_file(service)
    try:
        os.unlink(path)
        context.parse_cache_file(f"service-{service}").unlink(missing_ok=True)
    except OSError as error:
        raise file_error(error, f"remove {path}") from error
    emit(common.json, {"service": service, "result": "removed"}, [f"{service}: expired; its points stay"])
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


def _components(service: Service) -> dict[str, Any]:
    return {c.name: {"kind": c.kind, "host": c.host} for c in service.components.values()}


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k} {_short(v)}" for k, v in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
