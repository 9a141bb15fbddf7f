"""Every snapshotter, on a real filesystem of its kind, keeps the promises of snapshotters/base.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.model.errors import SourceError
from undivided.snapshotters.base import Snapshotter
from undivided.snapshotters.btrfs import BtrfsSnapshotter
from undivided.snapshotters.plain import PlainSnapshotter
from undivided.snapshotters.reflink import ReflinkSnapshotter
from undivided.snapshotters.registry import snapshotter_for
from undivided.testing.filesystems import loop_filesystem
from undivided.testing.trees import describe_tree, make_tree

KINDS = {"btrfs": BtrfsSnapshotter, "xfs": ReflinkSnapshotter, "ext4": PlainSnapshotter}

_COUNT = """
import os, sys
a, b = (os.open(os.path.join(sys.argv[1], n), os.O_RDWR | os.O_CREAT) for n in ("first", "second"))
n = 0
print("ready", flush=True)
while True:
    n += 1
    os.pwrite(a, b"%012d" % n, 0); os.fsync(a)
    os.pwrite(b, b"%012d" % n, 0); os.fsync(b)
"""


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Snapshotter, Path]]:
    """A snapshotter that the registry chose, and a directory on its filesystem."""
    with loop_filesystem(request.param, tmp_path) as root:
        tree = root / "tree"
        if request.param == "btrfs":
            subprocess.run(["btrfs", "subvolume", "create", str(tree)], check=True, capture_output=True)
        else:
            tree.mkdir()
        chosen = snapshotter_for(tree)
        assert isinstance(chosen, KINDS[request.param])
        yield chosen, tree


def test_a_filesystem_without_clones_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with loop_filesystem("ext4", tmp_path) as root:
        snapshotter_for(root)
        assert caplog.messages == [f"{root}: large files are copied into memory: ext4 has no reflinks here"]


def test_a_clone_has_the_bytes_of_its_moment(place: tuple[Snapshotter, Path]) -> None:
    snapshotter, tree = place
    data = os.urandom(5 << 20)
    with open(tree / "file", "w+b", buffering=0) as file:
        file.write(data)
        directory = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
        clone = snapshotter.clone(file.fileno(), directory)
        os.close(directory)
        os.pwrite(file.fileno(), b"later", 100)
        file.truncate(1000)
        with open(clone, "rb") as copy:
            assert copy.read() == data
            os.pwrite(clone, b"other", 0) if os.access(f"/proc/self/fd/{clone}", os.W_OK) else None
        assert os.pread(file.fileno(), 5, 0) == data[:5]
    assert [p.name for p in tree.iterdir()] == ["file"], "no name is left"


def test_a_clone_of_a_sparse_file_is_as_long(place: tuple[Snapshotter, Path]) -> None:
    snapshotter, tree = place
    with open(tree / "file", "w+b", buffering=0) as file:
        file.truncate(3 << 20)
        os.pwrite(file.fileno(), b"end", (3 << 20) - 3)
        directory = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
        clone = snapshotter.clone(file.fileno(), directory)
        os.close(directory)
        with open(clone, "rb") as copy:
            assert copy.read() == bytes((3 << 20) - 3) + b"end"


def test_a_snapshot_is_the_whole_tree_or_refused(place: tuple[Snapshotter, Path]) -> None:
    snapshotter, tree = place
    make_tree(tree / "all")
    before = describe_tree(tree / "all")
    if not snapshotter.whole:
        with pytest.raises(SourceError):
            snapshotter.snapshot(tree)
        return
    snapshot = snapshotter.snapshot(tree)
    inodes = {p.relative_to(tree): p.lstat().st_ino for p in (tree / "all").rglob("*")}
    subprocess.run(["rm", "-r", str(tree / "all")], check=True)
    assert describe_tree(snapshot.path / "all") == before
    found = {p.relative_to(snapshot.path): p.lstat().st_ino for p in (snapshot.path / "all").rglob("*")}
    assert found == inodes
    with pytest.raises(OSError):
        (snapshot.path / "new").touch()
    snapshot.drop()
    snapshot.drop()
    assert not snapshot.path.exists()
    assert [p.name for p in tree.parent.iterdir()] == ["tree"], "nothing is left"


def test_a_snapshot_under_load_is_one_instant_of_what_was_made_durable(
    place: tuple[Snapshotter, Path],
) -> None:
    snapshotter, tree = place
    if not snapshotter.whole:
        return
    with subprocess.Popen([sys.executable, "-c", _COUNT, str(tree)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout and writer.stdout.readline()
            for _ in range(5):
                snapshot = snapshotter.snapshot(tree)
                first = int((snapshot.path / "first").read_bytes() or b"0")
                second = int((snapshot.path / "second").read_bytes() or b"0")
                snapshot.drop()
                assert first - 1 <= second <= first
        finally:
            writer.kill()


def test_a_directory_inside_a_subvolume_is_found_in_its_snapshot(tmp_path: Path) -> None:
    with loop_filesystem("btrfs", tmp_path) as root:
        (root / "plain" / "deep").mkdir(parents=True)
        (root / "plain" / "deep" / "file").write_text("x")
        snapshot = BtrfsSnapshotter().snapshot(root / "plain" / "deep")
        assert (snapshot.path / "file").read_text() == "x"
        snapshot.drop()
        assert [p.name for p in root.iterdir()] == ["plain"]


def test_a_missing_path_gets_plain_copies(tmp_path: Path) -> None:
    assert snapshotter_for(tmp_path / "missing").name == "plain"
