"""How answers are written: JSON for programs, short lines and tables for people.

Every JSON answer is one object with "version"; under one version fields are only ever added. Tables are plain
aligned text: they survive a pipe, a log and a narrow terminal at 3 a.m.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

VERSION = 1
NO_SERVICE = "No service is applied here. `undivided service apply FILE` applies one."
_ROWS = 500
"""So many rows of a long table are aligned together."""


def emit(json: bool, record: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Writes the record for a program or the lines for a person."""
    if json:
        write_json(record)
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)


def write_json(record: Mapping[str, Any]) -> None:
    import json

    # Plain ASCII: a character that the terminal's encoding lacks must not reach a program as another one.
    json.dump({"version": VERSION, **record}, sys.stdout, default=_plain)
    sys.stdout.write("\n")


def write_json_list(field: str, records: Iterable[Mapping[str, Any]]) -> None:
    """The answer {field: [records]}, for more records than should be in memory. Nothing is written before all
    of them are known, so a failure never follows half an answer."""
    import json
    import shutil
    from tempfile import TemporaryFile

    with TemporaryFile("w+") as spool:
        spool.write(f'{{"version": {VERSION}, {json.dumps(field)}: [')
        for number, record in enumerate(records):
            spool.write(", " if number else "")
            json.dump(record, spool, default=_plain)
        spool.write("]}\n")
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout)


def write_error(error: Mapping[str, Any]) -> None:
    write_json({"error": error})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns. Columns whose head ends in a space are aligned to the right."""
    return _aligned(head, [head, *rows], [0] * len(head))


def long_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The same for rows that arrive one by one: some hundreds are aligned together, and columns only get
    wider."""
    rest, widths, first = iter(rows), [0] * len(head), True
    while batch := list(islice(rest, _ROWS)):
        yield from _aligned(head, [head, *batch] if first else batch, widths)
        first = False


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], widths: list[int]) -> list[str]:
    """widths: of the columns so far, and afterwards of these rows, too."""
    widths[:] = [max(w, *(len(r[n].strip()) for r in rows)) for n, w in enumerate(widths)]
    lines = []
    for row in rows:
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
