"""The bytes that are measured: one mixed file, and a tree of many small files, both from what a Debian system
has.

Same on every machine with the same packages: files are taken in order of name, noise comes from a seeded
generator.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

SOURCES = (b"/usr/lib", b"/usr/share")
PIECE = 4 << 20


def system_files() -> Iterator[bytes]:
    """Regular files of the system, in order of name."""
    for source in SOURCES:
        for directory, directories, names in os.walk(source):
            directories.sort()
            for name in sorted(names):
                path = os.path.join(directory, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path


def mixed_file(path: Path, size: int = 1 << 30) -> Path:
    """Two thirds programs and text, one third noise that does not compress, in pieces of 4 MiB."""
    noise, files = random.Random(1), system_files()
    with open(path, "wb") as out:
        while out.tell() < size:
            piece = bytearray()
            while len(piece) < 2 * PIECE:
                source = next(files, None)
                if source is None:
                    files = system_files()
                    continue
                with open(source, "rb") as file:
                    piece += file.read(PIECE)
            out.write(piece[: 2 * PIECE])
            out.write(noise.randbytes(PIECE))
        out.truncate(size)
    return path


def small_files(root: Path, count: int = 50_000) -> Path:
    """Copies of the system's first `count` small files, in their directories."""
    taken = 0
    for source in system_files():
        if os.lstat(source).st_size > 1 << 20:
            continue
        target = os.path.join(os.fsencode(root), source.lstrip(b"/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(source, target)
        taken += 1
        if taken == count:
            return root
    raise SystemExit(f"this system has only {taken} small files")


def change_file(path: Path, share: float = 0.01) -> None:
    """Overwrites `share` of a file with noise, in 64 KiB pieces skew over it."""
    noise, size = random.Random(2), path.stat().st_size
    count = max(1, int(size * share) // 65536)
    with open(path, "r+b") as file:
        for place in sorted(noise.sample(range(size // 65536), count)):
            file.seek(place * 65536)
            file.write(noise.randbytes(65536))


def change_tree(root: Path, share: float = 0.01) -> None:
    """Rewrites `share` of a tree's files, each with one line more."""
    paths = sorted(os.path.join(d, n) for d, _, names in os.walk(root) for n in names)
    for path in random.Random(3).sample(paths, max(1, int(len(paths) * share))):
        with open(path, "ab") as file:
            file.write(b"changed\n")


def tree_size(root: Path) -> int:
    """Bytes of all regular files beneath."""
    return sum(os.lstat(os.path.join(d, n)).st_size for d, _, names in os.walk(root) for n in names)


def hollow(root: Path) -> None:
    """Gives the space of all files beneath back, and leaves the files: see backup.py why."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                os.truncate(path, 0)
