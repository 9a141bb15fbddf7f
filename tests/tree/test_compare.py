from undivided.model.entries import Entries, Entry, Kind
from undivided.tree.compare import PathChange, compare


def tree(*rows: tuple[Entry, bytes]) -> Entries:
    return Entries.of([row for row, _ in rows], [content for _, content in rows])


A, B = b"a" * 32, b"b" * 32


def test_added_removed_and_changed_paths_are_listed_by_path():
    before = tree((Entry(b"gone", size=1), A), (Entry(b"same", size=2), A), (Entry(b"text", size=3), A))
    after = tree((Entry(b"new", size=4), A), (Entry(b"same", size=2), A), (Entry(b"text", size=5), B))
    assert compare(before, after) == [
        PathChange("removed", b"gone", 1, None),
        PathChange("added", b"new", None, 4),
        PathChange("changed", b"text", 3, 5),
    ]


def test_every_attribute_counts():
    base = Entry(b"x", mode=0o600, uid=1, gid=2, mtime_ns=3, xattrs={b"user.a": b"1"})
    others = [
        Entry(b"x", mode=0o644, uid=1, gid=2, mtime_ns=3, xattrs={b"user.a": b"1"}),
        Entry(b"x", mode=0o600, uid=9, gid=2, mtime_ns=3, xattrs={b"user.a": b"1"}),
        Entry(b"x", mode=0o600, uid=1, gid=2, mtime_ns=4, xattrs={b"user.a": b"1"}),
        Entry(b"x", mode=0o600, uid=1, gid=2, mtime_ns=3, xattrs={b"user.a": b"2"}),
        Entry(b"x", kind=Kind.SYMLINK, mode=0o600, uid=1, gid=2, mtime_ns=3, target=b"y"),
    ]
    for other in others:
        assert [c.kind for c in compare(tree((base, A)), tree((other, A)))] == ["changed"]
    assert compare(tree((base, A)), tree((base, A))) == []


def test_content_counts_even_when_size_and_time_are_the_same():
    assert len(compare(tree((Entry(b"x", size=1), A)), tree((Entry(b"x", size=1), B)))) == 1
