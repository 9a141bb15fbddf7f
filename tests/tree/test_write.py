"""What is written back is what was read, and nothing is written anywhere else."""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undivided.host.rooted import RootedDirectory
from undivided.model.entries import Entries, Entry, Kind
from undivided.model.errors import DamageError, UndividedError
from undivided.model.streams import one_by_one
from undivided.testing.trees import differences, make_tree
from undivided.tree import handle_cache as openfiles
from undivided.tree.read import Reading
from undivided.tree.walk import walk
from undivided.tree.write import TreeWriter, write_tree


def read_tree(root: Path) -> tuple[Entries, dict[int, bytes]]:
    """Entries and the content of each row."""
    with RootedDirectory(root) as opened:
        reading = Reading(opened, walk(opened))
        data: dict[int, bytes] = {}
        for row, piece, _ in one_by_one(reading.pieces()):
            data[row] = data.get(row, b"") + bytes(piece)
    assert not reading.unsettled and not reading.vanished
    return reading.entries, data


@pytest.fixture(params=["openat2", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both ways of opening beneath a root."""
    if request.param == "step by step":
        plain = RootedDirectory.__init__

        def without(self: RootedDirectory, root: Path) -> None:
            plain(self, root)
            self.has_openat2 = False

        monkeypatch.setattr(RootedDirectory, "__init__", without)
    yield


def test_a_tree_of_all_kinds_comes_back_identical(tmp_path: Path, way: None) -> None:
    tree = make_tree(tmp_path / "tree")
    entries, data = read_tree(tree)
    notes = write_tree(tmp_path / "back", entries, content=lambda row: [data[row]])
    assert notes == []
    assert differences(tree, tmp_path / "back") == []


def test_pieces_in_any_order_from_several_threads_give_the_same_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openfiles, "_MOST", 2)  # files are closed and opened again between pieces
    tree = make_tree(tmp_path / "tree")
    entries, data = read_tree(tree)
    with TreeWriter(tmp_path / "back", entries) as writer:
        writer.begin()
        step = 70_001
        jobs = [(row, at) for row in writer.content_rows.tolist() for at in range(0, len(data[row]), step)]
        np.random.default_rng(1).shuffle(jobs)

        def work(mine: list[tuple[int, int]]) -> None:
            for row, at in mine:
                writer.write(int(row), int(at), data[int(row)][int(at) : int(at) + step])

        threads = [threading.Thread(target=work, args=(jobs[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.end()
    assert differences(tree, tmp_path / "back") == []


def test_a_prefix_is_stripped_and_leaves_the_rest(tmp_path: Path) -> None:
    entries = Entries.of([Entry(b"data", Kind.DIRECTORY, 0o750), Entry(b"data/x"), Entry(b"database")])
    write_tree(tmp_path / "o", entries, prefix=b"data/", content=lambda row: [])
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["x"]
    assert stat.S_IMODE((tmp_path / "o").stat().st_mode) == 0o750


def test_selected_files_bring_their_directories_and_links_stay_whole(tmp_path: Path) -> None:
    entries = Entries.of(
        [
            Entry(b"d", Kind.DIRECTORY, 0o711),
            Entry(b"d/first", size=2, link=9),
            Entry(b"d/second", size=2, link=9),
        ]
    )
    write_tree(tmp_path, entries, select=lambda path: path == b"d/second", content=lambda row: [b"ab"])
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["second"]
    assert (tmp_path / "d" / "second").read_bytes() == b"ab"
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o711


def test_missing_and_surplus_content_is_damage(tmp_path: Path) -> None:
    entries = Entries.of([Entry(b"file", size=4)])
    with pytest.raises(DamageError, match="the content is incomplete: file"):
        write_tree(tmp_path / "a", entries, content=lambda row: [b"ab"])
    with pytest.raises(DamageError, match="the content is longer than the file: file"):
        write_tree(tmp_path / "b", entries, content=lambda row: [b"ab", b"cde"])


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UndividedError, match="file exists") as caught:
        write_tree(tmp_path, Entries.of([Entry(b"file", size=1)]), content=lambda row: [b"x"])
    assert "Existing files are never overwritten" in caught.value.hint
    assert (tmp_path / "file").read_text() == "mine"


def test_what_may_not_be_set_is_reported_and_not_fatal(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    tmp_path.chmod(0o777)
    entries = Entries.of(
        [
            Entry(b"theirs", size=1, mode=0o6755, uid=12345, gid=12345),
            Entry(b"device", Kind.CHARACTER, rdev=os.makedev(1, 3)),
            Entry(b"trusted", size=1, uid=65534, gid=65534, xattrs={b"trusted.x": b"1"}),
        ]
    )
    fd = os.open(tmp_path, os.O_PATH)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            notes = write_tree(Path(f"/proc/self/fd/{fd}"), entries, content=lambda row: [b"x"])
            expected = ("owner not set", "device not created", "attribute trusted.x not set")
            code = 0 if all(any(word in note for note in notes) for word in expected) else 2
        finally:
            os._exit(code)
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o755, "no set-id for the wrong owner"


def test_modes_are_the_images_whatever_new_files_get_at_the_target(tmp_path: Path) -> None:
    modes = {b"open": 0o666, b"usual": 0o644, b"read-only": 0o444, b"set-id": 0o6755}
    entries = Entries.of([Entry(path, size=1, mode=mode) for path, mode in modes.items()])
    plain, shared, ruled = tmp_path / "plain", tmp_path / "shared", tmp_path / "ruled"
    shared.mkdir()
    if os.geteuid() == 0:
        os.chown(shared, 65534, 65534)
    shared.chmod(0o2775)
    ruled.mkdir()
    # user::rwx, group::r-x, other::---
    ruled_by = struct.pack("<I" + "HHI" * 3, 2, 1, 7, 2**32 - 1, 4, 5, 2**32 - 1, 0x20, 0, 2**32 - 1)
    os.setxattr(ruled, "system.posix_acl_default", ruled_by)
    for into in (plain, shared, ruled):
        for mask in (0, 0o022, 0o077):
            target = into / f"{mask:o}"
            before = os.umask(mask)
            try:
                write_tree(target, entries, content=lambda row: [b"x"])
            finally:
                os.umask(before)
            found = {os.fsencode(f.name): stat.S_IMODE(f.stat().st_mode) for f in target.iterdir()}
            assert found == modes, (into, mask)
            assert {(f.stat().st_uid, f.stat().st_gid) for f in target.iterdir()} == {(0, 0)} or os.geteuid()


def test_owners_are_found_by_name_where_numbers_differ(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give files away")
    entries = replace(Entries.of([Entry(b"file", uid=4711, gid=4712)]), users={4711: "daemon"}, groups={})
    write_tree(tmp_path, entries, content=lambda row: [])
    assert (tmp_path / "file").owner() == "daemon"
    assert (tmp_path / "file").stat().st_gid == 4712
