"""Each test gets the program and a configuration of its own; those that only look share a protected shop."""

from pathlib import Path

import pytest

from undivided.testing.program import Program, change, open_shop


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A small service of two kinds, protected twice, with a change in between."""
    made = Program(tmp_path_factory.mktemp("scene"))
    open_shop(made, 1)
    change(made.home)
    made("protect", "shop")
    return made
