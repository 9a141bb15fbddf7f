from __future__ import annotations

import errno
import mmap
import os
import stat
from pathlib import Path

import pytest

from undivided.host import atomic_files
from undivided.host.atomic_files import create_file, make_directories, replace_file, write_synced


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was fsynced, in order: the path that each descriptor was opened by."""
    order: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return order


def test_replacing_a_file_leaves_the_new_bytes_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [replace_file, create_file])
def test_the_bytes_are_durable_before_the_name(write, tmp_path: Path, synced: list[str]) -> None:
    write(tmp_path / "file", b"bytes")
    assert synced == [f"{tmp_path}/.file.{os.getpid()}", str(tmp_path)]


def test_a_crash_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    for step, left in (("write_synced", b"old"), ("sync_directory", b"new")):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(atomic_files, step, crash)
            replace_file(path, b"new")
        assert path.read_bytes() == left


def test_a_file_that_could_not_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "file", b"bytes")
    assert os.listdir(tmp_path) == []


def test_creating_a_file_never_overwrites_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert create_file(path, b"first")
    assert not create_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_a_mapped_old_file_keeps_its_bytes_when_the_name_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_synced(path, b"old")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        write_synced(path, b"new")
        assert bytes(mapped) == b"old"
    assert path.read_bytes() == b"new"


def test_each_new_directory_is_made_durable_in_its_parent(tmp_path: Path, synced: list[str]) -> None:
    make_directories(str(tmp_path / "a" / "b"))
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    make_directories(str(tmp_path / "a" / "b"))
    assert len(synced) == 2
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_failure_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "none" / "file"
    for write in (replace_file, create_file):
        with pytest.raises(FileNotFoundError) as failure:
            write(path, b"")
        assert failure.value.filename == str(path)


def test_a_file_is_written_to_the_current_directory_by_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    replace_file("file", b"here")
    assert (tmp_path / "file").read_bytes() == b"here"
