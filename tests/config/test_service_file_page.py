"""docs/service-file.md describes the keys that the parser knows, and its example is a valid file."""

from __future__ import annotations

import re
from pathlib import Path

from undivided.config.component_options import KINDS
from undivided.config.service_file import parse_service
from undivided.config.service_sections import CHECK, COPY, KEEP_RULES, OBJECTIVES, POLICY, TOP

PAGE = (Path(__file__).parents[2] / "docs" / "service-file.md").read_text()


def rows() -> dict[str, str]:
    """The rows of all tables: key → the rest of its row. A row may name several keys."""
    found: dict[str, str] = {}
    for names, rest in re.findall(r"^\| (`[^|]+`) \|(.*)\|$", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            found[name] = found.get(name, "") + rest
    return found


def test_the_page_lists_every_key_of_every_component_with_its_kinds() -> None:
    documented = rows()
    for kind, keys in KINDS.items():
        for key in keys:
            assert re.search(rf"\b(all|{kind})\b", documented[key]), f"{kind}: {key}"


def test_the_page_lists_every_section_and_its_keys() -> None:
    headings = re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)
    assert {"service", *headings} >= set(TOP)
    assert rows().keys() >= {*OBJECTIVES, *POLICY, *CHECK, *KEEP_RULES}
    assert all(f"`{key}`" in rows()["copies"] for key in COPY)


def test_the_example_of_the_page_is_a_valid_service_file() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    assert parse_service(example[1], "portal.yaml", exists=None).name == "portal"
