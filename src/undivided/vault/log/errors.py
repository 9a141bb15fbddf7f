"""What a vault says no to when several work in it at once, and what was expired.

None of these is damage: nothing was lost, nothing was half done, and doing it again is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...model.errors import UndividedError, UsageError


class FencedError(UndividedError):
    """A session was taken for dead and shut out: whatever it stored counts no more."""

    def __init__(
        self,
        cause: str = "this session was silent for so long that a prune took it for dead",
        *,
        doing: str = "",
        hint: str = "Nothing was committed. Do it again; if it takes long, prune with a higher session age.",
    ) -> None:
        super().__init__(cause, doing=doing, hint=hint)


class ConflictError(UndividedError):
    """Somebody else changed what this rested on. timelines: those that cannot be gone on from any more."""

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
    """What is asked for was expired by a prune."""

    def __init__(self, timeline: str, sequence: int) -> None:
        super().__init__(
            f"timeline {timeline} as of log entry {sequence} was expired by a prune",
            hint="Choose a point that `undivided points` lists.",
        )
