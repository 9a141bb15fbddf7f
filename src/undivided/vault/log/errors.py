"""Refusals of a vault that several clients use at once, and of points that were expired.

None of these is damage: nothing was lost and nothing was half done. The answer is to try again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...model.errors import UndividedError, UsageError


class FencedError(UndividedError):
    """A prune took a session for dead and fenced it: its uploads no longer count."""

    def __init__(
        self,
        cause: str = "a prune took this session for dead: it had been silent for too long",
        *,
        doing: str = "",
        hint: str = "Nothing was committed. Run it again.",
    ) -> None:
        super().__init__(cause, doing=doing, hint=hint)


class ConflictError(UndividedError):
    """Another client changed something on which this commit is based. timelines: those that can no longer be
    continued."""

    def __init__(
        self,
        cause: str,
        timelines: Iterable[str] = (),
        *,
        doing: str = "",
        hint: str = "Nothing was committed. Run it again.",
    ) -> None:
        super().__init__(cause, doing=doing, hint=hint)
        self.timelines = frozenset(timelines)


class ExpiredError(UsageError):
    """The requested state was expired by a prune."""

    def __init__(self, timeline: str, sequence: int) -> None:
        super().__init__(
            f"timeline {timeline} as of log entry {sequence} was expired by a prune",
            hint="Choose a point that `undivided points` lists.",
        )
