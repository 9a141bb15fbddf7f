"""Service files and configuration, parsed once.

`protect` runs every few seconds on files that hardly ever change, and loading a YAML parser takes longer
than marking a small service. So `init` and `service apply` keep what they parsed, together with the very
text it was parsed from. It only counts while the text and the program are still the same: a file edited by
hand is simply parsed again.

    DIR/parsed/NAME.json    {"program": version, "text": the file, "value": what it says}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..host.paths import make_directory, save
from ..model.service import Check, Component, CopyRule, Objectives, Policy, Service


def keep(path: Path, text: str, value: Mapping[str, Any]) -> None:
    """Keeps what `text` says."""
    make_directory(path.parent)
    save(path, json.dumps({"program": __version__, "text": text, "value": value}).encode())


def kept(path: Path, text: str) -> dict[str, Any] | None:
    """What `text` says, or None when it has to be parsed."""
    try:
        record = json.loads(path.read_bytes())
        if record["program"] == __version__ and record["text"] == text:
            value: dict[str, Any] = record["value"]
            return value
    except (OSError, ValueError, KeyError, TypeError):
        # Lost or broken, it is worth nothing: the text says the same.
        return None
    return None


def service_record(service: Service) -> dict[str, Any]:
    """Plain JSON values."""
    return asdict(service)


def service_from(record: Mapping[str, Any]) -> Service:
    """The service that `service_record` was given, after its record has been through JSON."""
    policy = record["policy"]
    return Service(
        name=record["name"],
        components={name: Component(**part) for name, part in record["components"].items()},
        needs={name: tuple(targets) for name, targets in record["needs"].items()},
        objectives=Objectives(**record["objectives"]),
        policy=Policy(**{**policy, "copies": tuple(CopyRule(**rule) for rule in policy["copies"])}),
        checks=tuple(
            Check(**{**check, "command": check["command"] and tuple(check["command"])})
            for check in record["checks"]
        ),
        definition=record["definition"],
    )
