"""Values of command line options: counts, durations, sizes, keep rules. Same notation as in service files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..model.durations import parse_duration
from ..model.errors import UsageError
from .component_options import Key, Type
from .option_readers import LARGEST, read_value
from .yaml_nodes import Complaints, from_plain

_COUNT = re.compile(r"[0-9]{1,20}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?", re.IGNORECASE)


def parse_seconds(option: str, text: str, *, zero: bool = False) -> float:
    """Seconds of 15s, 5m, 1h30m, 7d. zero: whether 0 is allowed. Raises UsageError with the option's name."""
    if zero and text.strip() in ("0", "0s"):
        return 0.0
    try:
        return parse_duration(text)
    except ValueError as error:
        hint = "Write a number with its unit: 15s, 5m, 1h30m, 7d, 2w."
        raise UsageError(f"{option}: {error}", hint=hint) from None


def parse_count(option: str, text: str) -> int:
    """A whole number from 1 on. Raises UsageError with the option's name."""
    count = int(text) if _COUNT.fullmatch(text) else 0
    if not 1 <= count <= LARGEST:
        hint = f"Write a whole number in digits, from 1 to {LARGEST}."
        raise UsageError(f"{option}: invalid number: {text!r}", hint=hint)
    return count


def parse_size(option: str, text: str) -> int:
    """Bytes of 500K, 20M, 4G or 4GiB; K is 1024. Raises UsageError with the option's name."""
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else LARGEST + 1
    if size > LARGEST:
        raise UsageError(f"{option}: invalid size: {text!r}", hint="Write it as 500K, 20M or 4G.")
    return int(size)


def parse_keep_rules(given: Sequence[str]) -> dict[str, float]:
    """Rules from last=20, daily=30, within=2d: rule → number of points; for `within` seconds. Raises
    UsageError."""
    if not given:
        return {}
    plain: dict[str, object] = {}
    for text in given:
        rule, _, amount = text.partition("=")
        plain[rule] = int(amount) if _COUNT.fullmatch(amount) else amount
    complaints = Complaints("--keep")
    rules: dict[str, float] | None = read_value(from_plain(plain), Key(Type.KEEP, ""), "--keep", complaints)
    if complaints.found:
        first = complaints.found[0]
        raise UsageError(first.cause, hint=first.hint or "Write --keep last=20 --keep within=2d.")
    return rules or {}
