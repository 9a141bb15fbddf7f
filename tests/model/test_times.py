import os
import time

import pytest

from undivided.model.errors import UsageError
from undivided.model.times import SECOND, iso_utc, local, parse_time

NOW = 1_900_000_000 * SECOND


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.pop("TZ", None)
    time.tzset()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("10 minutes ago", 600),
        ("10 min ago", 600),
        ("an hour ago", 3600),
        ("2 days ago", 172800),
        ("1h30m ago", 5400),
        ("90s ago", 90),
        ("Yesterday", 86400),
        ("now", 0),
    ],
)
def test_a_time_can_be_relative_to_now(text, ago):
    assert parse_time(text, NOW) == NOW - ago * SECOND


def test_a_time_with_a_zone_means_that_zone():
    assert iso_utc(parse_time("2030-01-31T14:05:00Z", NOW)) == "2030-01-31T14:05:00.000000Z"
    assert iso_utc(parse_time("2030-01-31 14:05:00+05:30", NOW)) == "2030-01-31T08:35:00.000000Z"


def test_a_time_without_a_zone_is_the_users_own():
    assert iso_utc(parse_time("2030-01-31 14:05", NOW)) == "2030-01-31T12:05:00.000000Z"


def test_a_time_of_day_is_the_last_time_the_clock_showed_it():
    assert local(NOW).startswith("2030-03-17 19:46:40")
    assert local(parse_time("19:00", NOW)).startswith("2030-03-17 19:00:00")
    assert local(parse_time("23:00", NOW)).startswith("2030-03-16 23:00:00")


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "25:00", "2030-13-01", "ten minutes ago", "5 parsecs ago", "\udcff"),
        *("9999-12-31", "0001-01-01", "2262-04-12T00:00:00Z", "99999999 weeks ago", f"{'9' * 400} weeks ago"),
    ],
)
def test_an_invalid_time_is_refused_with_the_valid_forms(text):
    with pytest.raises(UsageError) as caught:
        parse_time(text, NOW)
    assert "ago" in caught.value.hint


def test_machines_get_utc_and_people_their_own_zone():
    assert iso_utc(NOW + 1_234_567) == "2030-03-17T17:46:40.001234Z"
    assert local(NOW) == "2030-03-17 19:46:40 +0200"


def test_a_time_for_machines_reads_back_as_the_same_instant():
    assert parse_time(iso_utc(NOW + 123_456_000), 0) == NOW + 123_456_000
