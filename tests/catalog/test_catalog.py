from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.catalog.catalog import Catalog, rebuild
from undivided.catalog.timelines import point_at, point_numbers, timelines_of
from undivided.model.errors import DamageError, UndividedError, UsageError
from undivided.model.point import ComponentPoint, Consistency, Position, RecoveryPoint
from undivided.vault.stores.memory import MemoryStore
from undivided.vault.vault import Vault

SECOND = 1_000_000_000


def point(id: str, seconds: int, service: str = "portal", note: str = "") -> RecoveryPoint:
    parts = {
        name: ComponentPoint(
            name=name,
            kind=kind,
            timeline=name * 4,
            sequence=1,
            digest="ab" * 32,
            consistency=Consistency.APPLICATION,
            position=Position("0/1", (0, 1)),
            state={"slot": "s", "deep": {"list": [1, 2]}},
            notes=(note,) if note else (),
        )
        for name, kind in (("site", "files"), ("db", "postgresql"))
    }
    return RecoveryPoint(
        id=id,
        service=service,
        time_ns=1_800_000_000 * SECOND + seconds * SECOND,
        consistency=Consistency.APPLICATION,
        pause_ms=4.25,
        skew_ms=1.5,
        components=parts,
        definition={"service": service, "components": {"site": {"kind": "files", "path": "/srv"}}},
        bytes_stored=7,
    )


@pytest.fixture
def vault() -> Vault:
    return Vault.create(MemoryStore(), "passphrase")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open(tmp_path / "catalog.db")
    yield opened
    opened.close()


def commit(vault: Vault, *points: RecoveryPoint) -> None:
    for each in points:
        vault.append("point", {"point": each.as_record(), "timelines": {}})


def pin(vault: Vault, id: str, pinned: bool = True) -> None:
    vault.append("pin", {"point": id, "pinned": pinned})


def points_of_timelines(catalog: Catalog, service: str) -> dict[tuple[str, ...], list[str]]:
    return {
        tuple(timeline): [
            point_at(catalog, number).point for number in point_numbers(catalog, service, timeline)
        ]
        for timeline in timelines_of(catalog, service)
    }


def prune(vault: Vault, *expired: str) -> None:
    """As far as a catalog looks at it."""
    vault.append("prune", {"expired_points": list(expired)})


def test_a_point_comes_back_as_it_was_committed(vault, catalog):
    committed = point("aaaa1", 0, note="a note")
    commit(vault, committed)
    catalog.follow(vault)
    assert catalog.newest("portal") == committed
    assert list(catalog.newest("portal").components) == ["site", "db"]


def test_following_reads_only_what_is_new_and_remembers_the_head(vault, catalog):
    commit(vault, point("aaaa1", 0), point("aaaa2", 5))
    assert catalog.follow(vault) == 2
    assert catalog.follow(vault) == 0
    assert catalog.head == (vault.head.number, vault.head.digest)
    commit(vault, point("aaaa3", 10))
    assert catalog.follow(vault) == 1
    assert [p.id for p in catalog.points("portal")] == ["aaaa1", "aaaa2", "aaaa3"]
    assert [p.id for p in catalog.points("portal", 2)] == ["aaaa2", "aaaa3"]


def test_a_rebuilt_catalog_is_identical_to_one_that_followed(vault, catalog, tmp_path):
    commit(vault, point("aaaa1", 0))
    catalog.follow(vault)
    vault.append("recovery", {"service": "portal", "point": "aaaa1", "ok": True, "seconds": 1.5})
    commit(vault, point("bbbb1", 5, "blog"), point("aaaa2", 6), point("aaaa3", 7), point("aaaa4", 8))
    catalog.follow(vault)
    pin(vault, "aaaa2")
    pin(vault, "aaaa3")
    prune(vault, "aaaa1")
    catalog.follow(vault)
    pin(vault, "aaaa3", False)
    prune(vault, "aaaa3", "bbbb1")
    catalog.follow(vault)
    followed = catalog.dump()
    again = rebuild(tmp_path / "other.db", vault)
    assert again.dump() == followed
    again.close()


