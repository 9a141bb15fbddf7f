"""What commands say: JSON for programs, short lines and tables for people.

Every JSON answer is one object with "version": fields are only ever added under one version. People's
tables are plain aligned text: they survive a pipe, a log and a narrow terminal at 3 a.m.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..model.errors import UndividedError

VERSION = 1


def emit(json: bool, record: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Says the record to a program or the lines to a person."""
    if json:
        write_json(record)
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)


def write_json(record: Mapping[str, Any]) -> None:
    import json

    # Plain ASCII: what a terminal's encoding cannot say must not reach a program as something else.
    json.dump({"version": VERSION, **record}, sys.stdout, default=_plain)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def text(path: bytes) -> str:
    """A path for showing: odd bytes as \\xNN, so that nothing a file is called can drive a terminal."""
    shown = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def error_record(error: UndividedError) -> dict[str, Any]:
    said: dict[str, Any] = {
        "cause": error.cause,
        "doing": error.doing,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    complaints = getattr(error, "complaints", None)
    if complaints is not None:
        said["complaints"] = [
            {"line": c.line, "column": c.column, "cause": c.cause, "hint": c.hint} for c in complaints
        ]
    return {"error": said}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns: numbers (columns whose head ends in a space) to the right."""
    widths = [max(len(cell.strip()) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.strip().rjust(w) if h.endswith(" ") else cell.ljust(w)
            for h, cell, w in zip(head, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def plural(count: int, noun: str) -> str:
    """ "1 point", "2 points"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count: int) -> str:
    """Bytes for people: 1536 → "1.5 KiB"."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
