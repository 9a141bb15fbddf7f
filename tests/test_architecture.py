"""The pictures in docs/architecture.md show the house as it is.

import-linter compares the imports with its contracts in pyproject.toml, and these tests compare the contracts
with the pictures. So an arrow upwards, a circle, a room that no picture shows, or a file that the page names
and that does not exist fails either `make lint` or a test.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def layers(container: str) -> list[list[str]]:
    """The rooms of a layers contract, top row first."""
    (found,) = (c["layers"] for c in CONTRACTS if c.get("containers") == [container])
    return [sorted(row.split(" | ")) for row in found]


def pictures() -> list[list[list[str]]]:
    """Each picture of boxes on the page as rows of names."""
    _, _, section = PAGE.partition("\n## The layers\n")
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    return [
        [[cell.split()[0] for cell in line.split("│")[1:-1]] for line in block.splitlines() if "│" in line]
        for block in blocks
    ]


@pytest.mark.parametrize(("number", "container"), [(0, "undivided"), (1, "undivided.vault")])
def test_a_picture_has_the_layers_of_its_contract(number: int, container: str) -> None:
    drawn = [sorted(name.lstrip("*") for name in row) for row in pictures()[number]]
    assert drawn == layers(container)


def test_the_rooms_without_a_mark_are_those_that_no_other_room_may_enter() -> None:
    (doors,) = (c for c in CONTRACTS if c["name"].startswith("the vault's doors"))
    inner = {name for row in pictures()[1] for name in row if not name.startswith("*")}
    assert {f"undivided.vault.{name}" for name in inner} == set(doors["forbidden_modules"])


def test_no_room_reaches_past_the_doors_of_plans() -> None:
    """import-linter lets a contract of its own forbid the modules of these three; they are packages whose
    doors are the names that they export."""
    (doors,) = (c for c in CONTRACTS if c["name"].startswith("the vault's doors"))
    (behind,) = (c for c in CONTRACTS if c["name"].startswith("behind prune, verify and repair"))
    assert behind["source_modules"] == doors["source_modules"]
    vault = ROOT / "src" / "undivided" / "vault"
    marked = {name.lstrip("*") for row in pictures()[1] for name in row if name.startswith("*")}
    packages = {name for name in marked if (vault / name).is_dir()} - {"stores"}
    assert set(behind["forbidden_modules"]) == {f"undivided.vault.{name}.*" for name in packages}


def test_no_room_is_missing_and_circles_are_forbidden() -> None:
    exhaustive = {c["containers"][0] for c in CONTRACTS if c.get("exhaustive")}
    assert exhaustive == {"undivided", "undivided.vault"}
    assert any(c["type"] == "acyclic_siblings" and c["ancestors"] == ["undivided"] for c in CONTRACTS)


def test_every_file_that_the_page_names_exists() -> None:
    """By its whole path, below the package or below the root: a bare name could be in any room."""
    for name in re.findall(r"`([\w/]+\.py)`", PAGE):
        found = (ROOT / "src" / "undivided" / name).is_file() or (ROOT / name).is_file()
        assert found, f"docs/architecture.md names {name}"