def test_a_lost_or_ruined_catalog_is_rebuilt(vault, tmp_path):
    commit(vault, point("aaaa1", 0))
    path = tmp_path / "catalog.db"
    path.write_bytes(b"no database at all, " * 500)
    with pytest.raises(DamageError, match="catalog"):
        Catalog.open(path)
    made = rebuild(path, vault)
    assert [p.id for p in made.points()] == ["aaaa1"]
    made.close()
    assert sorted(os.listdir(tmp_path)) == ["catalog.db"]


def test_an_older_copy_of_the_catalog_catches_up(vault, tmp_path):
    path = tmp_path / "catalog.db"
    commit(vault, point("aaaa1", 0))
    first = Catalog.open(path)
    first.follow(vault)
    first.close()
    old = path.read_bytes()
    commit(vault, point("aaaa2", 5))
    second = Catalog.open(path)
    second.follow(vault)
    dump = second.dump()
    second.close()
    path.write_bytes(old)
    third = Catalog.open(path)
    assert third.follow(vault) == 1
    assert third.dump() == dump
    third.close()


def test_following_is_all_or_nothing(vault, catalog):
    commit(vault, point("aaaa1", 0))
    vault.append("point", {"point": {"id": "broken"}})
    with pytest.raises(DamageError, match="log entry 2 is no point"):
        catalog.follow(vault)
    assert catalog.points() == []
    assert catalog.head == (0, "")


def test_a_catalog_follows_one_vault_only(vault, catalog):
    commit(vault, point("aaaa1", 0))
    catalog.follow(vault)
    with pytest.raises(UsageError, match="another vault"):
        catalog.follow(Vault.create(MemoryStore(), "other"))


def test_a_point_is_found_by_latest_by_id_by_its_beginning_and_by_time(vault, catalog):
    commit(
        vault, point("abcdef1", 0), point("abcdxy2", 10), point("ffffff3", 20), point("abcdef9", 5, "blog")
    )
    catalog.follow(vault)
    assert catalog.point("portal").id == "ffffff3"
    assert catalog.point("portal", "abcdef1").id == "abcdef1"
    assert catalog.point("portal", "abcde").id == "abcdef1"
    assert catalog.point("portal", "2027-01-15T08:00:12Z").id == "abcdxy2"
    now = 1_800_000_000 * SECOND + 25 * SECOND
    assert catalog.point("portal", "20 seconds ago", now).id == "abcdef1"


@pytest.mark.parametrize(
    ("at", "cause"),
    [
        ("abcd", "several point ids begin with 'abcd'"),
        ("abc", "neither a point nor a time"),
        ("2001-01-01", "there is no point at or before"),
        ("abcdef9", "neither a point nor a time"),
    ],
)
def test_an_unknown_name_of_a_point_is_refused_with_a_hint(vault, catalog, at, cause):
    commit(vault, point("abcdef1", 0), point("abcdxy2", 10), point("abcdef9", 5, "blog"))
    catalog.follow(vault)
    with pytest.raises(UsageError, match=cause) as caught:
        catalog.point("portal", at)
    assert caught.value.hint


def test_a_service_without_points_is_reported(vault, catalog):
    catalog.follow(vault)
    with pytest.raises(UsageError, match="has no points"):
        catalog.point("portal")


def test_points_are_ordered_by_the_log_not_by_a_clock(vault, catalog):
    commit(vault, point("aaaa1", 100), point("aaaa2", -100))
    catalog.follow(vault)
    assert catalog.newest("portal").id == "aaaa2"


def test_recoveries_are_known_by_service(vault, catalog):
    vault.append("recovery", {"service": "portal", "point": "aaaa1", "ok": True})
    vault.append("recovery", {"service": "blog", "point": "bbbb1", "ok": False})
    catalog.follow(vault)
    assert [r["point"] for r in catalog.recoveries("portal")] == ["aaaa1"]
    assert len(catalog.recoveries()) == 2


