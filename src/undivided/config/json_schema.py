"""The JSON Schema of a service file: for completion and error marks in editors, and for OpenAPI.

It is generated from the tables that the parser reads (config/component_options.py,
config/service_sections.py), so the two always agree. What a schema cannot express (cycles, paths that must
exist) is checked by `service apply` only.

Shapes that occur more than once, and each kind of component, are named definitions: generated clients and
documents get a type for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model.durations import PATTERN
from .component_options import KINDS, Key, Type
from .option_readers import FREEZES, SECRET_SOURCES, WRITERS
from .service_sections import CHECK, COMPONENT, COPY, KEEP_RULES, NAME, OBJECTIVES, POLICY, REQUIRED, TOP

Shape = dict[str, Any]

_REFERENCE = "#/$defs/"
_TEXT: Shape = {"type": "string", "minLength": 1}
_PATH: Shape = {"type": "string", "pattern": "^/"}
_COMMAND: Shape = {"type": "array", "items": _TEXT, "minItems": 1}
_DURATION: Shape = {"type": "string", "pattern": PATTERN}
_COUNT: Shape = {"type": "integer", "minimum": 1}


def _reference(name: str) -> Shape:
    return {"$ref": _REFERENCE + name}


_SHAPES: Mapping[Type, Shape] = {
    Type.TEXT: _TEXT,
    Type.PORT: {"type": "integer", "minimum": 1, "maximum": 65535},
    Type.PATH: _PATH,
    Type.FLAG: {"type": "boolean"},
    Type.TEXTS: {"type": "array", "items": _TEXT},
    Type.COMMAND: _reference("command"),
    Type.SECRET: _reference("secret"),
    Type.WRITERS: _reference("writers"),
    Type.DURATION: _reference("duration"),
    Type.INTEGER: {"type": "integer"},
    Type.URL: {"type": "string", "pattern": "^https?://[^@/\\s]+(/\\S*)?$"},
    Type.KEEP: _reference("keep"),
}


def service_schema() -> Shape:
    """JSON Schema, draft 2020-12, of a service file."""
    kinds = {
        "oneOf": [_reference(kind) for kind in KINDS],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {kind: _REFERENCE + kind for kind in KINDS},
        },
    }
    sections: dict[str, Shape] = {
        "service": {"type": "string", "pattern": NAME},
        "components": {
            "type": "object",
            "propertyNames": {"pattern": NAME},
            "minProperties": 1,
            "additionalProperties": kinds,
        },
        "needs": {
            "type": "object",
            "additionalProperties": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]},
        },
        "objectives": _object(OBJECTIVES),
        "policy": _policy(),
        "checks": {"type": "array", "items": _reference("check")},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Undivided service",
        "type": "object",
        "properties": {name: {"description": TOP[name], **shape} for name, shape in sections.items()},
        "required": list(REQUIRED),
        "additionalProperties": False,
        "$defs": {**_shared(), **{kind: _component(kind, keys) for kind, keys in KINDS.items()}},
    }


def _shared() -> dict[str, Shape]:
    """The shapes that occur more than once, by name."""
    amounts = {
        rule: {"description": key.description, **(_COUNT if key.type is Type.INTEGER else _SHAPES[key.type])}
        for rule, key in KEEP_RULES.items()
    }
    return {
        "duration": _DURATION,
        "command": _COMMAND,
        "secret": _one_of(SECRET_SOURCES),
        "writers": _one_of(WRITERS, {"freeze": {"enum": list(FREEZES)}}),
        "keep": {
            "type": "object",
            "properties": amounts,
            "minProperties": 1,
            "additionalProperties": False,
        },
        "copy": {**_object(COPY), **_exactly_one(("within", "every"))},
        "check": {**_object(CHECK), **_exactly_one(("http", "command"))},
    }


def _component(kind: str, keys: Mapping[str, Key]) -> Shape:
    shape = _object(keys)
    own = {
        "kind": {"const": kind, "description": COMPONENT["kind"]},
        "host": {"type": "string", "pattern": NAME, "description": COMPONENT["host"]},
    }
    required = ["kind", *shape.get("required", [])]
    return {**shape, "title": kind, "properties": {**own, **shape["properties"]}, "required": required}


def _policy() -> Shape:
    shape = _object(POLICY)
    copies = {
        "type": "array",
        "description": "the other vaults that get points, and when",
        "items": _reference("copy"),
    }
    return {**shape, "properties": {**shape["properties"], "copies": copies}}


def _one_of(names: tuple[str, ...], others: Mapping[str, Shape] | None = None) -> Shape:
    """An object with exactly one of `names`, and perhaps with others."""
    shapes = {"command": _reference("command"), "file": _PATH, "cgroup": _PATH, "pidfile": _PATH}
    return {
        "type": "object",
        "properties": {**{name: shapes.get(name, _TEXT) for name in names}, **(others or {})},
        **_exactly_one(names),
        "additionalProperties": False,
    }


def _exactly_one(names: tuple[str, ...]) -> Shape:
    return {"oneOf": [{"required": [name]} for name in names]}


def _object(keys: Mapping[str, Key]) -> Shape:
    properties: dict[str, Any] = {}
    for name, key in keys.items():
        properties[name] = {"description": key.description, **_SHAPES[key.type]}
        if key.default is not None and key.type is not Type.DURATION:
            properties[name]["default"] = key.default
    required = [name for name, key in keys.items() if key.required]
    shape: Shape = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": required} if required else shape
