"""Every driver passes the one contract suite, against its real application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from undivided.drivers.registry import DRIVERS
from undivided.testing.driver_suite import DriverSuite
from undivided.testing.instances import INSTANCES, Instance, missing

pytestmark = pytest.mark.real


def test_the_suite_runs_on_every_driver() -> None:
    assert sorted(INSTANCES) == sorted(DRIVERS)


def _running(kind: str) -> Iterator[Instance]:
    if reason := missing(kind):
        pytest.skip(reason)
    instance = INSTANCES[kind]()
    try:
        yield instance
    finally:
        instance.close()


@pytest.fixture(scope="module", params=sorted(INSTANCES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def instance(kind: str) -> Iterator[Instance]:
    yield from _running(kind)


@pytest.fixture
def disposable(kind: str) -> Iterator[Instance]:
    yield from _running(kind)


class TestDrivers(DriverSuite):
    pass
