import numpy as np
import pytest

from undivided.model.errors import UsageError
from undivided.model.times import SECOND, parse_time
from undivided.policy.keep import Points, keep
from undivided.policy.simulate import steady_state, usual_pace

NOW = parse_time("2030-06-15T13:37:00Z")
HOUR, DAY = 3600, 86400
RULES = {"last": 20, "hourly": 48, "daily": 30, "monthly": 12}


def test_the_steady_state_has_the_number_of_points_that_stay_and_the_age_of_the_oldest():
    steady = steady_state(RULES, 60.0, 400 * DAY, NOW)
    shares = {share.rule: share for share in steady.shares}
    assert steady.taken == 400 * 24 * 60 + 1
    assert {rule: share.points for rule, share in shares.items()} == {**RULES, "newest": 1}
    assert shares["last"].oldest == 19 * 60
    assert 46 * HOUR < shares["hourly"].oldest <= 48 * HOUR
    assert 28 * DAY < shares["daily"].oldest <= 30 * DAY
    assert steady.oldest == shares["monthly"].oldest > 330 * DAY
    assert steady.kept <= sum(RULES.values())


def test_it_is_the_same_as_pruning_after_every_point():
    times = NOW - np.arange(2000)[::-1] * HOUR * SECOND
    left = times[:0]
    for time in times:
        left = np.append(left, time)
        left = left[keep(Points.of(left), RULES, NOW).kept]
    assert steady_state(RULES, HOUR, 1999 * HOUR, NOW).kept == len(left)


def test_a_rule_that_keeps_no_point_of_its_own_is_counted_so():
    shares = {
        s.rule: s for s in steady_state({"daily": 5, "weekly": 1, "last": 3}, DAY, 90 * DAY, NOW).shares
    }
    assert shares["last"].alone == 0
    assert shares["daily"].alone > 0


def test_without_a_rule_everything_stays():
    steady = steady_state({}, DAY, 90 * DAY, NOW)
    assert steady.kept == steady.taken == 91


def test_too_many_points_are_refused_with_a_hint():
    with pytest.raises(UsageError, match="makes 3153600001 points") as caught:
        steady_state(RULES, 0.01, 365 * DAY, NOW)
    assert "--over" in caught.value.hint


def test_the_usual_interval_is_the_median_of_the_gaps():
    assert usual_pace(np.array([0, 10, 20, 500, 510]) * SECOND) == 10.0
    assert usual_pace(np.array([5]) * SECOND) is None
    assert usual_pace(np.array([5, 5]) * SECOND) is None
