"""A walk sees what is there, in order, and concludes nothing from what it could not see."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from undivided.host.lockfile import exclusive
from undivided.host.rooted import RootedDirectory
from undivided.model.entries import Kind
from undivided.testing.trees import ODD_NAME, describe_tree, make_tree
from undivided.tree import walk_processes
from undivided.tree.inotify import InotifyWatch
from undivided.tree.patterns import Patterns
from undivided.tree.walk import Walk, walk


def paths_of(root: Path, **options: object) -> list[bytes]:
    with RootedDirectory(root) as opened:
        return walk(opened, **options).entries.path.tolist()  # type: ignore[arg-type]


def test_every_path_is_there_once_in_byte_order(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    paths = paths_of(tree)
    assert paths == sorted(describe_tree(tree))
    assert ODD_NAME in paths
    assert paths.index(b"a-b") < paths.index(b"a/b")


def test_columns_have_what_stat_returns(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with RootedDirectory(tree) as root:
        now = walk(root)
    for row, path in enumerate(now.entries.path.tolist()):
        found = os.lstat(os.path.join(os.fsencode(tree), path))
        entry = now.entries.row(row)
        assert (entry.mode, entry.uid, entry.gid) == (found.st_mode & 0o7777, found.st_uid, found.st_gid)
        assert (entry.mtime_ns, now.ctime_ns[row]) == (found.st_mtime_ns, found.st_ctime_ns)
        assert now.ino[row] == found.st_ino
        assert entry.size == (found.st_size if entry.kind == Kind.FILE else 0)
        is_device = entry.kind in (Kind.BLOCK, Kind.CHARACTER)
        assert entry.rdev == (found.st_rdev if is_device else 0)
        assert bool(entry.link) == (found.st_nlink > 1 and entry.kind != Kind.DIRECTORY)
    holes = {now.entries.path[i] for i in np.flatnonzero(now.holes).tolist()}
    assert holes == {b"sparse", b"hole"}


def test_names_of_one_file_share_a_link_number(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with RootedDirectory(tree) as root:
        entries = walk(root).entries
    rows = [entries.path.tolist().index(p) for p in (b"small", b"third", b"a/b/c/again")]
    assert len({int(entries.link[row]) for row in rows}) == 1


def test_excluded_directories_are_never_entered(tmp_path: Path) -> None:
    (tmp_path / "cache" / "deep").mkdir(parents=True)
    (tmp_path / "hollow" / "deep").mkdir(parents=True)
    (tmp_path / "keep").touch()
    entered: list[bytes] = []

    class Recorder(InotifyWatch):
        def entering(self, fd: int, path: bytes) -> None:
            entered.append(path)

    watch = Recorder()
    paths = paths_of(tmp_path, patterns=Patterns(exclude=["cache/", "hollow/**"]), watch=watch)
    watch.close()
    assert paths == [b".", b"hollow", b"keep"]
    assert entered == [b"."]


def test_included_files_bring_the_directories_that_lead_to_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.txt").touch()
    (tmp_path / "a" / "y.png").touch()
    (tmp_path / "c").mkdir()
    assert paths_of(tmp_path, patterns=Patterns(include=["*.txt"])) == [b".", b"a", b"a/b", b"a/b/x.txt"]


def test_other_filesystems_are_left_out_when_asked(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    point = tmp_path / "mounted"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(point)], check=True)
    try:
        (point / "inside").touch()
        assert paths_of(tmp_path) == [b".", b"mounted", b"mounted/inside"]
        assert paths_of(tmp_path, one_filesystem=True) == [b".", b"mounted"]
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_an_unreadable_directory_is_reported_and_logged_not_taken_for_empty(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed" / "file").touch()
    (tree / "closed").chmod(0)
    program = (
        "import os, sys\n"
        "from undivided.host.rooted import RootedDirectory\n"
        "from undivided.tree.walk import walk\n"
        "root = RootedDirectory(sys.argv[1])\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(walk(root).unreadable)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tree)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[(b'closed', 'permission denied')]"
    assert "not listed: closed: permission denied" in done.stderr.splitlines()


def test_large_trees_are_walked_in_batches_and_come_out_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree")
    whole = paths_of(tree)
    monkeypatch.setattr("undivided.tree.walk._BATCH", 2)
    assert paths_of(tree) == whole


def test_an_empty_walk_has_empty_columns() -> None:
    assert len(Walk.of([], [], 0)) == 0


def wide_tree(root: Path) -> Path:
    """Wide enough to be shared by several processes."""
    for number in range(walk_processes.FRONTIER + 40):
        below = root / f"d{number}" / "e"
        below.mkdir(parents=True)
        (below / "file").write_text(str(number))
        (below / "link").symlink_to("file")
    (root / "d7" / "e" / "hard").hardlink_to(root / "d3" / "e" / "file")
    os.mkfifo(root / "d9" / "pipe")
    return root


def columns_of(found: Walk) -> dict[str, Any]:
    own = {"ino": found.ino, "ctime_ns": found.ctime_ns, "holes": found.holes}
    return {name: column.tolist() for name, column in (found.entries.columns() | own).items()}


@pytest.mark.parametrize("patterns", [Patterns(), Patterns(include=["file"], exclude=["d1?/"])])
def test_a_walk_shared_by_processes_finds_what_one_process_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: Patterns
) -> None:
    monkeypatch.setattr("undivided.tree.walk.PROCESSES", 3)
    with RootedDirectory(wide_tree(tmp_path)) as root:
        alone = walk(root, patterns=patterns)
        shared = walk(root, patterns=patterns, shared=True)
    assert columns_of(shared) == columns_of(alone)


def test_a_failed_process_costs_time_and_no_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("undivided.tree.walk.PROCESSES", 2)
    parent, plain, plain_fork = os.getpid(), os.listdir, os.fork
    running: list[int] = []

    def fork() -> int:
        running.append(plain_fork())
        return running[-1]

    def listdir(path: bytes) -> list[bytes]:
        if os.getpid() != parent:
            os._exit(9)  # as if it was killed
        if running:  # this process does not take every directory before the child takes one
            os.waitid(os.P_PID, running.pop(), os.WEXITED | os.WNOWAIT)
        return plain(path)

    with RootedDirectory(wide_tree(tmp_path)) as root:
        alone = walk(root)
        monkeypatch.setattr(os, "listdir", listdir)
        monkeypatch.setattr(os, "fork", fork)
        shared = walk(root, shared=True)
    assert columns_of(shared) == columns_of(alone)
    assert "it was killed; the tree is walked by one process" in caplog.text


def test_the_error_of_a_failed_process_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise MemoryError("no room")

    assert walk_processes.share([1, 2], lambda _: None, lambda _: None, fail, 2) is None
    assert "failed: MemoryError('no room'); the tree is walked by one process" in caplog.text


def test_a_process_of_a_shared_walk_keeps_only_the_descriptors_that_it_needs(tmp_path: Path) -> None:
    def kept() -> list[str]:
        numbers = [number for number in os.listdir("/proc/self/fd") if int(number) > 2]
        return [os.readlink(f"/proc/self/fd/{n}") for n in numbers if os.path.exists(f"/proc/self/fd/{n}")]

    used = os.open(tmp_path, os.O_RDONLY)
    with exclusive(tmp_path / "lock", "protect shop", "it is busy"):
        results = walk_processes.share([1], lambda _: None, lambda _: None, kept, 3, [used])
    os.close(used)
    assert results and len(results) == 2
    for found in results:
        # Next to the one that it uses: the pipe of the jobs and the pipe of its own result.
        assert sorted(name.partition(":")[0] for name in found) == sorted([str(tmp_path), "pipe", "pipe"])


def test_a_process_of_a_shared_walk_ends_with_a_parent_that_was_killed_right_after_the_fork(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "lock"
    plain_fork = os.fork
    ended, alive = os.pipe()

    def fork() -> int:
        parent = os.getpid()
        pid = plain_fork()
        if pid:
            os.kill(parent, signal.SIGKILL)
        while os.getppid() == parent:  # the child gets to prctl when its parent is gone
            time.sleep(0.001)
        return pid

    def work(_: int) -> None:
        while True:
            signal.pause()

    parent = plain_fork()
    if parent == 0:
        os.fork = fork  # this process ends here
        with exclusive(lock, "protect shop", "it is busy"):
            walk_processes.share([1], work, work, list, 2, [alive])
        os._exit(1)
    os.close(alive)
    assert os.WTERMSIG(os.waitpid(parent, 0)[1]) == signal.SIGKILL
    try:
        assert select.select([ended], [], [], 60)[0]
        assert os.read(ended, 1) == b""  # no process has the other end
    finally:
        os.close(ended)
    with exclusive(lock, "protect shop", "it is busy"):
        pass


def test_a_walk_works_where_no_process_can_be_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("undivided.tree.walk.PROCESSES", 3)
    with RootedDirectory(wide_tree(tmp_path)) as root:
        alone = walk(root)
        monkeypatch.setattr(os, "fork", refuse)
        open_before = os.listdir("/proc/self/fd")
        shared = walk(root, shared=True)
    assert columns_of(shared) == columns_of(alone)
    assert len(os.listdir("/proc/self/fd")) <= len(open_before)
