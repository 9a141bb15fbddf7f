"""The pages of the drivers: every kind has one, and what they name and show exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from undivided.config.component_options import KINDS
from undivided.config.service_file import parse_service
from undivided.drivers.base import Driver, Session, Sink
from undivided.drivers.registry import DRIVERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "drivers"


def test_every_kind_is_registered_has_options_a_page_and_a_row_in_both_tables() -> None:
    assert sorted(DRIVERS) == sorted(KINDS)
    overview, readme = (DOCS / "README.md").read_text(), (ROOT / "README.md").read_text()
    for kind in DRIVERS:
        assert (DOCS / f"{kind}.md").exists()
        assert f"| {kind} | [{kind}.md]({kind}.md) |" in overview
        assert f"| [{kind}](docs/drivers/{kind}.md)" in readme


@pytest.mark.parametrize("kind", sorted(DRIVERS))
def test_the_service_file_of_a_page_is_valid(kind: str) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", (DOCS / f"{kind}.md").read_text(), re.DOTALL)
    assert shown
    for text in shown:
        service = parse_service(f"service: shown\n{text}", f"{kind}.md", exists=None)
        assert {component.kind for component in service.components.values()} == {kind}


def test_the_files_that_the_pages_name_exist() -> None:
    named = {
        path
        for page in DOCS.glob("*.md")
        for path in re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", page.read_text())
    }
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(("heading", "contract"), [("Driver", Driver), ("Sink", Sink)])
def test_the_tables_of_methods_name_those_of_the_contract(heading: str, contract: type) -> None:
    table = (DOCS / "README.md").read_text().split(f"`{heading}` | ", 1)[1].split("\n\n", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    found = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    methods = {
        name for name in vars(contract) if not name.startswith("_") and callable(getattr(contract, name))
    }
    assert found == methods


def test_the_picture_of_a_session_has_all_its_methods_in_order() -> None:
    picture = next(line for line in (DOCS / "README.md").read_text().splitlines() if "──▶ arm" in line)
    methods = [
        name for name in vars(Session) if not name.startswith("_") and callable(getattr(Session, name))
    ]
    assert re.findall(r"\w+", picture) == methods


def test_the_command_for_the_suite_finds_every_test_of_the_contract() -> None:
    command = re.search(
        r"^\.venv/bin/python (-m pytest .*?) +#", (DOCS / "README.md").read_text(), re.MULTILINE
    )
    assert command
    done = subprocess.run(
        [sys.executable, *command[1].split(), "--collect-only", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("[sqlite]") >= 10, done.stdout + done.stderr
