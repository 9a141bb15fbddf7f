"""Tests use the vault by its doors where a door will do, as the product does (pyproject.toml)."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
ROOMS = ("format", "log", "index", "write", "read", "crypto")
INSIDE = {
    "conftest.py": "makes passphrases cheap to stretch, which no user may",
    "faults/test_bit_flips.py": "makes passphrases cheaper still",
    "faults/test_stolen_source.py": "is a thief, who uses the bytes and not our doors",
    "faults/test_vault_damage.py": "forges entries, and knows where a pack's footer lies",
    "faults/test_vault_nonces.py": "reads counters from the bytes of every object",
    "golden/make_vault.py": "makes a vault that is the same each time",
    "golden/test_format.py": "compares the reader without the product with the product's chunker",
}
"""Tests that look behind the doors, and why."""


def _inner_imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("undivided.vault"):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[2] in ROOMS]


def test_only_tests_of_the_vault_and_those_with_a_reason_look_behind_its_doors() -> None:
    inside = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if "vault" not in path.relative_to(TESTS).parts[:1] and _inner_imports(path)
    }
    assert inside == set(INSIDE)
