"""A read gives the bytes that were there, and reports the files that were not stable."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from undivided.host.rooted import RootedDirectory
from undivided.model.errors import SourceError
from undivided.model.streams import Batch, one_by_one
from undivided.testing.trees import ODD_NAME, make_tree
from undivided.tree import read
from undivided.tree.read import Reading, data_extents, opened
from undivided.tree.walk import walk


def test_each_row_has_its_bytes_together_and_in_order(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with RootedDirectory(tree) as root:
        reading = Reading(root, walk(root))
        data: dict[int, bytes] = {}
        ended: set[int] = set()
        current = -1
        for row, piece, last in one_by_one(reading.pieces()):
            assert row == current or row not in data, "a row's pieces are together"
            assert row not in ended
            current = row
            data[row] = data.get(row, b"") + bytes(piece)
            if last:
                ended.add(row)
        assert ended == data.keys()
    paths = reading.entries.path.tolist()
    for row, content in data.items():
        with open(os.path.join(os.fsencode(tree), paths[row]), "rb") as file:
            whole = file.read()
        entry = reading.entries.row(row)
        if entry.extents:
            whole = b"".join(whole[offset : offset + length] for offset, length in entry.extents)
        assert content == whole
    assert data[paths.index(ODD_NAME)] == b"odd"


def test_a_stat_leaves_out_what_the_description_has(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with RootedDirectory(tree) as root:
        entries = Reading(root, walk(root)).entries
    rows = {path: entries.row(n) for n, path in enumerate(entries.path.tolist())}
    assert rows[b"symlink"].target == b"../\xfe/nowhere"
    assert rows[b"small"].xattrs[b"user.colour"] == b"green\0\xff"
    assert b"system.posix_acl_access" in rows[b"run"].xattrs
    assert b"system.posix_acl_default" in rows[b"a/b"].xattrs
    assert sum(length for _, length in rows[b"sparse"].extents) < 1 << 20
    assert rows[b"hole"].extents == ((0, 0),)
    assert rows[b"large"].extents == ()
    assert entries.users[os.geteuid()]


@pytest.mark.parametrize("size", [100, read.WHOLE + 5])
@pytest.mark.parametrize("change", ["grows", "shrinks", "rewritten", "replaced"])
def test_a_file_that_changes_between_walk_and_read_is_unsettled(
    tmp_path: Path, size: int, change: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    with RootedDirectory(tmp_path) as root:
        reading = Reading(root, walk(root))
        if change == "grows":
            with open(file, "ab") as more:
                more.write(b"more")
        elif change == "shrinks":
            os.truncate(file, size - 50)
        elif change == "rewritten":
            file.write_bytes(b"y" * size)
        else:
            (tmp_path / "other").write_bytes(b"z" * size)
            os.rename(tmp_path / "other", file)
        list(one_by_one(reading.pieces()))
    assert [reading.entries.path[row] for row in reading.unsettled] == [b"file"]


def test_a_file_that_changes_while_it_is_read_is_unsettled(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (9 << 20))
    with RootedDirectory(tmp_path) as root:
        reading = Reading(root, walk(root))
        pieces = one_by_one(reading.pieces())
        next(pieces)
        with open(file, "r+b") as writer:
            writer.write(b"y")
        list(pieces)
    assert [reading.entries.path[row] for row in reading.unsettled] == [b"file"]


def test_what_vanishes_is_reported_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "before").write_text("x")
    (tmp_path / "after").write_text("x")
    with RootedDirectory(tmp_path) as root:
        rows = walk(root)
        (tmp_path / "before").unlink()
        reading = Reading(root, rows)
        (tmp_path / "after").unlink()
        (tmp_path / "after").symlink_to("before")
        assert list(one_by_one(reading.pieces())) == []
        assert {reading.entries.path[row] for row in reading.vanished} == {b"before", b"after"}
        with opened(root, b"before") as one:
            assert one is None


def test_small_files_come_as_batches_that_any_thread_may_read_in_any_order(tmp_path: Path) -> None:
    contents = {b"%d/%d" % (n % 7, n): bytes([n % 256]) * (1 + n * 37 % 20_000) for n in range(400)}
    for path, data in contents.items():
        (tmp_path / path.decode()).parent.mkdir(exist_ok=True)
        (tmp_path / path.decode()).write_bytes(data)
    with RootedDirectory(tmp_path) as root:
        reading = Reading(root, walk(root))
        batches = list(reading.pieces())
        with ThreadPoolExecutor(4) as pool:
            read = [row for rows in pool.map(lambda b: list(one_by_one([b])), batches[::-1]) for row in rows]
    assert all(isinstance(batch, Batch) for batch in batches)
    assert len(batches) > 1
    assert {reading.entries.path[row]: bytes(piece) for row, piece, _ in read} == contents
    assert not reading.unsettled
    assert not reading.vanished


def test_linked_names_are_read_once_and_given_to_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"content")
    for n in range(5):
        os.link(tmp_path / "a", tmp_path / f"b{n}")
    calls: list[int] = []
    plain = os.read

    def counted(fd: int, size: int) -> bytes:
        calls.append(size)
        return plain(fd, size)

    monkeypatch.setattr(os, "read", counted)
    with RootedDirectory(tmp_path) as root:
        rows = {row: bytes(piece) for row, piece, _ in one_by_one(Reading(root, walk(root)).pieces())}
    assert len(calls) == 1
    assert list(rows.values()) == [b"content"] * 6


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "fine").write_text("x")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    tmp_path.chmod(0o755)
    with RootedDirectory(tmp_path) as root:
        rows = walk(root)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                list(one_by_one(Reading(root, rows).pieces()))
            except SourceError as error:
                code = 0 if "secret: permission denied" in error.cause and error.hint else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_files_of_others_are_read_where_access_times_may_not_be_spared(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    for name in "ab":
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o644)
    tmp_path.chmod(0o755)
    with RootedDirectory(tmp_path) as root:
        rows = walk(root)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                pieces = [bytes(piece) for _, piece, _ in one_by_one(Reading(root, rows).pieces())]
                code = 0 if pieces == [b"a", b"b"] and root.has_openat2 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_extents_are_the_data_of_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        assert data_extents(file.fileno(), 0) == []
        file.truncate(1 << 20)
        assert data_extents(file.fileno(), 1 << 20) == [(0, 0)]
        os.pwrite(file.fileno(), b"x" * 4096, 65536)
        assert data_extents(file.fileno(), 1 << 20) == [(65536, 4096)]
        os.pwrite(file.fileno(), b"x" * (1 << 20), 0)
        assert data_extents(file.fileno(), 1 << 20) == []


def test_one_opened_file_is_described_as_in_a_table(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with RootedDirectory(tree) as root:
        entries = Reading(root, walk(root)).entries
        for n in np.arange(len(entries)).tolist():
            expected = entries.row(n)
            with opened(root, expected.path) as one:
                assert one is not None
                found = one.entry
            # The number of a link group is only compared within one table.
            assert bool(found.link) == bool(expected.link)
            assert found.path == expected.path
            assert (found.kind, found.mode, found.size, found.mtime_ns, found.rdev) == (
                expected.kind, expected.mode, expected.size, expected.mtime_ns, expected.rdev,
            )  # fmt: skip
            assert (found.target, found.xattrs, found.extents) == (
                expected.target, expected.xattrs, expected.extents,
            )  # fmt: skip