def test_each_timeline_lists_the_points_it_is_part_of(vault, catalog):
    commit(vault, point("aaaa1", 0), point("aaaa2", 5))
    catalog.follow(vault)
    assert points_of_timelines(catalog, "portal") == {
        ("site", "sitesitesitesite"): ["aaaa1", "aaaa2"],
        ("db", "dbdbdbdb"): ["aaaa1", "aaaa2"],
    }


def test_expired_points_disappear_from_every_list(vault, catalog):
    commit(vault, point("aaaa1", 0), point("bbbb2", 5), point("cccc3", 10), point("dddd4", 1, "blog"))
    prune(vault, "aaaa1", "bbbb2", "dddd4")
    catalog.follow(vault)
    assert [p.id for p in catalog.points()] == ["cccc3"]
    assert catalog.services() == ["portal"]
    assert list(points_of_timelines(catalog, "portal").values()) == [["cccc3"], ["cccc3"]]
    assert catalog.newest("blog") is None


@pytest.mark.parametrize("at", ["abcdef1", "abcdef"])
def test_an_expired_point_is_refused_as_expired_by_id_and_its_beginning(vault, catalog, at):
    commit(vault, point("abcdef1", 0), point("ffffff3", 20))
    prune(vault, "abcdef1")
    catalog.follow(vault)
    with pytest.raises(UsageError, match="point abcdef1 was expired by the prune of 2") as caught:
        catalog.point("portal", at)
    assert "undivided points" in caught.value.hint


def test_a_time_means_the_last_point_that_is_left(vault, catalog):
    commit(vault, point("aaaa1", 0), point("bbbb2", 5), point("cccc3", 10))
    prune(vault, "bbbb2")
    catalog.follow(vault)
    assert catalog.point("portal", "2027-01-15T08:00:07Z").id == "aaaa1"


def test_pinned_points_are_known_until_they_are_unpinned_or_expired(vault, catalog):
    commit(vault, point("aaaa1", 0), point("bbbb2", 5), point("cccc3", 10))
    for id in ("aaaa1", "aaaa1", "bbbb2", "cccc3"):
        pin(vault, id)
    catalog.follow(vault)
    assert catalog.pinned() == {"aaaa1", "bbbb2", "cccc3"}
    pin(vault, "bbbb2", False)
    prune(vault, "cccc3")
    catalog.follow(vault)
    assert catalog.pinned() == {"aaaa1"}


def test_a_second_point_of_the_same_id_takes_nothing_from_the_first(vault, catalog):
    commit(vault, point("aaaa1", 0), point("bbbb2", 5), point("aaaa1", 9, note="another's"))
    catalog.follow(vault)
    assert catalog.point("portal", "aaaa1") == point("aaaa1", 0)
    assert [p.id for p in catalog.points()] == ["aaaa1", "bbbb2"]
    assert points_of_timelines(catalog, "portal")["site", "sitesitesitesite"] == ["aaaa1", "bbbb2"]
    prune(vault, "aaaa1")
    commit(vault, point("aaaa1", 20))
    prune(vault, "aaaa1")
    catalog.follow(vault)
    assert [p.id for p in catalog.points()] == ["bbbb2"]


def test_unknown_kinds_of_entries_only_move_the_head(vault, catalog):
    vault.append("weather", {"rain": True})
    assert catalog.follow(vault) == 1
    assert catalog.points() == []


def test_only_its_owner_can_read_it(vault, catalog):
    assert stat.S_IMODE(catalog.path.stat().st_mode) == 0o600


def test_a_catalog_of_a_newer_program_is_refused(tmp_path):
    path = tmp_path / "catalog.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UndividedError, match="version 99") as caught:
        Catalog.open(path)
    assert "catalog rebuild" in caught.value.hint
