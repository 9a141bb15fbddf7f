"""How an operation reports its progress to the face that called it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""(name of the part, bytes done, bytes in all or None when unknown). May be called from several threads."""


def of_bytes(progress: Progress | None) -> Callable[[int, int], None] | None:
    """The same for an operation with one part: (bytes done, bytes in all)."""
    return (lambda done, total: progress("bytes", done, total)) if progress else None
