import json
import re
from collections.abc import Iterator
from typing import Any

from undivided.config.component_options import KINDS, Type
from undivided.config.json_schema import _SHAPES, service_schema
from undivided.config.service_sections import CHECK, OBJECTIVES, POLICY, TOP
from undivided.model.durations import PATTERN, parse_duration


def components() -> dict[str, dict[str, Any]]:
    schema = service_schema()
    variants = schema["properties"]["components"]["additionalProperties"]
    named = variants["discriminator"]["mapping"]
    assert [variant["$ref"] for variant in variants["oneOf"]] == list(named.values())
    return {kind: resolved(schema, reference) for kind, reference in named.items()}


def resolved(schema: dict[str, Any], reference: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][reference.removeprefix("#/$defs/")]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["$ref"],) if "$ref" in value else ()
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from references(part)


def test_every_kind_and_key_that_the_parser_knows_is_in_the_schema_with_its_description():
    found = components()
    assert set(found) == set(KINDS)
    for kind, keys in KINDS.items():
        assert set(found[kind]["properties"]) == {"kind", "host", *keys}
        for name, key in keys.items():
            assert found[kind]["properties"][name]["description"] == key.description
            assert (name in found[kind]["required"]) == key.required
        assert found[kind]["additionalProperties"] is False


def test_every_section_is_in_the_schema():
    properties = service_schema()["properties"]
    assert set(properties) == set(TOP)
    assert set(properties["objectives"]["properties"]) == set(OBJECTIVES)
    assert set(properties["policy"]["properties"]) == {*POLICY, "copies"}
    assert set(resolved(service_schema(), properties["checks"]["items"]["$ref"])["properties"]) == set(CHECK)


def test_every_reference_of_the_schema_leads_to_a_definition_and_every_definition_is_used():
    schema = service_schema()
    assert set(references(schema)) == {f"#/$defs/{name}" for name in schema["$defs"]}


def test_every_type_has_a_shape():
    assert set(_SHAPES) == set(Type)


def test_the_schema_is_plain_json_of_the_draft_it_names():
    schema = json.loads(json.dumps(service_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_takes_the_durations_that_the_parser_takes():
    for text in ("15s", "1h30m", "2w", "250ms", "1.5h"):
        assert re.search(PATTERN, text) and parse_duration(text)
    for text in ("15", "5 minutes", "", "-5m"):
        assert not re.search(PATTERN, text)
