"""Looking into a point: attributes, names, links and any part of any content."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from undivided.model.columns import Array, Ragged
from undivided.model.entries import Entries, Entry, Kind
from undivided.recovery.point_tree import PointTree

CHUNK = 10


@dataclass
class Chunks:
    """Contents by chunk id, in chunks of ten bytes; counts the reads."""

    data: dict[bytes, bytes] = field(default_factory=dict)
    asked: int = 0

    def put(self, content: bytes) -> bytes:
        ids = []
        for start in range(0, len(content), CHUNK):
            piece = content[start : start + CHUNK]
            ids.append(hashlib.sha256(piece).digest())
            self.data[ids[-1]] = piece
        return b"".join(ids)

    def read(self, chunk_ids: Sequence[bytes]) -> Iterator[bytes]:
        self.asked += len(chunk_ids)
        return (self.data[c] for c in chunk_ids)

    def lengths(self, content: Ragged) -> Array:
        ids = b"".join(content)
        return np.array([len(self.data[ids[k : k + 32]]) for k in range(0, len(ids), 32)], np.int64)


@dataclass
class Held:
    entries: Entries


NAME = b"caf\xe9"
LONG = bytes(range(97, 122)) * 3
HOLES = b"0123456789abcdef"


@pytest.fixture
def chunks() -> Chunks:
    return Chunks()


@pytest.fixture
def tree(chunks: Chunks) -> PointTree:
    rows = [
        Entry(b".", Kind.DIRECTORY, 0o750, mtime_ns=5),
        Entry(NAME, mode=0o640, uid=33, gid=34, mtime_ns=7, size=len(LONG), xattrs={b"user.a": b"1"}),
        Entry(b"deep/er/file", size=3, link=9),
        Entry(b"deep/twin", size=3, link=9),
        Entry(b"null", Kind.CHARACTER, 0o666, rdev=259),
        Entry(b"sparse", size=40, extents=((4, 6), (20, 10))),
        Entry(b"to", Kind.SYMLINK, 0o777, target=b"../elsewhere"),
    ]
    contents = [b"", LONG, b"xyz", b"xyz", b"", HOLES, b""]
    held = Held(Entries.of(rows, [chunks.put(content) for content in contents]))
    return PointTree({"site": held, "empty": Held(Entries.none())}, chunks, 11)


def test_the_top_holds_the_components(tree: PointTree) -> None:
    assert tree.find(b"/") is None
    assert [name for name, _ in tree.children(b"/")] == [b"site", b"empty"]
    assert sorted(name for name, _ in tree.children(b"/site/deep")) == [b"er", b"twin"]
    assert stat.S_ISDIR(tree.top().mode)
    with pytest.raises(FileNotFoundError):
        tree.find(b"/nothing")


def test_attributes_are_those_of_the_entry(tree: PointTree) -> None:
    site, path = tree.find(b"/site/" + NAME) or pytest.fail()
    found = site.attributes(path)
    assert (found.mode, found.size, found.uid, found.gid) == (stat.S_IFREG | 0o640, len(LONG), 33, 34)
    assert found.mtime_ns == 7
    assert site.xattrs(path) == {b"user.a": b"1"}
    assert site.target(b"to") == b"../elsewhere"
    assert site.attributes(b"to").size == len(b"../elsewhere")
    assert site.attributes(b"null").rdev == 259
    assert site.attributes(b".").mode == stat.S_IFDIR | 0o750
    with pytest.raises(FileNotFoundError):
        site.attributes(b"missing")


def test_hard_links_share_their_inode_and_no_other_path_does(tree: PointTree) -> None:
    site, _ = tree.find(b"/site") or pytest.fail()
    one, two = site.attributes(b"deep/er/file"), site.attributes(b"deep/twin")
    assert one.inode == two.inode
    assert one.links == two.links == 2
    others = [site.attributes(p).inode for p in (b".", NAME, b"null", b"sparse", b"to", b"deep", b"deep/er")]
    assert len({*others, one.inode}) == len(others) + 1


def test_directories_without_a_row_are_there(tree: PointTree) -> None:
    site, _ = tree.find(b"/site") or pytest.fail()
    assert stat.S_ISDIR(site.attributes(b"deep/er").mode)
    assert sorted(site.children(b"deep")) == [b"er", b"twin"]
    assert site.children(b"deep/er") == [b"file"]
    assert sorted(site.children(b".")) == sorted([NAME, b"deep", b"null", b"sparse", b"to"])
    with pytest.raises(NotADirectoryError):
        site.children(NAME)
    empty, path = tree.find(b"/empty") or pytest.fail()
    assert empty.children(path) == []


def test_any_part_of_a_file_is_read_exactly(tree: PointTree) -> None:
    site, _ = tree.find(b"/site") or pytest.fail()
    for offset in range(len(LONG) + 2):
        for size in (1, 9, 10, 11, 40, 100):
            assert site.read(NAME, offset, size) == LONG[offset : offset + size]


def test_holes_read_as_zeros(tree: PointTree) -> None:
    site, _ = tree.find(b"/site") or pytest.fail()
    whole = bytes(4) + HOLES[:6] + bytes(10) + HOLES[6:] + bytes(10)
    for offset in range(41):
        for size in (1, 7, 40):
            assert site.read(b"sparse", offset, size) == whole[offset : offset + size]


def test_only_chunks_that_are_asked_for_are_read_and_only_once(tree: PointTree, chunks: Chunks) -> None:
    site, _ = tree.find(b"/site") or pytest.fail()
    site.read(NAME, 12, 3)
    assert chunks.asked == 1
    site.read(NAME, 15, 4)
    assert chunks.asked == 1
