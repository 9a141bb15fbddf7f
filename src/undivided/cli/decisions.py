"""How a decision about the points of a service is shown: for `prune` and `policy simulate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..model.columns import Array
from ..model.durations import format_duration
from ..model.times import local
from ..operations.retention import REQUESTED, Decision
from .output import plural, table


def lines_of(decision: Decision) -> Iterator[str]:
    """The points that stay, with their reasons; the points that expire, one line for each run of them."""
    stays = decision.kept.kept
    count, expired = len(stays), len(stays) - int(stays.sum())
    yield f"{decision.service}: keep {rules_text(decision.rules)}"
    if not expired:
        yield f"  all {plural(count, 'point')} stay"
        return
    yield f"  {count - expired} of {plural(count, 'point')} kept, {expired} to expire"
    yield from (f"    {line}" for line in table(["TIME", "POINT", "KEPT BY"], list(_rows(decision, stays))))
    if decision.requested:
        named = (id for id in decision.history.ids if id in decision.requested)
        yield f"  {REQUESTED}: {', '.join(named)}"
    for anomaly in decision.anomalies:
        yield f"  suspended by {anomaly.reason}: {anomaly.text}"


def rules_text(rules: Mapping[str, float]) -> str:
    """ "last 20, within 2d"."""
    parts = (
        f"{rule} {format_duration(amount) if rule == 'within' else f'{amount:.0f}'}"
        for rule, amount in rules.items()
    )
    return ", ".join(parts) or "everything"


def _rows(decision: Decision, stays: Array) -> Iterator[list[str]]:
    """Each point that stays; of each run that expires the first, the last, and their number."""
    ids, times = decision.history.ids, decision.history.time_ns
    begins = np.flatnonzero(np.diff(stays, prepend=~stays[:1]))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(stays)], strict=True):
        if stays[begin]:
            for row in range(begin, end):
                yield [local(int(times[row])), ids[row], ", ".join(decision.kept.why(row))]
        else:
            last, many = (f" … {ids[end - 1]}", f"{end - begin} points ") if end - begin > 1 else ("", "")
            yield [local(int(times[begin])), ids[begin] + last, f"({many}to expire)"]
