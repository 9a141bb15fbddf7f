"""Whatever happens to a followed tree, asking until nothing is new leads to the tree as it is."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from undivided.host.rooted import RootedDirectory
from undivided.tree import inotify as watch
from undivided.tree import walk_processes
from undivided.tree.change_tracker import Changes, ChangeTracker
from undivided.tree.patterns import Patterns
from undivided.tree.walk import Walk, walk
from undivided.tree.walk_difference import coarse_clock_ns


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a", "b", "c/d", "c/e/f", "g/h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def follow(tree: Path) -> Iterator[ChangeTracker]:
    with RootedDirectory(tree) as root:
        follow = ChangeTracker(
            root, Patterns(exclude=["skip/"]), one_filesystem=False, began_ns=coarse_clock_ns()
        )
        follow.start()
        yield follow
        follow.close()


def apply(follow: ChangeTracker, changes: Changes) -> set[bytes]:
    """As a capture does: everything reported is captured or dropped."""
    reported = set(changes.found)
    reported.update(follow.gone(changes.vanished))
    for path, found in changes.found.items():
        follow.captured(path, found)
    return reported


def rows_of(seen: Walk) -> dict[bytes, tuple[int, ...]]:
    """Without change times: a name that comes and goes elsewhere moves them, and nothing else."""
    columns = (seen.ino, seen.entries.mtime_ns, seen.entries.size)
    return dict(zip(seen.entries.path, zip(*(c.tolist() for c in columns), strict=True), strict=True))


def test_nothing_touched_is_nothing_reported(follow: ChangeTracker) -> None:
    assert len(follow.changes()) == 0


STEPS: dict[str, tuple[Callable[[Path], object], set[bytes]]] = {
    "written": (lambda t: (t / "a").write_text("x"), {b"a"}),
    "attributes": (lambda t: (t / "a").chmod(0o600), {b"a"}),
    "created": (lambda t: (t / "c" / "new").touch(), {b"c", b"c/new"}),
    "removed": (lambda t: (t / "c" / "d").unlink(), {b"c", b"c/d"}),
    "renamed": (lambda t: (t / "a").rename(t / "g" / "z"), {b".", b"a", b"g", b"g/z"}),
    "directory made": (lambda t: shutil.copytree(t / "c", t / "k"), {b".", b"k", b"k/d", b"k/e", b"k/e/f"}),
    "directory removed": (lambda t: shutil.rmtree(t / "c"), {b".", b"c", b"c/d", b"c/e", b"c/e/f"}),
    "directory renamed": (
        lambda t: (t / "c").rename(t / "k"),
        {b".", b"c", b"c/d", b"c/e", b"c/e/f", b"k", b"k/d", b"k/e", b"k/e/f"},
    ),
    "excluded": (lambda t: (t / "skip").mkdir(), {b"."}),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_was_touched_is_reported(name: str, tree: Path, follow: ChangeTracker) -> None:
    step, expected = STEPS[name]
    step(tree)
    assert apply(follow, follow.changes()) == expected
    assert len(follow.changes()) == 0


def test_what_is_not_captured_is_reported_again(tree: Path, follow: ChangeTracker) -> None:
    (tree / "a").write_text("x")
    (tree / "b").unlink()
    first, second = follow.changes(), follow.changes()
    assert first.found.keys() == second.found.keys() == {b".", b"a"}
    assert first.vanished == second.vanished == [b"b"]


def test_writes_in_a_renamed_directory_are_seen(tree: Path, follow: ChangeTracker) -> None:
    (tree / "c").rename(tree / "k")
    apply(follow, follow.changes())
    (tree / "k" / "e" / "f").write_text("after")
    assert set(follow.changes().found) == {b"k/e/f"}


def test_a_write_through_a_name_made_meanwhile_is_reported_for_all_names(
    tree: Path, follow: ChangeTracker
) -> None:
    os.link(tree / "a", tree / "c" / "alias")
    (tree / "c" / "alias").write_text("through the alias")
    assert {b"a", b"c/alias"} <= follow.changes().found.keys()


def test_two_writes_within_one_tick_are_two_changes(tree: Path, follow: ChangeTracker) -> None:
    (tree / "a").write_text("x")
    times = (tree / "a").stat()
    apply(follow, follow.changes())
    (tree / "a").write_text("y")
    os.utime(tree / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert b"a" in follow.changes().found


def test_an_overflowing_queue_costs_a_walk_and_loses_nothing(tree: Path, follow: ChangeTracker) -> None:
    follow._watch._lock.acquire()  # the queue is not emptied now
    try:
        for n in range(9000):
            (tree / f"n{n % 7}").touch()
            os.unlink(tree / f"n{n % 7}")
        (tree / "g" / "h").write_text("lost among them")
    finally:
        follow._watch._lock.release()

    def lost() -> bool:
        return follow.lost

    deadline = time.monotonic() + 10
    while not lost() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lost()
    assert b"g/h" in apply(follow, follow.changes())
    assert not lost()
    with RootedDirectory(tree) as root:
        assert rows_of(follow.known.merged()) == rows_of(walk(root))


@pytest.mark.parametrize("missing", ["inotify_init1", "inotify_add_watch"])
def test_without_watches_every_question_is_a_walk(
    missing: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch._libc, missing, lambda *arguments: -1)  # as when a limit is reached
    ctypes.set_errno(errno.ENOSPC)
    with RootedDirectory(tree) as root:
        follow = ChangeTracker(root, Patterns(), one_filesystem=False, began_ns=coarse_clock_ns())
        follow.start()
        (tree / "c" / "d").unlink()
        (tree / "a").write_text("x")
        assert {b"a", b"c", b"c/d"} <= apply(follow, follow.changes())
        assert rows_of(follow.known.merged()) == rows_of(walk(root))
        follow.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_random_history_ends_in_the_tree_as_it_is(seed: int, tree: Path, follow: ChangeTracker) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        for _ in range(rng.randint(1, 12)):
            everything = sorted(tree.rglob("*"))
            folders = [tree, *(p for p in everything if p.is_dir())]
            place = rng.choice(folders) / f"n{rng.randint(0, 5)}"
            act = rng.randint(0, 5)
            try:
                if act == 0:
                    place.write_text(str(rng.random()))
                elif act == 1:
                    place.mkdir()
                elif act == 2 and everything:
                    rng.choice(everything).rename(place)
                elif act == 3 and len(everything) > 8:
                    victim = rng.choice(everything)
                    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
                elif act == 4 and everything:
                    os.link(rng.choice([p for p in everything if p.is_file()]), place)
                    break
                elif act == 5 and everything:
                    rng.choice(everything).chmod(rng.choice([0o700, 0o755]))
            except (OSError, IndexError):
                continue
        apply(follow, follow.changes(also=follow.known.linked()))
    apply(follow, follow.changes(also=follow.known.linked()))
    with RootedDirectory(tree) as root:
        now = walk(root)
    assert rows_of(follow.known.merged()) == rows_of(now)
    assert follow.known.count == len(now)
    assert follow.known.size == int(now.entries.size.sum())


def test_a_tree_walked_by_several_processes_is_watched_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undivided.tree.walk.PROCESSES", 3)
    count = walk_processes.FRONTIER + 40
    for number in range(count):
        (tmp_path / f"d{number}" / "e").mkdir(parents=True)
    with RootedDirectory(tmp_path) as root:
        tracker = ChangeTracker(root, Patterns(), one_filesystem=False, began_ns=coarse_clock_ns())
        try:
            tracker.start()
            apply(tracker, tracker.changes())
            files = {b"d%d/e/new" % number for number in range(count)}
            for path in files:
                (tmp_path / os.fsdecode(path)).touch()
            found = apply(tracker, tracker.changes())
            assert not tracker.lost
            assert files <= found
        finally:
            tracker.close()


def test_events_of_another_process_s_watch_are_kept_until_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    queue = watch.InotifyWatch()
    try:
        queue.expect()
        fd = os.open(tmp_path / "d", os.O_RDONLY)
        number, code = queue.place(fd)
        os.close(fd)
        (tmp_path / "d" / "early").touch()
        assert queue.take_touched() == set()
        queue.adopt([(number, code, b"d")])
        assert queue.take_touched() == {b"d", b"d/early"}
        assert not queue.lost
    finally:
        queue.close()


def test_a_directory_met_under_two_names_makes_the_watch_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = watch.InotifyWatch()
    try:
        fd = os.open(tmp_path, os.O_RDONLY)
        queue.expect()
        queue.entering(fd, b"new")
        number, code = queue.place(fd)
        os.close(fd)
        queue.adopt([(number, code, b"old")])
        assert queue.lost
        assert "renamed during the walk" in caplog.text
    finally:
        queue.close()


def test_vanished_directories_take_along_what_lay_beneath_then_and_since(
    tree: Path, follow: ChangeTracker
) -> None:
    """In one call for all: each search of what was captured since the walk costs as much as one of all."""
    (tree / "new" / "er").mkdir(parents=True)
    (tree / "new" / "er" / "file").write_text("since the walk")
    (tree / "newer").write_text("a name that begins alike")
    apply(follow, follow.changes())
    count, size = follow.known.count, follow.known.size
    gone = follow.gone([b"new", b"c", b"never was"])
    assert gone == sorted(gone)
    assert {b"new", b"new/er", b"new/er/file", b"c"} <= set(gone)
    assert b"newer" not in gone and b"never was" not in gone
    assert follow.known.count == count - len(gone)
    assert follow.known.size < size
    assert follow.gone(gone) == []
