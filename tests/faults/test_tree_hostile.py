"""A hostile image, or a hostile neighbour while it is written: nothing appears outside the target."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.host.rooted import RootedDirectory
from undivided.model.entries import Entries, Entry, Kind
from undivided.model.errors import DamageError, UndividedError
from undivided.tree.write import TreeWriter, write_tree

IMAGES = {
    "parent": [Entry(b"../outside", size=1)],
    "parent inside": [Entry(b"a", Kind.DIRECTORY), Entry(b"a/../../outside", size=1)],
    "absolute": [Entry(b"/outside", size=1)],
    "empty component": [Entry(b"a//b", size=1)],
    "trailing slash": [Entry(b"a/", size=1)],
    "dot": [Entry(b"./a", size=1)],
    "dots": [Entry(b"..", Kind.DIRECTORY)],
    "nothing": [Entry(b"", size=1)],
    "null byte": [Entry(b"a\0b", size=1)],
    "through a symlink": [Entry(b"a", Kind.SYMLINK, target=b"/tmp"), Entry(b"a/outside", size=1)],
    "through a symlink, deeper": [
        Entry(b"a", Kind.SYMLINK, target=b"/tmp"),
        Entry(b"a/b/outside", size=1),
    ],
    "through a file": [Entry(b"a", size=1), Entry(b"a/b", size=1)],
    "twice": [Entry(b"a", size=1), Entry(b"a", Kind.SYMLINK, target=b"/etc/passwd")],
    "root is a symlink": [Entry(b".", Kind.SYMLINK, target=b"/etc")],
    "link of another kind": [
        Entry(b"a", Kind.SYMLINK, target=b"/etc/passwd", link=5),
        Entry(b"b", size=1, link=5),
    ],
    "extents outside": [Entry(b"a", size=10, extents=((5, 100),))],
    "extents backwards": [Entry(b"a", size=10, extents=((5, 2), (0, 2)))],
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_hostile_image_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    into = tmp_path / "into"
    with pytest.raises(DamageError):
        write_tree(into, Entries.of(IMAGES[name]), content=lambda row: [b"x"])
    assert list(tmp_path.rglob("*")) in ([], [into])


@pytest.mark.parametrize("prefix", [b"data/..", b"..", b"data/../..", b"/"])
def test_a_prefix_cannot_lead_out(prefix: bytes, tmp_path: Path) -> None:
    entries = Entries.of([Entry(b"data", Kind.DIRECTORY), Entry(b"data/x", size=1)])
    write_tree(tmp_path / "into", entries, prefix=prefix, content=lambda row: [b"x"])
    found = {p.relative_to(tmp_path / "into") for p in (tmp_path / "into").rglob("*")}
    assert found <= {Path("data"), Path("data/x")}
    assert {p.name for p in tmp_path.iterdir()} == {"into"}


def test_a_symlink_that_waits_in_the_target_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    into = tmp_path / "into"
    into.mkdir()
    (into / "a").symlink_to(outside)
    entries = Entries.of([Entry(b"a", Kind.DIRECTORY), Entry(b"a/file", size=1)])
    with pytest.raises(UndividedError, match="symbolic link"):
        write_tree(into, entries, content=lambda row: [b"x"])
    assert list(outside.iterdir()) == []


@contextlib.contextmanager
def renaming(into: Path, outside: Path, names: list[str]) -> Iterator[list[int]]:
    """An attacker that keeps swapping directories of the target for links that lead outside, and back."""
    stop = threading.Event()
    swaps = [0]

    def swap() -> None:
        while not stop.is_set():
            for name in names:
                place, hidden = into / name, into / f"{name}.hidden"
                with contextlib.suppress(OSError):
                    os.rename(place, hidden)
                    os.symlink(outside, place)
                    swaps[0] += 1
                with contextlib.suppress(OSError):
                    os.unlink(place)
                with contextlib.suppress(OSError):
                    os.rename(hidden, place)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("has_openat2", [True, False])
def test_a_racing_renamer_cannot_make_us_write_outside(
    has_openat2: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RootedDirectory.__init__

    def chosen(self: RootedDirectory, root: Path) -> None:
        plain(self, root)
        self.has_openat2 = has_openat2

    monkeypatch.setattr(RootedDirectory, "__init__", chosen)
    outside, into = tmp_path / "outside", tmp_path / "into"
    outside.mkdir()
    names = [f"d{n}" for n in range(3)]
    rows = [Entry(name.encode(), Kind.DIRECTORY, 0o700) for name in names]
    for name in names:
        for n in range(400):
            kind = (Kind.FILE, Kind.FIFO, Kind.SYMLINK)[n % 3]
            rows.append(Entry(f"{name}/f{n}".encode(), kind, size=3 if kind == Kind.FILE else 0, target=b"x"))
    entries = Entries.of(rows).sorted()
    done = refused = 0
    with TreeWriter(into, entries, durable=False) as writer:
        writer.begin()
        with renaming(into, outside, names) as swaps:
            while swaps[0] < 5 or not done or not refused:
                for row in writer.content_rows.tolist():
                    try:
                        writer.write(row, 0, b"abc")
                        done += 1
                    except UndividedError:
                        refused += 1
            with contextlib.suppress(UndividedError):
                writer.end()
    assert done and refused and swaps[0] >= 5
    assert list(outside.iterdir()) == []
    assert os.stat(outside).st_mode & 0o7777 == 0o755 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
