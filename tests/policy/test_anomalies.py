from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from undivided.model.times import SECOND, parse_time
from undivided.policy.anomalies import REASONS, Anomaly, of_clock, of_points, suspended
from undivided.policy.keep import Points, keep

START = parse_time("2030-01-01T00:00:00Z")
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
YEAR = 365 * DAY
OFTEN = START + np.arange(1000) * 10 * MINUTE
RULES = {"last": 20, "hourly": 48, "daily": 30, "monthly": 12}


def reasons(found: Iterable[Anomaly]) -> list[str]:
    return [anomaly.reason for anomaly in found]


def of_all(
    times: Any,
    settled: int = 0,
    rules: Mapping[str, int] = RULES,
    mark: float | None = None,
    now: int | None = None,
) -> list[Anomaly]:
    """Of a service of which nothing was expired yet."""
    times = np.asarray(times)
    now = int(times.max()) if now is None else now
    return of_points(times, np.arange(len(times)), Points.of(times), settled, rules, mark, now)


# ── the clock ───────────────────────────────────────────────────────────────────────────────────────────────

STEADY = START + np.arange(500) * HOUR


def test_a_steady_log_raises_no_anomaly():
    assert of_clock(STEADY, 0, int(STEADY[-1]) + HOUR) == []
    assert of_clock(STEADY[:0], 0, START) == []


@pytest.mark.parametrize(
    ("times", "now", "expected"),
    [
        (STEADY, STEADY[-1] - YEAR, ["future"]),
        (STEADY, STEADY[-1] + 5 * YEAR, ["leap"]),
        (STEADY, STEADY[-1] + 29 * DAY, []),
        (STEADY, STEADY[-1] - 4 * MINUTE, []),
        (np.append(STEADY, STEADY[-1] + 5 * YEAR), STEADY[-1] + 5 * YEAR, ["leap"]),
        (np.append(STEADY, [STEADY[-1] + 5 * YEAR, STEADY[-1] + HOUR]), STEADY[-1] + 2 * HOUR, REASONS[1:]),
        (np.append(STEADY, STEADY[-1] - 3 * MINUTE), STEADY[-1], []),
        (np.append(STEADY, STEADY[-1] - 3 * DAY), STEADY[-1], ["backwards"]),
    ],
)
def test_a_clock_that_jumped_is_noticed_in_the_log_and_against_it(times, now, expected):
    assert reasons(of_clock(np.asarray(times), 0, int(now))) == list(expected)


def test_a_vault_that_is_used_once_a_quarter_makes_no_leaps():
    quarters = START + np.arange(10) * 91 * DAY
    assert reasons(of_clock(quarters, 0, int(quarters[-1]) + 100 * DAY)) == ["leap"]
    assert of_clock(quarters, 2, int(quarters[-1]) + 100 * DAY) == []


def test_entries_before_a_completed_prune_are_settled():
    jumped = np.append(STEADY, [STEADY[-1] + 5 * YEAR, STEADY[-1] + HOUR, STEADY[-1] + 2 * HOUR])
    now = int(STEADY[-1]) + 3 * HOUR
    assert "backwards" in reasons(of_clock(jumped, 0, now))
    assert of_clock(jumped, len(jumped), now) == []


def test_the_newest_entry_is_never_settled_against_a_clock_that_was_set_back():
    assert reasons(of_clock(STEADY, len(STEADY), int(STEADY[0]))) == ["future"]


# ── floods ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("minutes", [1, 10, 60, 24 * 60])
def test_points_at_a_steady_interval_are_no_flood(minutes):
    assert of_all(START + np.arange(3000) * minutes * MINUTE) == []


def test_a_flood_is_reported_with_its_time_and_the_points_it_would_push_out():
    good, flood = OFTEN, int(OFTEN[-1]) + np.arange(10_000) * SECOND // 10
    (found,) = of_all(np.concatenate([good, flood]))
    assert found.reason == "flood"
    assert "more than the 100 that an hour may have here" in found.text
    assert "2030-01-07T22" in found.text
    assert "because of them 20 others would expire" in found.text


def test_a_flood_in_the_very_first_hour_of_a_service_is_one():
    good = START + np.arange(5) * MINUTE
    flood = int(good[-1]) + np.arange(10_000) * SECOND // 100
    assert reasons(of_all(np.concatenate([good, flood]))) == ["flood"]


def test_the_number_of_points_an_hour_may_have_grows_with_the_usual_number():
    ever = START + np.arange(200_000) * 12 * SECOND
    twice_as_fast = int(ever[-1]) + np.arange(1000) * 6 * SECOND
    assert of_all(np.concatenate([ever, twice_as_fast])) == []


def test_a_flood_that_harms_no_other_point_suspends_nothing():
    good = START + np.arange(20) * DAY
    flood = int(good[-1]) + np.arange(10_000) * SECOND // 10
    times = np.concatenate([good, flood])
    assert of_all(times, rules={"daily": 30}) == []
    assert keep(Points.of(times), {"daily": 30}, int(times[-1])).kept[:20].all()


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(lambda now, i: now + i * SECOND // 10, id="as it was"),
        pytest.param(lambda now, i: now - i * HOUR, id="each in an hour of the past"),
        pytest.param(lambda now, i: now + i * HOUR, id="each in an hour of the future"),
        pytest.param(lambda now, i: 0, id="long ago"),
    ],
)
def test_ten_thousand_points_of_a_stolen_source_suspend_pruning_whatever_times_they_claim(claim):
    good, now = OFTEN, int(OFTEN[-1]) + HOUR
    flood = np.array([claim(now, i) for i in range(10_000)])
    assert "flood" in reasons(of_all(np.concatenate([good, flood]), now=now))


def test_points_at_the_interval_of_the_service_file_are_no_flood():
    slow = START + np.arange(400) * DAY
    fast = int(slow[-1]) + np.arange(4000) * 5 * SECOND
    times = np.concatenate([slow, fast])
    assert reasons(of_all(times, rules={"last": 100})) == ["flood"]
    assert of_all(times, rules={"last": 100}, mark=5.0) == []


def test_the_usual_number_is_counted_over_all_points_that_ever_existed():
    ever = START + np.arange(100_000) * MINUTE
    kept = np.flatnonzero(keep(Points.of(ever[:90_000]), RULES, int(ever[-1])).kept)
    live = np.concatenate([kept, np.arange(90_000, 100_000)])
    points = Points.of(ever[live])
    assert of_points(ever, live, points, 90_000, RULES, None, int(ever[-1])) == []


def test_an_accepted_flood_is_settled():
    flood = int(OFTEN[-1]) + np.arange(10_000) * SECOND // 10
    later = int(flood[-1]) + np.arange(1, 10) * HOUR
    times = np.concatenate([OFTEN, flood, later])
    assert reasons(of_all(times)) == ["flood"]
    kept = np.flatnonzero(keep(Points.of(times[:11_000]), RULES, int(times[-1])).kept)
    live = np.concatenate([kept, np.arange(11_000, len(times))])
    assert of_points(times, live, Points.of(times[live]), 11_000, RULES, None, int(times[-1])) == []


def test_a_service_without_points_raises_no_anomaly():
    assert of_all(START + np.arange(0), now=START) == []


def test_the_failure_names_each_reason_and_how_to_accept_it():
    quarters = np.append(STEADY, [STEADY[-1] + 5 * YEAR, STEADY[-1]])
    error = suspended(of_clock(quarters, 0, int(STEADY[-1])), "prune")
    assert error.exit_code == 1
    assert "--despite backwards --despite future --despite leap" in error.hint
    assert "pruning is suspended: backwards: the log has an entry of " in error.cause
