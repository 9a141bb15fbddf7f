"""The JSON Schema of a service file, for editors: completion and red underlines while typing.

Generated from the very tables the parser reads (config/component_options.py, config/service_sections.py), so it cannot say anything
else than the parser does. What a schema cannot say (cycles, paths that exist) only `service apply` checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model.durations import PATTERN
from .component_options import KINDS, Key, Type
from .option_readers import FREEZES, SECRET_SOURCES, WRITERS
from .service_sections import CHECK, COMPONENT, COPY, KEEP_RULES, NAME, OBJECTIVES, POLICY, REQUIRED, TOP

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_PATH: dict[str, Any] = {"type": "string", "pattern": "^/"}
_COMMAND: dict[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1}


def _one_of(names: tuple[str, ...], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    shapes = {"command": _COMMAND, "file": _PATH, "cgroup": _PATH, "pidfile": _PATH}
    return {
        "type": "object",
        "properties": {**{name: shapes.get(name, _TEXT) for name in names}, **(more or {})},
        "oneOf": [{"required": [name]} for name in names],
        "additionalProperties": False,
    }


_DURATION: dict[str, Any] = {"type": "string", "pattern": PATTERN}
_AMOUNT = {Type.INTEGER: {"type": "integer", "minimum": 1}, Type.DURATION: _DURATION}
_SHAPES: Mapping[Type, dict[str, Any]] = {
    Type.TEXT: _TEXT,
    Type.PORT: {"type": "integer", "minimum": 1, "maximum": 65535},
    Type.PATH: _PATH,
    Type.FLAG: {"type": "boolean"},
    Type.TEXTS: {"type": "array", "items": _TEXT},
    Type.COMMAND: _COMMAND,
    Type.SECRET: _one_of(SECRET_SOURCES),
    Type.WRITERS: _one_of(WRITERS, {"freeze": {"enum": list(FREEZES)}}),
    Type.DURATION: _DURATION,
    Type.INTEGER: {"type": "integer"},
    Type.URL: {"type": "string", "pattern": "^https?://[^@/\\s]+(/\\S*)?$"},
    Type.KEEP: {
        "type": "object",
        "properties": {
            rule: {"description": key.says, **_AMOUNT[key.type]} for rule, key in KEEP_RULES.items()
        },
        "minProperties": 1,
        "additionalProperties": False,
    },
}


def service_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of a service file."""
    sections: dict[str, dict[str, Any]] = {
        "service": {"type": "string", "pattern": NAME},
        "components": {
            "type": "object",
            "propertyNames": {"pattern": NAME},
            "minProperties": 1,
            "additionalProperties": {"oneOf": [_component(kind, keys) for kind, keys in KINDS.items()]},
        },
        "needs": {
            "type": "object",
            "additionalProperties": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]},
        },
        "objectives": _object(OBJECTIVES),
        "policy": _policy(),
        "checks": {
            "type": "array",
            "items": {**_object(CHECK), "oneOf": [{"required": ["http"]}, {"required": ["command"]}]},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Undivided service",
        "type": "object",
        "properties": {name: {"description": TOP[name], **shape} for name, shape in sections.items()},
        "required": list(REQUIRED),
        "additionalProperties": False,
    }


def _component(kind: str, keys: Mapping[str, Key]) -> dict[str, Any]:
    shape = _object(keys)
    own = {
        "kind": {"const": kind, "description": COMPONENT["kind"]},
        "host": {"type": "string", "pattern": NAME, "description": COMPONENT["host"]},
    }
    required = ["kind", *shape.get("required", [])]
    return {**shape, "title": kind, "properties": {**own, **shape["properties"]}, "required": required}


def _policy() -> dict[str, Any]:
    rule = {**_object(COPY), "oneOf": [{"required": ["within"]}, {"required": ["every"]}]}
    shape = _object(POLICY)
    copies = {"type": "array", "description": "which other vaults get points, and when", "items": rule}
    return {**shape, "properties": {**shape["properties"], "copies": copies}}


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, key in keys.items():
        properties[name] = {"description": key.says, **_SHAPES[key.type]}
        if key.default is not None and key.type is not Type.DURATION:
            properties[name]["default"] = key.default
    required = [name for name, key in keys.items() if key.required]
    shape: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": required} if required else shape
