"""A component is refused only when it is provably not the one that was protected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from undivided.host.machine_id import MACHINE, this_machine
from undivided.model.errors import UsageError
from undivided.model.point import ComponentPoint, Consistency, Position
from undivided.model.service import Component
from undivided.recovery.identity import path_warning, refuse_other_installation
from undivided.recovery.plan import make_plan
from undivided.testing.portal import Portal

SITE = Component("site", "files", {"path": "/srv/site"})
PART = ComponentPoint("site", "files", "t", 1, "", Consistency.CRASH, Position("1"))


def test_a_point_of_another_machine_is_refused_in_place() -> None:
    refuse_other_installation(SITE, replace(PART, state={MACHINE: this_machine()}))
    with pytest.raises(UsageError, match="protected on another machine") as refused:
        refuse_other_installation(SITE, replace(PART, state={MACHINE: "0" * 16}))
    assert "--target" in refused.value.hint


def test_a_point_without_a_machine_is_not_refused() -> None:
    refuse_other_installation(SITE, PART)


def test_a_database_that_is_down_cannot_be_asked_and_is_not_refused() -> None:
    down = Component("db", "postgresql", {"port": 1, "address": "127.0.0.1", "user": "x", "database": "x"})
    refuse_other_installation(down, replace(PART, kind="postgresql", state={"system": "7"}))


def test_a_path_that_has_changed_is_a_warning() -> None:
    here = replace(PART, state={"directory": "/srv"})
    assert path_warning(SITE, here, Path("/srv/site")) is None
    assert "had its data in /srv" in (path_warning(SITE, here, Path("/new/site")) or "")


def test_points_record_their_machine_and_are_recovered_elsewhere_on_another(
    tmp_path: Path,
) -> None:
    with Portal(tmp_path) as portal:
        portal.order(1)
        point = portal.protect()
        assert {part.state[MACHINE] for part in point.components.values()} == {this_machine()}
        moved = {n: replace(p, state={**p.state, MACHINE: "0" * 16}) for n, p in point.components.items()}
        foreign = replace(point, components=moved)
        with pytest.raises(UsageError, match="another machine"):
            make_plan(portal.service(), foreign, in_place=True)
        make_plan(portal.service(), foreign, to=tmp_path / "out")
