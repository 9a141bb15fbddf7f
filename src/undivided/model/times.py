"""Times as people write and read them. The program uses UTC nanoseconds; the user's zone is for input and
output only.

A time without a zone is in the user's zone: the time of the clock on the wall at 3 a.m.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from .errors import UsageError

SECOND = 1_000_000_000
_END = 2**63

_AGO = re.compile(r"(?P<count>\d+(?:\.\d+)?|an?)\s*(?P<unit>[a-z]+)\s+ago")
_DURATION_AGO = re.compile(r"(?P<duration>\S+)\s+ago")
_UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86400, "week": 604800}
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?")

HINT = (
    'Write `latest`, a point id, a time such as "2030-01-31 14:05:00" or 2030-01-31T14:05:00Z, or '
    '"10 minutes ago".'
)


def parse_time(text: str, now_ns: int | None = None) -> int:
    """UTC nanoseconds of an ISO time, "now", "yesterday", a clock time today, or "… ago".

    Raises UsageError when it is none of these, or outside of the years 1678 to 2261, which 64 bits can count.
    """
    found = _time(text, time.time_ns() if now_ns is None else now_ns)
    if found is None or not -_END <= found < _END:
        raise UsageError(f"invalid time: {text!r}", hint=HINT)
    return found


def _time(text: str, now: int) -> int | None:
    words = " ".join(text.strip().lower().split())
    if words == "now":
        return now
    if words == "yesterday":
        return now - 86400 * SECOND
    if (ago := _seconds_ago(words)) is not None:
        return now - round(min(ago, _END / SECOND * 2) * SECOND)
    if clock := _CLOCK.fullmatch(words):
        return _clock_today(clock, now)
    try:
        moment = datetime.fromisoformat(text.strip())
        return _nanoseconds(moment if moment.tzinfo else moment.astimezone())
    except (ValueError, OverflowError):
        return None


def _seconds_ago(words: str) -> float | None:
    if match := _AGO.fullmatch(words):
        unit = match["unit"] if match["unit"] in _UNITS else match["unit"].removesuffix("s")
        if unit in _UNITS:
            return (1.0 if match["count"] in ("a", "an") else float(match["count"])) * _UNITS[unit]
    if match := _DURATION_AGO.fullmatch(words):
        from .durations import parse_duration

        try:
            return parse_duration(match["duration"])
        except ValueError:
            return None
    return None


def _clock_today(clock: re.Match[str], now: int) -> int:
    """The last moment at which the user's clock showed this time."""
    hour, minute, second = int(clock["hour"]), int(clock["minute"]), int(clock["second"] or 0)
    try:
        today = datetime.fromtimestamp(now / SECOND).replace(
            hour=hour, minute=minute, second=second, microsecond=0
        )
    except ValueError:
        raise UsageError(f"invalid time of day: {clock[0]}", hint=HINT) from None
    then = _nanoseconds(today.astimezone())
    return then if then <= now else then - 86400 * SECOND


def _nanoseconds(moment: datetime) -> int:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000


def iso_utc(time_ns: int) -> str:
    """For machines: 2030-01-31T14:05:00.123456Z, always UTC, always microseconds."""
    seconds, rest = divmod(time_ns, SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}Z"


def local(time_ns: int) -> str:
    """For people: 2030-01-31 15:05:00 +0100, in their own zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(time_ns // SECOND))
