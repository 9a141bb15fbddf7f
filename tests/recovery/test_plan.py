"""The steps, warnings and refusals of a plan, before anything is changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from undivided.config.service_file import parse_definition
from undivided.model.errors import UsageError
from undivided.model.point import ComponentPoint, Consistency, Position, RecoveryPoint
from undivided.model.service import Service
from undivided.recovery.plan import Mode, RecoveryPlan, StepKind, make_plan
from undivided.recovery.staging import PointBefore, Staging, StagingRecord
from undivided.recovery.targets import endpoints

POINT = "20260101T000000-aaaaaa"


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A service's directory: an upload tree and a database next to it, both with data."""
    live = tmp_path / "live"
    (live / "site").mkdir(parents=True)
    (live / "site" / "upload").write_text("live")
    (live / "audit.db").write_text("live")
    return live


def service(live: Path, **more: Any) -> Service:
    components = {
        "site": {"kind": "files", "path": str(live / "site"), "stop": ["true"]},
        "audit": {"kind": "sqlite", "path": str(live / "audit.db"), "stop": ["true"]},
    }
    definition = {
        "service": "portal",
        "components": components,
        "needs": {"site": ["audit"]},
        "checks": [{"http": "http://127.0.0.1:1/"}],
    }
    return parse_definition({**definition, **more}, "portal.yaml")


def point(*parts: tuple[str, str], state: dict[str, Any] | None = None) -> RecoveryPoint:
    chosen = parts or (("site", "files"), ("audit", "sqlite"))
    components = {
        name: ComponentPoint(
            name, kind, "t", 1, "", Consistency.CRASH, Position("17"), state or {}, files=3, bytes_seen=12
        )
        for name, kind in chosen
    }
    return RecoveryPoint(POINT, "portal", 10**18, Consistency.CRASH, 1.0, 1.0, components)


def order(plan: RecoveryPlan) -> list[tuple[str, str | None]]:
    return [(str(step.action), step.component) for step in plan.steps]


