"""A target that fills up, or fails to flush, ends a recovery with a reason, never with a tree that looks
whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.model.entries import Entries, Entry
from undivided.model.errors import UndividedError
from undivided.tree import write
from undivided.tree.write import write_tree

ROWS = Entries.of([Entry(b"a", size=1 << 20), Entry(b"b", size=3 << 20)])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of two MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("piece", [4 << 20, 1 << 16])
def test_a_full_target_is_reported_with_the_file_it_happened_to(small: Path, piece: int) -> None:
    def content(row: int) -> Iterator[bytes]:
        size = int(ROWS.size[row])
        for start in range(0, size, piece):
            yield bytes(min(piece, size - start))

    with pytest.raises(UndividedError, match="no space left") as caught:
        write_tree(small / "into", ROWS, content=content)
    assert caught.value.doing == f"write {small}/into/b"
    assert "space" in caught.value.hint
    assert (small / "into" / "a").stat().st_size == 1 << 20, "what was whole stays"


def test_a_flush_that_fails_fails_the_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(write, "syncfs", broken)
    with pytest.raises(UndividedError, match="input/output error"):
        write_tree(tmp_path / "into", Entries.of([Entry(b"a")]), content=lambda row: [])
