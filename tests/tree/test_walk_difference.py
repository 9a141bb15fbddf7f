"""What changed is found; what did not is not read again."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from undivided.host.rooted import RootedDirectory
from undivided.model.columns import Ragged
from undivided.model.path_join import locate
from undivided.tree.walk import Walk, walk
from undivided.tree.walk_cache import recall_walk, remember_walk
from undivided.tree.walk_difference import TICK_NS, coarse_clock_ns, difference


def look(root: Path) -> Walk:
    with RootedDirectory(root) as opened:
        return walk(opened)


def settled(root: Path) -> tuple[Walk, int]:
    """A walk of files that are safely older than it, and the clock before it."""
    newest = max(p.lstat().st_ctime_ns for p in [root, *root.rglob("*")])
    while coarse_clock_ns() <= newest + 2 * TICK_NS:
        time.sleep(0.005)
    return look(root), coarse_clock_ns()


def changed(before: tuple[Walk, int], now: Walk) -> set[bytes]:
    unlike = difference(*before, now)
    return {path for path, is_changed in zip(now.entries.path, unlike.changed, strict=True) if is_changed}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("a", "b", "c/d", "c/e"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_an_unchanged_tree_has_no_changes(tree: Path) -> None:
    before = settled(tree)
    assert changed(before, look(tree)) == set()


def test_new_changed_and_vanished_are_distinguished(tree: Path) -> None:
    before = settled(tree)
    (tree / "a").write_text("longer than before")
    (tree / "new").touch()
    (tree / "c" / "d").unlink()
    now = look(tree)
    assert changed(before, now) == {b"a", b"new", b".", b"c"}
    assert difference(*before, now).vanished.tolist() == [b"c/d"]


def test_a_change_that_restores_size_and_mtime_is_seen_by_its_change_time(tree: Path) -> None:
    before = settled(tree)
    times = (tree / "a").stat()
    (tree / "a").write_text("A")
    os.utime(tree / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert changed(before, look(tree)) == {b"a"}


def test_attributes_alone_are_a_change(tree: Path) -> None:
    before = settled(tree)
    os.setxattr(tree / "b", "user.x", b"1")
    (tree / "a").chmod(0o600)
    assert changed(before, look(tree)) == {b"a", b"b"}


def test_a_file_as_young_as_the_last_walk_is_read_again(tree: Path) -> None:
    began = coarse_clock_ns()
    (tree / "a").write_text("x")
    now = look(tree)
    assert b"a" in changed((now, began), now)


def test_locate_agrees_with_a_dictionary(tmp_path: Path) -> None:
    rng = random.Random(4)
    some = sorted({bytes(rng.choices(b"ab/", k=rng.randint(1, 6))) for _ in range(300)})
    other = sorted([*rng.sample(some, 100), b"zz", b"zzz"])
    found = locate(Ragged.of(some), Ragged.of(other)).tolist()
    assert found == [some.index(p) if p in some else -1 for p in other]
    assert locate(Ragged.of([]), Ragged.of([b"a"])).tolist() == [-1]


def test_a_remembered_walk_is_the_same_and_only_for_its_token(tree: Path, tmp_path: Path) -> None:
    now, began = settled(tree)
    remember_walk(tmp_path, "token", now, began)
    recalled = recall_walk(tmp_path, "token")
    assert recalled is not None
    assert changed(recalled, look(tree)) == set()
    assert recall_walk(tmp_path, "other") is None
    assert recall_walk(tmp_path / "nowhere", "token") is None
    (tmp_path / "walk.udc").write_bytes(b"damaged")
    assert recall_walk(tmp_path, "token") is None
