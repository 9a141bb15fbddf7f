"""Trees captured under real writers, each way: restored they are one instant, or the point fails by name."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from undivided.drivers.base import Session
from undivided.drivers.files import held as files_held
from undivided.drivers.files.driver import FilesDriver
from undivided.model.errors import SourceError, UsageError
from undivided.model.point import ComponentPoint, Consistency, Position
from undivided.model.service import Component
from undivided.snapshotters.registry import snapshotter_for
from undivided.testing.filesystems import loop_filesystem
from undivided.testing.memory import MemorySink, MemorySource, NoWatchdog
from undivided.testing.trees import differences, make_tree
from undivided.tree.walk_difference import TICK_NS, coarse_clock_ns


class Rig:
    """One files component, captured again and again into memory."""

    def __init__(self, path: Path, cache: Path, **options: Any) -> None:
        cache.mkdir(exist_ok=True)
        self.path = path
        self.driver = FilesDriver(Component("site", "files", {"path": str(path), **options}))
        self.driver.cache = cache
        self.driver.snapshotter = snapshotter_for(path)
        self.sink = MemorySink()
        self.previous: ComponentPoint | None = None
        self.watchdog = NoWatchdog()

    def point(self, **steps: Callable[[], object]) -> ComponentPoint:
        """Takes a point. steps: what is called once it is `prepared`, `armed` or `held`."""
        session = self.driver.session(self.previous, must_hold=False)
        try:
            return self._take(session, steps)
        finally:
            session.close()
            session.close()

    def _take(self, session: Session, steps: Mapping[str, Callable[[], object]]) -> ComponentPoint:
        self.sink.notes.clear()
        session.prepare(self.sink)
        steps.get("prepared", bool)()
        session.arm(self.watchdog, time.monotonic() + 5)
        steps.get("armed", bool)()
        session.hold(self.watchdog, time.monotonic() + 5)
        steps.get("held", bool)()
        position: Position = session.mark("point")
        session.release()
        state = session.finish(self.sink)
        session.committed()
        self.moved = self.sink.settle()
        self.previous = ComponentPoint(
            "site", "files", "t", 1, "d", session.consistency, position, state, notes=tuple(self.sink.notes)
        )
        return self.previous

    def restored(self, into: Path) -> Path:
        assert self.previous
        self.driver.restore(MemorySource(self.sink, self.previous), into)
        return into


def settle(root: Path) -> None:
    """Waits until nothing in the tree is as young as a tick of the clock."""
    newest = max(p.lstat().st_ctime_ns for p in [root, *root.rglob("*")])
    while coarse_clock_ns() <= newest + 2 * TICK_NS:
        time.sleep(0.005)


@contextmanager
def writer(program: str, *args: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs `program` and has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout and process.stdout.readline(), "the writer did not start"
        yield process
    finally:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        process.wait()
        if process.stdout:
            process.stdout.close()


# Each token goes into two files, cause first; and now and then a file is renamed into place.
_TOKENS = """
import os, sys
root = sys.argv[1]
a, b = (os.open(os.path.join(root, n), os.O_WRONLY | os.O_CREAT | os.O_APPEND) for n in ("cause", "effect"))
n = 0
while True:
    n += 1
    os.write(a, b"%08d\\n" % n)
    os.write(b, b"%08d\\n" % n)
    if n % 50 == 0:
        with open(os.path.join(root, "new"), "wb") as f: f.write(b"%08d" % n)
        os.rename(os.path.join(root, "new"), os.path.join(root, "files", "f%d" % (n // 50 % 20)))
    if n == 100: print("ready", flush=True)
"""


def check_tokens(tree: Path) -> None:
    """No effect without its cause, nothing half-written, no gap."""
    causes = (tree / "cause").read_text().splitlines()
    effects = (tree / "effect").read_text().splitlines()
    assert causes == [f"{n:08d}" for n in range(1, len(causes) + 1)]
    assert effects == causes[: len(effects)]
    assert len(causes) - len(effects) <= 1
    for file in (tree / "files").iterdir():
        assert len(file.read_text()) == 8
        assert int(file.read_text()) <= len(effects)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "files").mkdir(parents=True)
    return root


def test_a_tree_of_all_kinds_comes_back_identical(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    rig.point()
    assert differences(rig.path, rig.restored(tmp_path / "back")) == []


def test_an_unchanged_tree_moves_nothing_but_its_mark(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    settle(rig.path)
    first = rig.point()
    assert rig.moved > 0
    second = rig.point()
    assert rig.moved == 0
    assert second.position == first.position


def test_only_what_changed_is_read_and_what_went_is_gone(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    settle(rig.path)
    rig.point()
    (rig.path / "a" / "b" / "c" / "file").write_text("changed")
    (rig.path / "new").mkdir()
    (rig.path / "new" / "one").write_text("1")
    shutil.rmtree(rig.path / "nothing")
    os.unlink(rig.path / "third")
    rig.point()
    assert rig.moved == len("changed") + 1 + 2 * len("hello\n"), "with the names whose link count changed"
    assert differences(rig.path, rig.restored(tmp_path / "back")) == []


def test_without_its_cache_everything_is_read_and_nothing_is_wrong(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    rig.point()
    os.unlink(rig.path / "empty")
    (tmp_path / "cache" / "walk.udc").unlink()
    rig.point()
    assert rig.moved > 3 << 20
    assert differences(rig.path, rig.restored(tmp_path / "back")) == []


def test_a_point_that_was_never_committed_leaves_no_trace_in_the_cache(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    settle(rig.path)
    rig.point()
    (rig.path / "small").write_text("not in any point yet")
    session = rig.driver.session(rig.previous, must_hold=False)
    scratch = MemorySink()
    scratch.rows, scratch.data = dict(rig.sink.rows), dict(rig.sink.data)
    session.prepare(scratch)
    session.mark("lost")
    session.finish(scratch)
    session.close()
    rig.point()
    assert differences(rig.path, rig.restored(tmp_path / "back")) == []


def test_patterns_exclude_and_our_own_leftovers_are_never_part(tmp_path: Path, tree: Path) -> None:
    (tree / "cache").mkdir()
    (tree / "cache" / "x").touch()
    (tree / "files" / "y.tmp").touch()
    (tree / ".undivided-old.before").mkdir()
    rig = Rig(tree, tmp_path / "cache", exclude=["cache/**", "*.tmp"])
    rig.point()
    assert sorted(rig.sink.rows) == [b".", b"cache", b"files"]


def test_a_pattern_that_cannot_be_one_is_refused_at_once() -> None:
    with pytest.raises(UsageError):
        FilesDriver(Component("site", "files", {"path": "/srv", "exclude": ["!x"]}))


def test_writers_stopped_by_signal_give_one_instant(tmp_path: Path, tree: Path) -> None:
    with writer(_TOKENS, tree) as process:
        (tmp_path / "pid").write_text(str(process.pid))
        rig = Rig(tree, tmp_path / "cache", writers={"pidfile": str(tmp_path / "pid"), "freeze": "stop"})
        for number in range(6):
            point = rig.point()
            assert point.consistency == Consistency.CRASH
            check_tokens(rig.restored(tmp_path / f"back{number}"))
        before = (tree / "cause").stat().st_size
        deadline = time.monotonic() + 10
        while (tree / "cause").stat().st_size == before:
            assert time.monotonic() < deadline, "the writers go on"


def test_a_restored_tree_is_exactly_what_the_held_tree_was(tmp_path: Path, tree: Path) -> None:
    with writer(_TOKENS, tree) as process:
        (tmp_path / "pid").write_text(str(process.pid))
        rig = Rig(tree, tmp_path / "cache", writers={"pidfile": str(tmp_path / "pid")})
        for number in range(3):
            copy = tmp_path / f"copy{number}"
            rig.point(held=lambda: subprocess.run(["cp", "-a", tree, copy], check=True))  # noqa: B023
            assert differences(copy, rig.restored(tmp_path / f"back{number}")) == []


def test_what_changes_between_arming_and_the_mark_is_in_the_point_as_it_was_then(
    tmp_path: Path, tree: Path
) -> None:
    with writer("print('ready', flush=True); import time; time.sleep(60)") as process:
        (tmp_path / "pid").write_text(str(process.pid))
        rig = Rig(tree, tmp_path / "cache", writers={"pidfile": str(tmp_path / "pid"), "freeze": "stop"})

        def before_arming() -> None:
            for name in ("same", "written", "gone", "replaced", "renamed"):
                (tree / name).write_text("armed")
            os.link(tree / "same", tree / "linked")
            (tree / "folder" / "deep").mkdir(parents=True)
            (tree / "folder" / "deep" / "file").write_text("armed")

        def after_arming() -> None:
            (tree / "written").write_text("later")
            (tree / "gone").unlink()
            (tree / "replaced").unlink()
            (tree / "replaced").mkdir()
            (tree / "renamed").rename(tree / "elsewhere")
            (tree / "linked").write_text("later")
            shutil.rmtree(tree / "folder")

        rig.point(prepared=before_arming, armed=after_arming)
    assert differences(tree, rig.restored(tmp_path / "back")) == []


@pytest.mark.parametrize("filesystem", ["btrfs", "xfs"])
def test_a_filesystem_with_clones_or_snapshots_gives_one_instant(filesystem: str, tmp_path: Path) -> None:
    with loop_filesystem(filesystem, tmp_path) as place:
        tree = place / "tree"
        if filesystem == "btrfs":
            subprocess.run(["btrfs", "subvolume", "create", str(tree)], check=True, capture_output=True)
        (tree / "files").mkdir(parents=True)
        with open(tree / "large", "wb") as file:
            file.write(os.urandom(2 << 20))
        with writer(_TOKENS, tree) as process:
            (tmp_path / "pid").write_text(str(process.pid))
            rig = Rig(tree, tmp_path / "cache", writers={"pidfile": str(tmp_path / "pid")})
            for number in range(3):
                (tree / "large").touch()
                point = rig.point(held=lambda: (tree / "large").touch())
                assert point.consistency == Consistency.CRASH
                check_tokens(rig.restored(tmp_path / f"back{number}"))
        assert sorted(p.name for p in place.iterdir()) == ["tree"]


def test_a_snapshot_needs_no_writers_and_its_position_names_it(tmp_path: Path) -> None:
    with loop_filesystem("btrfs", tmp_path) as place:
        make_tree(place / "tree")
        rig = Rig(place / "tree", tmp_path / "cache")
        settle(rig.path)
        point = rig.point()
        assert point.consistency == Consistency.CRASH
        assert point.position.text.startswith("btrfs snapshot ")
        assert "while its writers ran" in point.notes[0]
        assert differences(rig.path, rig.restored(tmp_path / "back")) == []
        rig.point()
        assert rig.moved == 0


def test_a_subvolume_inside_the_tree_fails_the_point_by_name(tmp_path: Path) -> None:
    with loop_filesystem("btrfs", tmp_path) as place:
        (place / "tree").mkdir()
        inner = place / "tree" / "inner"
        subprocess.run(["btrfs", "subvolume", "create", str(inner)], check=True, capture_output=True)
        with pytest.raises(SourceError, match="inner"):
            Rig(place / "tree", tmp_path / "cache").point()
        rig = Rig(place / "tree", tmp_path / "cache", exclude=["/inner/"])
        rig.point()
        assert sorted(rig.sink.rows) == [b"."]


_MAPPED = """
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 1 << 20)
m[0:8] = b"%08d" % 1
print("ready", flush=True)
n = 1
while True:
    n += 1
    m[0:8] = b"%08d" % n
    m[1 << 19:(1 << 19) + 8] = b"%08d" % n
"""


def test_writes_through_a_shared_mapping_are_in_the_point(tmp_path: Path, tree: Path) -> None:
    (tree / "mapped").write_bytes(bytes(1 << 20))
    with writer(_MAPPED, tree / "mapped") as process:
        (tmp_path / "pid").write_text(str(process.pid))
        rig = Rig(tree, tmp_path / "cache", writers={"pidfile": str(tmp_path / "pid")})
        seen: list[bytes] = []

        def look() -> None:
            with (
                open(tree / "mapped", "rb") as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as held,
            ):
                seen.append(held[:])

        for number in range(3):
            rig.point(held=look)
            assert (rig.restored(tmp_path / f"back{number}") / "mapped").read_bytes() == seen[-1]
    assert len(set(seen)) == 3


_CHURN = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
block = os.urandom(1 << 20)
print("ready", flush=True)
while True:
    for n in range(int(sys.argv[2])):
        os.pwrite(fd, block, n << 20)
"""


def test_a_file_that_never_settles_fails_the_point_by_name(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_held, "LIMIT", 2 << 20)
    monkeypatch.setattr(files_held, "SMALL_BYTES", 1 << 20)
    with open(tree / "churning", "wb") as file:
        file.write(bytes(8 << 20))
    with writer(_CHURN, tree / "churning", 8) as process:
        (tmp_path / "pid").write_text(str(process.pid))
        with pytest.raises(SourceError, match="churning never settle") as caught:
            for number in range(20):  # a writer that got no processor time has settled for once
                cache = tmp_path / f"cache-{number}"
                rig = Rig(tree, cache, writers={"pidfile": str(tmp_path / "pid")})
                rig.driver.snapshotter = None
                rig.point()
        assert caught.value.hint
        assert not (cache / "walk.udc").exists()


def test_a_tree_without_frozen_writers_is_ordered_and_names_the_files_that_changed(
    tmp_path: Path, tree: Path
) -> None:
    with open(tree / "churning", "wb") as file:
        file.write(bytes(8 << 20))
    with writer(_CHURN, tree / "churning", 8):
        rig = Rig(tree, tmp_path / "cache")
        rig.driver.snapshotter = None
        for _ in range(50):
            point = rig.point(held=(tree / "churning").touch)
            assert point.consistency == Consistency.ORDERED
            assert "the writers were not frozen and there was no snapshot" in point.notes[0]
            if len(point.notes) > 1:
                break
        assert "changed or vanished while being read: churning" in point.notes[1]
        assert (rig.restored(tmp_path / "back") / "churning").stat().st_size == 8 << 20


def test_without_frozen_writers_a_file_too_large_to_copy_is_read_after_the_mark(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_held, "LIMIT", 1 << 20)
    monkeypatch.setattr(files_held, "ROUNDS", 1)
    with open(tree / "churning", "wb") as file:
        file.write(bytes(8 << 20))
    with writer(_CHURN, tree / "churning", 8):
        rig = Rig(tree, tmp_path / "cache")
        rig.driver.snapshotter = None
        point = rig.point(held=(tree / "churning").touch)
        assert "churning" in point.notes[1]
        assert (rig.restored(tmp_path / "back") / "churning").stat().st_size == 8 << 20


def test_a_file_changed_by_a_writer_that_is_not_named_fails_the_point_by_name(
    tmp_path: Path, tree: Path
) -> None:
    (tree / "mapped").write_bytes(bytes(1 << 20))
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "pid").write_text(str(sleeper.pid))
        rig = Rig(tree, tmp_path / "cache", writers={"pidfile": str(tmp_path / "pid")})
        with open(tree / "mapped", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:

            def write() -> None:
                mapping[0:5] = b"blind"  # causes no event
                while (tree / "mapped").stat().st_ctime_ns + 2 * TICK_NS > coarse_clock_ns():
                    time.sleep(0.005)

            with pytest.raises(
                SourceError, match="changed before the mark by a process that was not frozen: mapped"
            ):
                rig.point(held=write)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_an_unreadable_directory_fails_the_point_and_makes_no_tombstones(tmp_path: Path, tree: Path) -> None:
    (tree / "files" / "one").write_text("1")
    rig = Rig(tree, tmp_path / "cache")
    rig.point()
    known = dict(rig.sink.rows)
    (tree / "files").chmod(0)
    for folder in (tmp_path, tree, tmp_path / "cache"):
        folder.chmod(0o777)
    rig.driver._path = Path(f"/proc/self/fd/{os.open(tree, os.O_PATH)}")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            rig.point()
        except SourceError as error:
            code = 0 if "files: permission denied" in error.cause and rig.sink.rows == known else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    (tree / "files").chmod(0o755)


def test_a_missing_tree_is_reported(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "missing", tmp_path / "cache")
    assert not rig.driver.health().ok
    with pytest.raises(SourceError, match="no such file"):
        rig.driver.describe()
    with pytest.raises(SourceError, match="no such file"):
        rig.point()


def test_a_live_tree_describes_itself(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    assert rig.driver.health().ok
    description = rig.driver.describe()
    assert description.directory == str(rig.path)
    assert description.size > 3 << 20
    assert " on /" in description.filesystem


def test_a_recovered_tree_takes_the_place_of_the_old(tmp_path: Path) -> None:
    rig = Rig(make_tree(tmp_path / "tree"), tmp_path / "cache")
    rig.point()
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-a", str(rig.path), str(kept)], check=True)
    shutil.rmtree(rig.path / "a")
    built = rig.restored(tmp_path / "built")
    old = rig.driver.install(built, ".aside")
    assert old == tmp_path / "tree.aside"
    assert differences(kept, rig.path) == []
    assert rig.driver.install(built, ".aside") == old
