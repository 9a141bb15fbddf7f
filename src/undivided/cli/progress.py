"""Progress bars: on a terminal, on standard error, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int | None], None]
"""(what, bytes done, bytes in all when known)."""


@contextmanager
def progress(title: str) -> Iterator[Progress | None]:
    """A function that shows how far each part is, or None where nobody watches."""
    if not sys.stderr.isatty():
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

    def tell(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

    with bars:
        yield tell
