"""What is written past the page cache is what was given, whatever its alignment."""

from __future__ import annotations

import errno
import mmap
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from undivided.model.entries import Entries, Entry, Kind
from undivided.tree import direct
from undivided.tree.background_flush import BackgroundFlush
from undivided.tree.write import TreeWriter

SIZE = (5 << 20) + 1234


def content() -> bytes:
    return np.random.default_rng(7).bytes(SIZE)


def aligned(data: bytes, offset: int) -> memoryview:
    """The bytes in memory that is aligned like a file at `offset`."""
    shift = offset % mmap.PAGESIZE
    memory = memoryview(mmap.mmap(-1, len(data) + mmap.PAGESIZE))
    memory[shift : shift + len(data)] = data
    return memory[shift : shift + len(data)]


def write_pieces(into: Path, data: bytes, cuts: list[int]) -> None:
    """One file, its pieces written by as many threads, last piece first."""
    entries = Entries.of([Entry(b".", Kind.DIRECTORY, 0o700), Entry(b"f", size=len(data))])
    with TreeWriter(into, entries) as writer:
        writer.begin()
        parts = list(zip([0, *cuts], [*cuts, len(data)], strict=True))
        threads = [
            threading.Thread(target=writer.write, args=(1, a, aligned(data[a:b], a)))
            for a, b in reversed(parts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.end()


@pytest.mark.parametrize(
    "cuts", [[], [1 << 20, 3 << 20], [700_001, 700_002, 2_500_000], [4095, 4097, SIZE - 1]]
)
def test_pieces_cut_anywhere_make_the_whole_file(tmp_path: Path, cuts: list[int]) -> None:
    data = content()
    write_pieces(tmp_path / "o", data, cuts)
    assert (tmp_path / "o" / "f").read_bytes() == data


def test_a_filesystem_that_refuses_direct_writes_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some filesystems accept the flag and refuse the write."""
    plain = os.pwrite
    refused = []

    def pwrite(fd: int, view: memoryview, offset: int) -> int:
        if _is_direct(fd):
            refused.append(offset)
            raise OSError(errno.EINVAL, "invalid argument")
        return plain(fd, view, offset)

    data = content()
    monkeypatch.setattr(os, "pwrite", pwrite)
    write_pieces(tmp_path / "o", data, [1_300_000])
    assert (tmp_path / "o" / "f").read_bytes() == data
    assert refused or direct.open_direct(os.open(tmp_path / "o" / "f", os.O_WRONLY)) < 0


def test_an_error_of_the_disk_is_raised(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        reader = os.open(tmp_path / "f", os.O_RDONLY)
        try:
            direct.write_at(file.fileno(), aligned(bytes(1 << 20), 0), 0, reader)
        finally:
            os.close(reader)


def test_the_disk_is_set_to_work_while_a_tree_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from undivided.tree import background_flush

    flushed = threading.Event()
    monkeypatch.setattr(background_flush, "syncfs", lambda fd: flushed.set())
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    flush = BackgroundFlush(fd)
    try:
        flush.add(1)
        assert not flushed.wait(0.05)
        flush.add(1 << 30)
        assert flushed.wait(30)
    finally:
        flush.close()
        flush.close()
        os.close(fd)


def _is_direct(fd: int) -> bool:
    with open(f"/proc/self/fdinfo/{fd}") as info:
        flags = next(line.split()[1] for line in info if line.startswith("flags:"))
    return bool(int(flags, 8) & os.O_DIRECT)
