"""`policy simulate` shows what a prune would do, by the service's rules or by others, and does nothing."""

from __future__ import annotations

import pytest

from undivided.testing.program import Program, describe, open_shop


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Program:
    made = Program(tmp_path_factory.mktemp("scene"))
    open_shop(made, 4, policy="{mark: 1m, keep: {last: 2, daily: 1}}")
    return made


def test_todays_points_are_listed_with_the_reasons_why_they_stay(scene):
    (shop,) = scene("policy", "simulate")["services"]
    assert shop["keep"] == {"last": 2, "daily": 1}
    assert [point["id"] for point in shop["points"]] == [p["id"] for p in scene("points")["points"]]
    # The points may lie on both sides of midnight; then the day's first is another one.
    stays = [point["stays"] for point in shop["points"]]
    assert stays[2:] == [True, True]
    assert sum(stays) == shop["stay"] in (2, 3)
    assert shop["points"][-1]["reasons"][:2] == ["newest", "last"]
    assert all(point["stays"] == bool(point["reasons"]) for point in shop["points"])
    assert len(scene("points")["points"]) == 4


def test_the_steady_state_is_counted_for_the_interval_of_the_service(scene):
    (shop,) = scene("policy", "simulate", "shop", "--over", "2d")["services"]
    steady = shop["steady"]
    assert (steady["mark_seconds"], steady["over_seconds"], steady["taken"]) == (60, 172800, 2881)
    assert {rule["rule"]: rule["points"] for rule in steady["rules"]} == {"newest": 1, "last": 2, "daily": 1}
    assert steady["stay"] in (2, 3)


def test_other_rules_and_another_interval_are_tried_without_touching_the_service(scene):
    said = scene("policy", "simulate", "shop", "--keep", "last=1", "--keep", "within=1h", "--mark", "1d")
    (shop,) = said["services"]
    assert shop["keep"] == {"last": 1, "within": 3600.0}
    assert shop["steady"]["taken"] == 401
    assert scene("service", "show", "shop")["definition"]["policy"]["keep"] == {"last": 2, "daily": 1}


def test_the_same_is_shown_as_text(scene):
    said = scene.run("policy", "simulate", "shop", "--keep", "last=1").stdout
    assert "1 of 4 points kept, 3 to expire" in said
    assert "(3 points to expire)" in said
    assert "newest, last" in said
    assert "a point every 1m for 57w1d" in said


@pytest.mark.parametrize(
    "words", [["nowhere"], ["shop", "--keep", "last=many"], ["shop", "--mark", "5"], ["--over", "1000000w"]]
)
def test_wrong_options_are_refused_with_a_hint(scene, words):
    assert "HINT:" in scene.fails("policy", "simulate", *words, code=2)


def test_a_service_without_points_needs_an_interval(program):
    file = describe(program.home)
    program("init")
    file.write_text(file.read_text().replace("objectives: {rpo: 1h}\n", ""))
    program("service", "apply", "shop.yaml")
    assert "--mark" in program.fails("policy", "simulate", "shop", code=2)
    assert program("policy", "simulate", "shop", "--mark", "1h")["services"][0]["points"] == []
