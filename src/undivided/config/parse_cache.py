"""A cache of parsed files: each service file and config.yaml is parsed once.

`protect` runs every few seconds on files that hardly ever change, and loading a YAML parser takes longer than
taking a point of a small service. So `init` and `service apply` store the parsed value together with the text
of the file. The value is used only while the text and the program's version are the same; otherwise the file
is parsed again.

    DIR/cache/NAME.json    {"program": version, "text": the file, "value": the parsed value}

It is a cache: every file of it may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..host.atomic_files import make_directories, replace_file
from ..model.service import Check, Component, CopyRule, Objectives, Policy, Service
from .files import file_errors

_log = logging.getLogger(__name__)


def store_parsed(path: Path, text: str, value: Mapping[str, Any]) -> None:
    """Stores the parsed value of `text`. Raises UndividedError when it cannot be written."""
    record = json.dumps({"program": __version__, "text": text, "value": value})
    with file_errors(f"write {path}"):
        make_directories(path.parent)
        replace_file(path, record.encode())


def load_parsed(path: Path, text: str) -> dict[str, Any] | None:
    """The parsed value of `text`, or None when it must be parsed."""
    try:
        record = json.loads(path.read_bytes())
        if record["program"] == __version__ and record["text"] == text:
            value: dict[str, Any] = record["value"]
            return value
        _log.debug("%s is out of date: its file is parsed again", path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        # A lost or damaged file is no loss: the text has the same content.
        _log.debug("%s cannot be used, its file is parsed again: %s", path, error)
    return None


def service_record(service: Service) -> dict[str, Any]:
    """A service as plain JSON values."""
    return asdict(service)


def service_from_record(record: Mapping[str, Any]) -> Service:
    """The service of a record that went through JSON."""
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
