"""Small real filesystems for tests: an image file, a loop device and a mount, removed afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@contextmanager
def loop_filesystem(kind: str, parent: Path, megabytes: int = 320) -> Iterator[Path]:
    """A mounted filesystem of that kind beneath `parent`. Skips the test without root or the tools."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a filesystem")
    if not shutil.which(_MAKE[kind][0]):
        pytest.skip(f"needs {_MAKE[kind][0]}")
    image, root = parent / f"{kind}.img", parent / kind
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([*_MAKE[kind], str(image)], check=True, capture_output=True)
    root.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=True, capture_output=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", str(root)], check=False, capture_output=True)
        if os.path.ismount(root):
            subprocess.run(["umount", "-l", str(root)], check=True, capture_output=True)
        image.unlink()
