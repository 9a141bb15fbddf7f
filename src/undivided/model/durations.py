"""Durations as people write them ("15s", "5m", "1h30m", "7d", "2w"), to seconds and back.

A number without a unit is refused: a 30 that was meant as days is a common cause of lost backups.
"""

from __future__ import annotations

import re

UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
PATTERN = r"^([0-9]+(\.[0-9]+)?(w|d|h|ms|m|s))+$"
"""The notation of a duration, for the JSON Schema."""

LONGEST = 200 * 365.25 * 86400
"""Seconds. Added to any time of today, it still fits into a count of nanoseconds in 64 bits."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])")


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError, with a message for operators, when the text is no positive duration."""
    compact = text.replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"invalid duration: {text!r}")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise ValueError(f"a duration must be at most 200 years: {text!r}")
    if seconds <= 0:
        raise ValueError(f"a duration must be longer than zero: {text!r}")
    return seconds


def format_duration(seconds: float) -> str:
    """The two largest units: 93784 → "1d2h", 0.35 → "0.3s"."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    rest, parts = round(seconds), list[str]()
    for unit in "wdhms":
        count, rest = divmod(rest, int(UNITS[unit]))
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    return "".join(parts[:2]) or "0s"
