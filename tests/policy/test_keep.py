"""Keep rules against golden tables, against a slow reading of the same rules, and against liars.

A table in golden/ lists when points come, the rules, and below the line what stays and why; every
point that is not listed is expired. `points:` and each `then:` add some: how many, how often, since when.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from undivided.model.durations import parse_duration
from undivided.model.times import SECOND, parse_time
from undivided.policy.keep import REASONS, Points, keep

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.txt"))
FAR = 4_000_000_000 * SECOND
START = parse_time("2030-01-01T00:00:00Z")
HOUR = 3600 * SECOND
RULES = {"last": 5, "hourly": 6, "daily": 7, "weekly": 4, "monthly": 6, "yearly": 3, "within": 36 * 3600}


def stamp(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // SECOND, UTC).strftime("%a %Y-%m-%d %H:%M:%S")


def table(text: str) -> str:
    """The table that belongs to the head of `text`."""
    head, _, _ = text.partition("---\n")
    times: list[int] = []
    rules: dict[str, float] = {}
    marked: dict[str, list[int]] = {"pinned": [], "proven": []}
    now = FAR
    for line in head.splitlines():
        key, _, said = line.partition(": ")
        if key in ("points", "then"):
            count, _, every, first = said.split()
            step = round(parse_duration(every) * SECOND)
            times += [parse_time(first) + step * i for i in range(int(count))]
        elif key == "keep":
            pairs = [rule.split() for rule in said.split(", ") if said != "everything"]
            rules = {r: parse_duration(a) if r == "within" else int(a) for r, a in pairs}
        elif key == "now":
            now = parse_time(said)
        elif key in marked:
            marked[key] = [int(place) for place in said.split()]
    flags = {key: np.isin(np.arange(len(times)), places) for key, places in marked.items()}
    kept = keep(Points(np.array(times), **flags), rules, now)
    stays = np.flatnonzero(kept.kept).tolist()
    lines = [f"{row:6d}  {stamp(times[row])}  {', '.join(kept.why(row))}" for row in stays]
    count = f"{len(stays)} of {len(times)} stay"
    return "\n".join([f"{head}---", *lines, count, ""])


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_points_of_the_golden_table_stay(path: Path):
    assert table(path.read_text()) == path.read_text()


def slowly(times: list[int], rules: Mapping[str, float]) -> set[int]:
    """The rules as a person would follow them, for ascending times."""
    kept = {len(times) - 1}
    formats = {"hourly": "%Y%m%d%H", "daily": "%Y%m%d", "weekly": "%G%V", "monthly": "%Y%m", "yearly": "%Y"}
    for rule, amount in rules.items():
        if rule == "last":
            kept |= set(range(len(times))[-int(amount) :])
        elif rule == "within":
            kept |= {i for i, t in enumerate(times) if t >= times[-1] - amount * SECOND}
        else:
            firsts: dict[str, int] = {}
            for i, t in enumerate(times):
                name = datetime.fromtimestamp(t // SECOND, UTC).strftime(formats[rule])
                firsts.setdefault(name, i)
            kept |= set(list(firsts.values())[-int(amount) :])
    return kept


@pytest.mark.parametrize("seed", range(30))
def test_the_columns_agree_with_a_slow_reading_of_the_rules(seed):
    dice = random.Random(seed)
    steps = [dice.choice([1, 60, 3600, 86400, 9 * 86400]) * dice.randint(1, 5) for _ in range(300)]
    times = (START + np.cumsum(steps) * SECOND).tolist()
    rules = {rule: amount for rule, amount in RULES.items() if dice.random() < 0.6} or {"last": 1}
    kept = keep(Points.of(np.array(times)), rules, FAR)
    assert set(np.flatnonzero(kept.kept).tolist()) == slowly(times, rules)


@pytest.mark.parametrize("seed", range(10))
def test_pruning_often_and_pruning_once_end_in_the_same_points(seed):
    dice = random.Random(seed)
    times = START + np.cumsum([dice.randint(1, 9 * 3600) for _ in range(800)]) * SECOND
    left = np.zeros(0, np.int64)
    for time in times:
        left = np.append(left, time)
        if dice.random() < 0.3 or time == times[-1]:
            left = left[keep(Points.of(left), RULES, FAR).kept]
    assert left.tolist() == times[keep(Points.of(times), RULES, FAR).kept].tolist()


def test_without_a_rule_no_point_expires():
    kept = keep(Points.of(START + np.arange(50) * HOUR), {}, FAR)
    assert kept.kept.all()
    assert kept.why(0) == ("everything",)


def test_a_pinned_point_the_newest_and_the_newest_proven_one_always_stay():
    times = START + np.arange(1000) * HOUR
    flags = np.zeros((2, 1000), np.bool_)
    flags[0, 3] = flags[1, 5] = flags[1, 7] = True
    kept = keep(Points(times, *flags), {"last": 1}, FAR)
    assert np.flatnonzero(kept.kept).tolist() == [3, 7, 999]
    assert [kept.why(row) for row in (3, 7, 999)] == [("pinned",), ("proven",), ("newest", "last")]


def test_no_points_are_no_trouble():
    assert len(keep(Points.of(np.zeros(0, np.int64)), RULES, FAR).kept) == 0


def test_every_kept_point_has_a_reason_and_no_expired_point_has_one():
    kept = keep(Points.of(START + np.arange(5000) * HOUR), RULES, FAR)
    assert all(bool(kept.why(row)) == kept.kept[row] for row in range(5000))
    assert (
        sorted({row for reason in REASONS for row in kept.by(reason)}) == np.flatnonzero(kept.kept).tolist()
    )


def test_time_that_passes_expires_nothing():
    points = Points.of(START + np.arange(5000) * HOUR)
    then = keep(points, RULES, int(points.time_ns[-1]))
    years_later = keep(points, RULES, FAR)
    assert np.array_equal(then.reasons, years_later.reasons)


FIRST_OF_PERIOD = {"hourly": 6, "daily": 7, "weekly": 4, "monthly": 6, "yearly": 3}


@pytest.mark.parametrize(
    ("lie", "claims"),
    [
        ("they came when they say", lambda now, i: now + i),
        ("each in an hour of the past", lambda now, i: now - (10_000 - i) * HOUR),
        ("each in an hour of the future", lambda now, i: now + i * HOUR),
        ("long before everything", lambda _now, i: i),
        ("at random", lambda now, i: now + random.Random(i).randint(-5000, 5000) * HOUR),
    ],
)
def test_ten_thousand_points_with_any_claim_of_time_push_no_first_of_a_period_out(lie, claims):
    good = START + np.arange(3000) * HOUR
    now = int(good[-1]) + HOUR
    before = np.flatnonzero(keep(Points.of(good), FIRST_OF_PERIOD, now).kept)
    flood = np.array([claims(now, i) for i in range(10_000)])
    after = keep(Points.of(np.concatenate([good, flood])), FIRST_OF_PERIOD, now)
    periods_begun_since = 5  # the flood's own first hour, day, …: one of each rule's periods may be newer
    lost = [row for row in before.tolist() if not after.kept[row] and row != len(good) - 1]
    assert len(lost) <= periods_begun_since, lie


def test_points_after_one_from_the_future_are_counted_by_their_own_times():
    times = START + np.arange(2000) * HOUR
    lied = np.insert(times, 1000, times[-1] - HOUR)
    honest = keep(Points.of(times), FIRST_OF_PERIOD, FAR)
    kept = keep(Points.of(lied), FIRST_OF_PERIOD, FAR)
    assert set(times[honest.kept].tolist()) <= set(lied[kept.kept].tolist())


def test_a_million_points_are_counted():
    times = START + np.arange(1_000_000) * 5 * SECOND
    kept = keep(Points.of(times), {"last": 20, "hourly": 48, "daily": 30, "monthly": 12}, FAR)
    assert int(kept.kept.sum()) < 110


def test_a_day_is_one_of_utc_and_a_week_begins_on_monday():
    monday = datetime(2030, 6, 3, tzinfo=UTC)
    hours = [
        monday - timedelta(minutes=1),
        monday,
        monday + timedelta(days=6, hours=23),
        monday + timedelta(days=7),
    ]
    times = np.array([round(moment.timestamp()) * SECOND for moment in hours])
    kept = keep(Points.of(times), {"weekly": 9}, FAR)
    assert kept.by("weekly").tolist() == [0, 1, 3]
