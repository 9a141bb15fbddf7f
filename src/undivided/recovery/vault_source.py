"""One component at one point, read from the vault: the `Source` that drivers restore from.

Its entries are the fold of the component's timeline up to the point's commit. The point carries the digest of
that timeline, so either the captured state is restored or nothing: a vault that answers with another history,
or with part of one, is detected before a byte is written.

Content goes from the vault to the tree in bulk: every frame is decoded once, for any number of files that
share it, and files are written in the order in which their content lies in the vault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from ..host.names import shown
from ..model.entries import Entries
from ..model.errors import DamageError, UndividedError, UsageError
from ..model.point import ComponentPoint
from ..tree.write import TreeWriter
from ..vault.reading import Reader


class SourceAbandoned(UndividedError):
    """Another component could not be built: stop building this one."""


class VaultSource:
    """Implements drivers.base.Source. Used by one thread at a time; `extract` uses all cores by itself.

    abandoned: another thread sets it, and the running call raises SourceAbandoned. given: called from several
    threads with the number of bytes written or read since the last call.
    """

    def __init__(
        self,
        reader: Reader,
        part: ComponentPoint,
        *,
        abandoned: threading.Event | None = None,
        given: Callable[[int], None] | None = None,
    ) -> None:
        self._reader = reader
        self._part = part
        self._abandoned = abandoned or threading.Event()
        self._given = given
        self.notes: list[str] = []
        """Sentences about attributes that `extract` could not set."""

    @property
    def point(self) -> ComponentPoint:
        return self._part

    @cached_property
    def entries(self) -> Entries:
        """Sorted by path. Raises DamageError when the vault's timeline is not the point's."""
        part = self._part
        try:
            return self._reader.component(part.timeline, part.sequence, part.digest)
        except DamageError as error:
            error.doing = error.doing or f"read {part.name}"
            raise

    def extract(
        self, into: Path, prefix: bytes = b"", *, select: Callable[[bytes], bool] | None = None
    ) -> None:
        """See drivers.base.Source. Raises DamageError for an image that no capture makes, before a byte is
        written, and for content that differs from the stored one; UndividedError when the target refuses."""
        entries = self.entries
        with TreeWriter(into, entries, prefix=prefix, select=select) as tree:
            tree.begin()
            self._check()
            self._reader.bulk_restore(entries.content, tree.content_rows, tree.write, self._written)
            tree.end()
            self.notes += tree.notes

    def read(self, path: bytes) -> Iterator[bytes]:
        """The content of a file; of a sparse file, the data of its entry's extents without the holes. Raises
        UsageError when the point has no such file."""
        row = self._rows.get(path)
        if row is None:
            raise UsageError(f"{self._part.name} has no {shown(path)} at this point")
        return self._counted(self._reader.read(self.entries.chunks(row)))

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._check()
            yield piece
            if self._given:
                self._given(len(piece))

    def _written(self, count: int) -> None:
        if self._given:
            self._given(count)
        self._check()

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise SourceAbandoned("another component could not be built", doing=f"build {self._part.name}")

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {path: row for row, path in enumerate(self.entries.path.tolist())}
