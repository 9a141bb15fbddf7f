"""The contract of a snapshotter: how a filesystem keeps a moment, so that reading can happen later.

There are two things a filesystem may be able to do. `snapshot` fixes a whole tree at one instant. `clone`
fixes one open file; every snapshotter can, at worst by copying. Both are used while writers are held, so both
must be quick, and neither may leave anything behind when it fails or when its result is dropped.

Every implementation passes tests/contract/test_snapshotters.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Snapshot(Protocol):
    """path: the tree as it was, readable until `drop`. id: how messages and points name it."""

    path: Path
    id: str

    def drop(self) -> None:
        """Removes it. Idempotent, never raises."""
        ...


class Snapshotter(Protocol):
    """whole: whether `snapshot` works. copies: whether `clone` moves the bytes, and so costs by size."""

    name: str
    whole: bool
    copies: bool

    def snapshot(self, tree: Path) -> Snapshot:
        """The tree at one instant, read-only, with what was written but not yet on disk. Raises
        SourceError."""
        ...

    def clone(self, file: int, directory: int) -> int:
        """A descriptor of a private copy of an open file, of its bytes as they are now: later writes to
        either do not show in the other. directory: a descriptor of a directory on the file's filesystem; no
        name appears in it. The caller closes the result. Raises OSError."""
        ...
