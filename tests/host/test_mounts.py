"""The filesystem beneath a path is the one the kernel uses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from undivided.host.mounts import mount_of, mounts_inside


def test_the_root_has_a_filesystem() -> None:
    assert mount_of(Path("/")).mountpoint == Path("/")
    assert mount_of(Path("/proc/self")).fstype == "proc"


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mount_of(tmp_path / "missing")


def test_the_innermost_mount_counts_also_with_odd_names(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    point = tmp_path / "a place\twith blanks"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "thing", str(point)], check=True)
    try:
        (point / "x").touch()
        assert mount_of(point / "x") == ("tmpfs", point, "thing")
        assert mounts_inside(tmp_path) == [point]
        assert mounts_inside(point) == []
    finally:
        subprocess.run(["umount", str(point)], check=True)
