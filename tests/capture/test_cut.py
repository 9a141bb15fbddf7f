"""The cut over real writer processes: which are held, when, and that all resume whatever happens."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.capture.cut import cut, judge
from undivided.model.errors import SourceError
from undivided.model.point import Consistency, Position
from undivided.testing.sessions import Counter, StoppedSession

RANKS = [["db"], ["site"]]


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[dict[str, StoppedSession]]:
    with Counter(tmp_path / "db") as db, Counter(tmp_path / "site") as site:
        yield {"db": StoppedSession(db), "site": StoppedSession(site)}


def test_all_are_held_while_positions_are_read_and_resume_afterwards(
    sessions: dict[str, StoppedSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[bool] = []
    db = sessions["db"]
    read = db.mark

    def marked(point: str) -> Position:
        grown.append(any(s.counter.growing() for s in sessions.values()))
        return read(point)

    monkeypatch.setattr(db, "mark", marked)
    result = cut(sessions, RANKS, point="p", cap=5)
    assert grown == [False]
    for session in sessions.values():
        session.counter.wait_until_growing()
    assert result.overall is Consistency.CRASH
    assert set(result.positions) == {"db", "site"}
    assert result.pause_ms >= result.skew_ms > 0


def noted(sessions: dict[str, StoppedSession]) -> list[tuple[str, str]]:
    """The holds and releases of these sessions, in order, as they come."""
    order: list[tuple[str, str]] = []
    for (name, session), step in itertools.product(sessions.items(), ("hold", "release")):
        inner = getattr(session, step)

        def noting(*args: object, name: str = name, step: str = step, inner: object = inner) -> None:
            order.append((step, name))
            inner(*args)  # type: ignore[operator]

        setattr(session, step, noting)
    return order


def test_dependents_are_held_first_and_released_last(sessions: dict[str, StoppedSession]) -> None:
    order = noted(sessions)
    cut(sessions, RANKS, point="p", cap=5)
    assert order == [("hold", "site"), ("hold", "db"), ("release", "db"), ("release", "site")]


def test_components_that_quiesce_are_held_before_any_is_frozen_with_its_locks(
    sessions: dict[str, StoppedSession],
) -> None:
    sessions["db"].consistency = Consistency.APPLICATION
    order = noted(sessions)
    cut(sessions, RANKS, point="p", cap=5)
    assert order == [("hold", "db"), ("hold", "site"), ("release", "site"), ("release", "db")]


@pytest.mark.parametrize("step", ["hold", "mark"])
def test_a_component_that_fails_is_named_and_all_are_released(
    sessions: dict[str, StoppedSession], step: str
) -> None:
    sessions["db"].fails = step
    with pytest.raises(SourceError, match="component db"):
        cut(sessions, RANKS, point="p", cap=5)
    for session in sessions.values():
        session.counter.wait_until_growing()


def test_a_hold_that_succeeds_late_is_released(sessions: dict[str, StoppedSession]) -> None:
    sessions["db"].late = 0.8
    with pytest.raises(SourceError, match="component db did not quiesce in time"):
        cut(sessions, RANKS, point="p", cap=0.2)
    sessions["site"].counter.wait_until_growing()
    while sessions["db"].seen.count("release") < 2:
        pass
    sessions["db"].counter.wait_until_growing()


def test_a_position_read_after_the_cap_makes_no_cut(
    sessions: dict[str, StoppedSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions["site"]
    mark = session.mark

    def late(point: str) -> Position:
        time.sleep(0.6)  # far past the cap: the watchdog releases at the cap, and a position may then arrive
        return mark(point)

    monkeypatch.setattr(session, "mark", late)
    with pytest.raises(SourceError, match="component site did not report its position in time"):
        cut({"site": session}, [["site"]], point="p", cap=0.2)
    session.counter.wait_until_growing()


def test_a_cut_that_holds_no_component_has_no_pause(sessions: dict[str, StoppedSession]) -> None:
    sessions["site"].holds = False
    result = cut({"site": sessions["site"]}, [["site"]], point="p", cap=5)
    assert result.pause_ms == 0
    assert "hold" not in sessions["site"].seen


A, C, ORDERED = Consistency.APPLICATION, Consistency.CRASH, Consistency.ORDERED


@pytest.mark.parametrize(
    ("consistency", "held", "overall"),
    [
        ({"db": A}, [], A),
        ({"db": A, "cache": A}, ["cache"], A),
        ({"db": A, "site": C}, ["site"], C),
        ({"db": A, "site": ORDERED}, ["db"], ORDERED),
        ({"db": A, "other": A}, [], ORDERED),
        ({"db": A, "other": A, "site": C}, ["site"], ORDERED),
    ],
)
def test_consistency_is_never_better_than_the_means(
    consistency: dict[str, Consistency], held: list[str], overall: Consistency
) -> None:
    assert judge(consistency, held)[0] is overall


def test_two_unheld_components_are_named() -> None:
    _, notes = judge({"db": A, "other": A}, [])
    assert notes == ("db, other: not quiesced at one moment, but read in reference order",)
