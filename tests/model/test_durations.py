import pytest

from undivided.model.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("7d", 604800),
        ("2w", 1209600),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("10000w", 6_048_000_000),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "15", "5 minutes", "h", "-5m", "5m!", "0s", "1m1", "m5", "10436w", f"{'9' * 400}w"]
)
def test_an_invalid_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.35, "0.3s"), (59.6, "1m"), (90, "1m30s"), (3601, "1h"), (93784, "1d2h"), (-90, "-1m30s")],
)
def test_a_duration_is_shown_by_its_two_largest_units(seconds, text):
    assert format_duration(seconds) == text


def test_a_shown_duration_can_be_read_again():
    for seconds in (1, 60, 3600, 86400, 604800, 5400):
        assert parse_duration(format_duration(seconds)) == seconds
