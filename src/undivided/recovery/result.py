"""The result of a recovery, in numbers: the record that is kept in the vault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..model.errors import UndividedError
from .checks import CheckResult


@dataclass(frozen=True, slots=True)
class RecoveredComponent:
    """One component. place: its path now. aside: the path of the data that was there before. seconds, bytes:
    of its build."""

    kind: str
    place: str
    position: str
    aside: str | None = None
    seconds: float = 0.0
    bytes: int = 0
    notes: tuple[str, ...] = ()

    def way_back(self) -> str:
        """The rename that brings the earlier data back."""
        pair = f"{self.aside} → {self.place}"
        return f"{pair} (and its -wal file, if there is one)" if self.kind == "sqlite" else pair


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """A recovery that got as far as changing its targets.

    seconds: from its start to the end of the last check, which is the recovery time. down_seconds: the part
    of it since the first component was stopped; None when none was. data_loss_seconds: the service's work of
    at most so many seconds is lost; None when it was only written to a directory. first: the point taken
    before. failed: the failure, None without one; `ok` also needs every check passed. hint: what to do about
    the failure. resumable: the same recovery, run again, resumes from here.
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
    components: Mapping[str, RecoveredComponent]
    checks: tuple[CheckResult, ...] = ()
    failed: str | None = None
    hint: str = ""
    resumable: bool = False
    notes: tuple[str, ...] = field(default=())

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values, as kept in the vault's log."""
        return asdict(self)

    def failure(self) -> UndividedError | None:
        """This result as an error, for the exit code; None when it is ok."""
        if self.ok:
            return None
        again = (
            "Remove the cause and run the same command again: it resumes from here. "
            if self.resumable
            else ""
        )
        again = f"{self.hint} {again}".lstrip()
        cause = self.failed or "; ".join(f"check {v.check}: {v.reason}" for v in self.checks if not v.ok)
        moved = [part.way_back() for part in self.components.values() if part.aside]
        if moved:
            hint = (
                f"{again}Nothing was rolled back, and the earlier data is kept. To return to it, stop the "
                f"service and rename {', '.join(moved)}."
            )
        else:
            places = ", ".join(part.place for part in self.components.values())
            hint = f"{again}No earlier data was changed; the recovered data is in {places}."
        return UndividedError(cause, doing=f"recover {self.service} to point {self.point}", hint=hint)
