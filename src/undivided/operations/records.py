"""JSON records of values that come from lower rooms: the answers that every face gives for them.

Fields are documented in docs/commands.md. Under one version of the answers fields are only ever added.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..host.names import shown
from ..model.times import iso_utc

if TYPE_CHECKING:
    from ..model.errors import UndividedError
    from ..model.point import ComponentPoint, RecoveryPoint
    from ..policy.anomalies import Anomaly
    from ..vault.verify import VerificationAge


def point_record(point: RecoveryPoint) -> dict[str, Any]:
    """A recovery point and how it was taken."""
    return {
        "point": point.id,
        "service": point.service,
        "time": iso_utc(point.time_ns),
        "consistency": point.consistency.value,
        "pause_ms": round(point.pause_ms, 3),
        "skew_ms": round(point.skew_ms, 3),
        "bytes_seen": point.bytes_seen,
        "bytes_read": point.bytes_read,
        "bytes_stored": point.bytes_stored,
        "seconds": round(point.seconds, 4),
        "components": {name: component_record(part) for name, part in point.components.items()},
    }


def component_record(part: ComponentPoint) -> dict[str, Any]:
    """One component's part in a point."""
    return {
        "kind": part.kind,
        "position": part.position.text,
        "consistency": part.consistency.value,
        "image": part.image,
        "files": part.files,
        "bytes_seen": part.bytes_seen,
        "bytes_read": part.bytes_read,
        "took_ms": dict(part.took_ms),
        "notes": list(part.notes),
    }


def verification_age_record(age: VerificationAge, time_ns: int | None = None) -> dict[str, Any]:
    """How long ago the packs of the vault were verified. time_ns: as of when; None for now."""
    return {
        **({} if time_ns is None else {"time": iso_utc(time_ns)}),
        "packs": age.packs,
        "never": age.never,
        "oldest": iso_utc(age.oldest_ns) if age.oldest_ns else None,
        "median": iso_utc(age.median_ns) if age.median_ns else None,
        "oldest_seconds": _seconds_since(age.oldest_ns),
        "median_seconds": _seconds_since(age.median_ns),
    }


def anomaly_records(anomalies: Sequence[Anomaly]) -> list[dict[str, str]]:
    return [{"reason": a.reason, "text": a.text, "hint": a.hint} for a in anomalies]


def file_records(files: Sequence[tuple[str, bytes]]) -> list[dict[str, str]]:
    """files: (component, path)."""
    return [{"component": name, "path": shown(path)} for name, path in files]


def error_record(error: UndividedError) -> dict[str, Any]:
    """A failure. With `complaints` when a file has mistakes."""
    record: dict[str, Any] = {
        "cause": error.cause,
        "doing": error.doing,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    complaints = getattr(error, "complaints", None)
    if complaints is not None:
        record["complaints"] = [
            {"line": c.line, "column": c.column, "cause": c.cause, "hint": c.hint} for c in complaints
        ]
    return record


def _seconds_since(time_ns: int) -> int | None:
    """Whole seconds, at least 1; None for never."""
    return max(1, (time.time_ns() - time_ns) // 10**9) if time_ns else None
