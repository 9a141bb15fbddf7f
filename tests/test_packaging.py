"""What is locked in requirements/ is what pyproject.toml asks for: who adds a dependency also locks it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requested(extra: str) -> Iterator[Requirement]:
    """The requirements of an extra, of the extras that it names, and of the product itself."""
    yield from map(Requirement, PROJECT["dependencies"])
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            for other in requirement.extras:
                yield from requested(other)
        else:
            yield requirement


def locked(name: str) -> Iterator[tuple[str, str]]:
    """(name, version) of everything in a lock file. Different Pythons may need different versions."""
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==(\S+)", line):
            yield canonicalize_name(found[1]), found[2]


@pytest.mark.parametrize("extra", ["dev", "tools"])
def test_every_dependency_is_locked_at_a_version_in_its_range(extra: str) -> None:
    versions = list(locked(f"{extra}.txt"))
    for requirement in requested(extra):
        found = [version for name, version in versions if name == canonicalize_name(requirement.name)]
        assert found, f"{requirement.name} is not in requirements/{extra}.txt: run `make lock`"
        assert all(map(requirement.specifier.contains, found)), (
            f"{requirement} is locked at {found}: run `make lock`"
        )


def test_locks_name_no_host() -> None:
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text()
