"""Amounts that options take: durations, sizes, keep rules. Read as in service files and store addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..model.durations import parse_duration
from ..model.errors import UsageError
from .component_options import Key, Type
from .option_readers import typed
from .yaml_nodes import Complaints, from_plain

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?", re.IGNORECASE)


def seconds(option: str, text: str, *, zero: bool = False) -> float:
    """Of 15s, 5m, 1h30m, 7d; of 0 only where that means something. Raises UsageError naming the option."""
    if zero and text.strip() in ("0", "0s"):
        return 0.0
    try:
        return parse_duration(text)
    except ValueError as error:
        hint = "Write a number and its unit: 15s, 5m, 1h30m, 7d, 2w."
        raise UsageError(f"{option}: {error}", hint=hint) from None


def size(option: str, text: str) -> int:
    """Bytes of 500K, 20M, 4G or 4GiB, all of 1024. Raises UsageError naming the option."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{option}: not a size: {text!r}", hint="Write it as 500K, 20M or 4G.")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def keep_rules(given: Sequence[str]) -> dict[str, float]:
    """Of last=20, daily=30, within=2d: rule → count, of `within` seconds. Raises UsageError."""
    if not given:
        return {}
    plain: dict[str, object] = {}
    for rule in given:
        name, _, amount = rule.partition("=")
        plain[name] = int(amount) if amount.isdecimal() else amount
    notes = Complaints("--keep")
    rules: dict[str, float] | None = typed(from_plain(plain), Key(Type.KEEP, ""), "--keep", notes)
    if notes.found:
        first = notes.found[0]
        raise UsageError(first.what, hint=first.hint or "Write --keep last=20 --keep within=2d.")
    return rules or {}
