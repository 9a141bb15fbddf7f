"""Progress bars: on a terminal, on standard error, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..operations.progress import Progress


@contextmanager
def progress(title: str) -> Iterator[Progress | None]:
    """A function that shows the progress of each part; None when standard error is no terminal."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn(title), TextColumn("{task.description}"), BarColumn())
    bars = Bars(
        *columns, DownloadColumn(), TransferSpeedColumn(), console=Console(stderr=True), transient=True
    )
    tasks: dict[str, object] = {}

    def report(part: str, done: int, total: int | None) -> None:
        if part not in tasks:
            tasks[part] = bars.add_task(part, total=total)
        bars.update(tasks[part], completed=done, total=total)  # type: ignore[arg-type]

    with bars:
        yield report
