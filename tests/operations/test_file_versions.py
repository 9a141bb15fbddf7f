from dataclasses import dataclass

from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Entry
from undivided.operations.file_versions import Version, versions, within


@dataclass
class Commit:
    number: int


@dataclass
class Segment:
    puts: Entries
    tombstones: Ragged


def commit(number: int, puts: dict[bytes, int], drops: list[bytes] = []):  # noqa: B006
    rows = Entries.of([Entry(path, size=size) for path, size in puts.items()])
    return Commit(number), Segment(rows, Ragged.of(drops))


HISTORY = [
    commit(2, {b"a": 1, b"b": 1}),
    commit(5, {b"a": 2}),
    commit(7, {}, [b"a"]),
    commit(9, {b"a": 3}),
]


def found(wanted) -> list[tuple[bytes, int, int, int | None]]:
    return [(v.row.path, v.row.size, v.begin, v.end) for v in versions(HISTORY, wanted)]


def test_a_version_stands_from_its_commit_to_the_one_that_ends_it():
    assert found(lambda path, _: path == b"a") == [(b"a", 1, 2, 5), (b"a", 2, 5, 7), (b"a", 3, 9, None)]
    assert found(lambda path, _: path == b"b") == [(b"b", 1, 2, None)]


def test_a_version_is_in_the_points_from_its_begin_to_before_its_end():
    points = [2, 4, 5, 9]
    row = Entry(b"a")
    assert within(Version(row, 2, 5), points) == (0, 2)
    assert within(Version(row, 5, None), points) == (2, 4)
    first, end = within(Version(row, 6, 9), points)
    assert first == end