def test_a_recovery_goes_to_exactly_one_kind_of_target(live: Path, tmp_path: Path) -> None:
    for wrong in ({}, {"to": tmp_path / "x", "in_place": True}, {"target": {}, "in_place": True}):
        with pytest.raises(UsageError, match="exactly one"):
            make_plan(service(live), point(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="are not started"):
        make_plan(service(live), point(), to=tmp_path / "x", start=True)


def test_beneath_a_directory_each_component_is_built_and_nothing_is_stopped(
    live: Path, tmp_path: Path
) -> None:
    plan = make_plan(service(live), point(), to=tmp_path / "out")
    assert order(plan) == [
        ("build", "audit"),
        ("build", "site"),
        ("install", "site"),
        ("install", "audit"),
        ("record", None),
    ]
    places = {p.name: p.place for p in plan.placements}
    assert places == {"site": tmp_path / "out/site", "audit": tmp_path / "out/audit/audit.db"}
    assert not (tmp_path / "out").exists()


def test_in_place_everything_is_built_before_anything_is_stopped(live: Path) -> None:
    plan = make_plan(service(live), point(), in_place=True)
    assert order(plan) == [
        ("point", None),
        ("build", "audit"),
        ("build", "site"),
        ("stop", "site"),
        ("stop", "audit"),
        ("install", "audit"),
        ("install", "site"),
        ("start", "audit"),
        ("start", "site"),
        ("check", None),
        ("record", None),
    ]
    assert plan.mode is Mode.IN_PLACE


def test_a_dry_run_names_every_target_and_where_the_old_data_goes(live: Path) -> None:
    plan = make_plan(service(live), point(), in_place=True, protect_first=False)
    said = "\n".join(plan.describe())
    assert f"install site at {live}/site; the present data moves to {live}/site.before-{POINT}" in said
    assert f"in {live}/.undivided-{POINT}-audit/data" in said
    assert "run check http://127.0.0.1:1/" in said
    assert not plan.of(StepKind.POINT)
    json.dumps(plan.as_record())


def test_writers_that_cannot_be_stopped_are_a_warning(live: Path) -> None:
    bare = {"site": {"kind": "files", "path": str(live / "site")}}
    plan = make_plan(service(live, components=bare, needs={}), point(("site", "files")), in_place=True)
    assert any("no `unit` and no `stop`" in warning for warning in plan.warnings)


def test_what_lies_in_another_component_follows_it(live: Path) -> None:
    inner = live / "site" / "data" / "audit.db"
    nested = {
        "site": {"kind": "files", "path": str(live / "site"), "stop": ["true"]},
        "audit": {"kind": "sqlite", "path": str(inner), "stop": ["true"]},
    }
    plan = make_plan(service(live, components=nested), point(), in_place=True)
    assert [p.name for p in plan.placed(StepKind.INSTALL)] == ["site", "audit"]
    assert {p.staging.directory.parent for p in plan.placements} == {live}


def test_recovery_over_live_data_needs_an_explicit_request(live: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="site holds the live data of site") as refused:
        make_plan(service(live), point(), target={"audit": {"path": str(tmp_path / "new.db")}})
    assert "--in-place" in refused.value.hint


def test_an_occupied_target_is_refused(live: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious").write_text("x")
    elsewhere = {"audit": {"path": str(tmp_path / "new.db")}, "site": {"path": str(full)}}
    with pytest.raises(UsageError, match="full is not empty"):
        make_plan(service(live), point(), target=elsewhere)
    (full / "precious").unlink()
    make_plan(service(live), point(), target=elsewhere)
    (tmp_path / "out" / "site").mkdir(parents=True)
    (tmp_path / "out" / "site" / "precious").write_text("x")
    with pytest.raises(UsageError, match="site is not empty"):
        make_plan(service(live), point(), to=tmp_path / "out")


def test_an_original_that_is_lost_occupies_no_target(live: Path, tmp_path: Path) -> None:
    (live / "site" / "upload").unlink()
    (live / "audit.db").unlink()
    plan = make_plan(service(live), point(), target={})
    assert [p.place for p in plan.placements] == [live / "audit.db", live / "site"]


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def redis(tmp_path: Path, listener: int) -> Service:
    cache = {"kind": "redis", "port": listener, "path": str(tmp_path / "cache")}
    return parse_definition({"service": "portal", "components": {"cache": cache}}, "portal.yaml")


def test_a_port_or_socket_where_a_server_answers_is_refused(tmp_path: Path, listener: int) -> None:
    whole, cache = redis(tmp_path, listener), point(("cache", "redis"))
    with pytest.raises(
        UsageError, match=rf"would use port {listener} .*, but a server already answers there"
    ):
        make_plan(whole, cache, target={"cache": {"path": str(tmp_path / "new")}})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        to = {"path": str(tmp_path / "new"), "port": 1, "socket": str(tmp_path / "s")}
        with pytest.raises(UsageError, match=r"would use the socket .*, but a server already answers there"):
            make_plan(whole, cache, target={"cache": to})
    make_plan(whole, cache, target={"cache": to})  # a socket file without a server


@pytest.mark.parametrize(
    ("kind", "target", "settings", "ports"),
    [
        ("redis", {"socket": "/run/copy"}, {"port": "6379", "unixsocket": "/run/original"}, []),
        ("redis", {"socket": "/run/copy", "port": 7000}, {"unixsocket": "/run/original"}, [7000]),
        ("redis", {"socket": "/run/original"}, {"port": "7001", "unixsocket": "/run/original"}, [7001]),
        ("redis", {"socket": "/run/original"}, {"port": "0", "unixsocket": "/run/original"}, []),
        ("redis", {}, {"port": "7001"}, [6379]),
        ("mariadb", {"socket": "/run/copy"}, {"port": "3307"}, [3307]),
        ("mariadb", {"socket": "/run/copy", "port": 7000}, {"port": "3307"}, [7000]),
        ("mariadb", {"socket": "/run/copy"}, {"port": "3306", "skip_networking": "ON"}, []),
        ("postgresql", {"socket": "/run"}, {"port": "5433"}, [5432]),
    ],
)
def test_only_a_port_that_the_copy_will_have_is_examined(
    kind: str, target: dict[str, Any], settings: dict[str, str], ports: list[int]
) -> None:
    definition = {"service": "portal", "components": {"it": {"kind": kind, **target}}}
    part = point(("it", kind), state={"settings": settings}).components["it"]
    found = endpoints(parse_definition(definition, "portal.yaml").components["it"], part)
    assert [where[1] for _, where in found if isinstance(where, tuple)] == ports
    assert len(found) - len(ports) == ("socket" in target)


def test_targets_that_collide_are_refused(live: Path, tmp_path: Path) -> None:
    both = {name: {"path": str(tmp_path / "new")} for name in ("site", "audit")}
    with pytest.raises(UsageError, match="would both use"):
        make_plan(service(live), point(), target=both)


def test_a_component_of_another_host_is_refused(live: Path) -> None:
    away = service(live)
    site = replace(away.components["site"], host="elsewhere.example")
    away = replace(away, components={**away.components, "site": site})
    with pytest.raises(UsageError, match=r"belongs to host elsewhere\.example"):
        make_plan(away, point(), in_place=True)


def test_a_service_other_than_the_points_is_refused(live: Path) -> None:
    with pytest.raises(UsageError, match=f"audit is not in point {POINT}"):
        make_plan(service(live), point(("site", "files")), in_place=True)
    with pytest.raises(UsageError, match="audit is of kind sqlite, but of kind redis in"):
        make_plan(service(live), point(("site", "files"), ("audit", "redis")), in_place=True)
    with pytest.raises(UsageError, match="no component 'cache'"):
        make_plan(service(live), point(("cache", "redis")), in_place=True)
    with pytest.raises(UsageError, match="the target names cache"):
        make_plan(service(live), point(), target={"cache": {}})


def test_a_target_in_a_protected_tree_is_a_warning(live: Path) -> None:
    plan = make_plan(service(live), point(), to=live / "site" / "restored")
    assert any("the next points will contain" in warning for warning in plan.warnings)


def test_old_data_of_an_earlier_recovery_keeps_its_name(live: Path) -> None:
    (live / f"site.before-{POINT}").mkdir()
    plan = make_plan(service(live), point(), in_place=True)
    assert {p.suffix for p in plan.placements} == {f".before-{POINT}-2"}


def test_an_interrupted_recovery_is_resumed(live: Path) -> None:
    suffix, first = f".before-{POINT}-7", PointBefore("p0", 5, False)
    staging = Staging.within(live, POINT, "site")
    record = StagingRecord("portal", POINT, "site", str(live / "site"), suffix, first=first)
    staging.write(record)
    staging.empty()
    staging.write(replace(record, built=True))
    plan = make_plan(service(live), point(), in_place=True)
    assert [p.name for p in plan.placed(StepKind.BUILD)] == ["audit"]
    assert {p.suffix for p in plan.placements} == {suffix}
    assert plan.first == first
    assert not plan.of(StepKind.POINT)


def test_an_interrupted_recovery_to_another_point_is_a_warning(live: Path) -> None:
    Staging.within(live, "p0", "site").write(
        StagingRecord("portal", "p0", "site", str(live / "site"), ".before-p0")
    )
    plan = make_plan(service(live), point(), in_place=True)
    assert any("to point p0 was interrupted" in warning for warning in plan.warnings)
    assert len(plan.placed(StepKind.BUILD)) == 2


def test_a_server_at_the_address_of_another_host_is_refused(tmp_path: Path) -> None:
    cache = {"kind": "redis", "address": "192.0.2.7", "path": str(tmp_path / "cache")}
    away = parse_definition({"service": "portal", "components": {"cache": cache}}, "portal.yaml")
    whole = point(("cache", "redis"))
    with pytest.raises(UsageError, match="not an address of this host"):
        make_plan(away, whole, in_place=True)
    make_plan(away, whole, target={"cache": {"address": "127.0.0.1", "port": 1}})
    make_plan(away, whole, to=tmp_path / "out")
