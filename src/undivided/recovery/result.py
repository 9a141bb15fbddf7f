"""What a recovery did, in numbers: the record that stays in the vault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..model.errors import UndividedError
from .checks import CheckResult


@dataclass(frozen=True, slots=True)
class Recovered:
    """One component. place: where it is now. aside: where that is which was there before. seconds, bytes:
    what its build took."""

    kind: str
    place: str
    position: str
    aside: str | None = None
    seconds: float = 0.0
    bytes: int = 0
    notes: tuple[str, ...] = ()

    def way_back(self) -> str:
        """What would have to be renamed for what was there before to be there again."""
        pair = f"{self.aside} → {self.place}"
        return f"{pair} (its -wal likewise, if there is one)" if self.kind == "sqlite" else pair


@dataclass(frozen=True, slots=True)
class Result:
    """A recovery that came as far as touching its targets.

    seconds: from its begin to the last check passed, which is the recovery time. down_seconds: of these,
    from the first component stopped on; None when nothing was stopped. data_loss_seconds: at most so
    much of what the service had done is not in it; None when it was only written to a directory. first:
    the point taken before. failed: what went wrong, None when nothing did; `ok` also needs every check
    passed. advice: what to do about it. resumable: the same recovery, run again, goes on from here.
    """

    service: str
    point: str
    point_time_ns: int
    mode: str
    ok: bool
    started: bool
    time_ns: int
    seconds: float
    down_seconds: float | None
    data_loss_seconds: float | None
    first: str | None
    components: Mapping[str, Recovered]
    checks: tuple[CheckResult, ...] = ()
    failed: str | None = None
    advice: str = ""
    resumable: bool = False
    notes: tuple[str, ...] = field(default=())

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values, as kept in the vault's log."""
        return asdict(self)

    def failure(self) -> UndividedError | None:
        """The error that this result is, for the exit code; None when all is well."""
        if self.ok:
            return None
        again = "Remove the cause and run it again: it goes on from here. " if self.resumable else ""
        again = f"{self.advice} {again}".lstrip()
        cause = self.failed or "; ".join(f"check {v.check}: {v.reason}" for v in self.checks if not v.ok)
        moved = [part.way_back() for part in self.components.values() if part.aside]
        if moved:
            hint = (
                f"{again}Nothing was rolled back: what was there before is kept. To go back to it, stop the "
                f"service and rename {', '.join(moved)}."
            )
        else:
            places = ", ".join(part.place for part in self.components.values())
            hint = f"{again}Nothing that was there before was touched; what is recovered is in {places}."
        return UndividedError(cause, doing=f"recover {self.service} to point {self.point}", hint=hint)
