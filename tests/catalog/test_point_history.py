from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from undivided.catalog.catalog import Catalog
from undivided.catalog.point_history import point_history, times_of_log

SECOND = 1_000_000_000


class Entry(NamedTuple):
    number: int
    kind: str
    body: dict[str, Any]
    time_ns: int
    session: str = ""
    digest: str = "d"


class Log:
    """What a catalog needs of a vault: entries at times of the test's choice."""

    id = "a vault"

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def log(self, after: int = 0, *, refresh: bool = True) -> Iterator[Entry]:
        yield from self.entries[after:]

    def add(self, kind: str, seconds: int, **body: Any) -> None:
        self.entries.append(Entry(len(self.entries) + 1, kind, body, seconds * SECOND))

    def point(self, id: str, seconds: int, service: str = "portal") -> None:
        record = {
            "id": id,
            "service": service,
            "time_ns": seconds * SECOND,
            "definition": {},
            "components": {},
        }
        self.add("point", seconds, point=record)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open(tmp_path / "catalog.db")
    yield opened
    opened.close()


def test_existing_points_are_marked_among_all_that_ever_existed_in_the_order_of_the_log(log, catalog):
    for number, seconds in enumerate([10, 20, 15, 40]):
        log.point(f"p{number}", seconds)
        log.point(f"b{number}", seconds, "blog")
    log.add("pin", 50, point="p2", pinned=True)
    log.add("prune", 60, expired_points=["p0", "p1"])
    log.point("p4", 70)
    catalog.follow(log)
    found = point_history(catalog, "portal")
    assert found.ids == ["p2", "p3", "p4"]
    assert (found.ever_ns // SECOND).tolist() == [10, 20, 15, 40, 70]
    assert found.live.tolist() == [2, 3, 4]
    assert (found.time_ns // SECOND).tolist() == [15, 40, 70]
    assert found.pinned.tolist() == [True, False, False]
    assert found.settled == 4


def test_a_prune_of_another_service_settles_nothing_here(log, catalog):
    log.point("p0", 10)
    log.point("b0", 10, "blog")
    log.add("prune", 60, expired_points=["b0"])
    catalog.follow(log)
    assert point_history(catalog, "portal").settled == 0
    assert times_of_log(catalog)[1] == 3


def test_a_service_without_points_has_empty_columns(log, catalog):
    catalog.follow(log)
    found = point_history(catalog, "portal")
    assert (found.ids, len(found.ever_ns), len(found.live), found.settled) == ([], 0, 0, 0)


def test_the_times_of_all_entries_are_given_and_how_many_a_prune_has_settled(log, catalog):
    assert times_of_log(catalog)[0].tolist() == []
    for kind, seconds in [("session", 1), ("weather", 2), ("session", 9)]:
        log.add(kind, seconds)
    catalog.follow(log)
    assert [(times // SECOND).tolist() for times in [times_of_log(catalog)[0]]] == [[1, 2, 9]]
    assert times_of_log(catalog)[1] == 0
    log.add("prune", 10, expired_points=[])
    log.add("session", 11)
    catalog.follow(log)
    assert times_of_log(catalog)[1] == 4
