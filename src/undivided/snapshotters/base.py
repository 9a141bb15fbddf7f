"""The contract of a snapshotter: how a filesystem preserves one instant, so that reading can happen later.

A filesystem may offer two operations. `snapshot` preserves a whole tree at one instant. `clone` preserves one
open file; every snapshotter can do that, at worst by copying. Both run while writers are held, so both must
be quick, and neither may leave anything behind when it fails or when its result is dropped.

Every implementation passes tests/contract/test_snapshotters.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Snapshot(Protocol):
    """path: the tree as it was, readable until `drop`. id: its name in messages and points."""

    path: Path
    id: str

    def drop(self) -> None:
        """Removes it. Idempotent, never raises."""
        ...


class Snapshotter(Protocol):
    """whole: whether `snapshot` works. copies: whether `clone` copies the bytes, so that its time depends on
    the size."""

    name: str
    whole: bool
    copies: bool

    def snapshot(self, tree: Path) -> Snapshot:
        """The tree at one instant, read-only, including data that was written but is not on disk yet. Raises
        SourceError."""
        ...

    def clone(self, file: int, directory: int) -> int:
        """A descriptor of a private copy of an open file with its bytes as they are now: later writes to one
        do not show in the other. directory: a descriptor of a directory on the file's filesystem; no name
        appears in it. The caller closes the result. Raises OSError."""
        ...
