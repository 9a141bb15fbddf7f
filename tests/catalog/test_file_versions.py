from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from undivided.catalog.file_versions import Version, versions, within
from undivided.model.columns import Ragged
from undivided.model.entries import Entries, Entry, Kind


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
    return [(v.path, v.size, v.begin, v.end) for v in versions(HISTORY, wanted)]


def test_a_version_stands_from_its_commit_to_the_one_that_ends_it():
    assert found(lambda path, _: path == b"a") == [(b"a", 1, 2, 5), (b"a", 2, 5, 7), (b"a", 3, 9, None)]
    assert found(lambda path, _: path == b"b") == [(b"b", 1, 2, None)]


def test_a_version_is_in_the_points_from_its_begin_to_before_its_end():
    points = [2, 4, 5, 9]

    def standing(begin: int, end: int | None) -> Version:
        return Version(b"a", Kind.FILE, 0, 0, begin, end)

    assert within(standing(2, 5), points) == (0, 2)
    assert within(standing(5, None), points) == (2, 4)
    first, end = within(standing(6, 9), points)
    assert first == end


def test_versions_are_the_same_as_those_of_a_dictionary_of_paths():
    """Many commits of many sizes, so that runs are merged in all ways."""
    random = Random(7)
    standing: dict[bytes, tuple[int, int]] = {}
    expected: list[tuple[bytes, int, int, int | None]] = []
    history, number = [], 0
    for _ in range(200):
        number += random.randint(1, 3)
        size = random.choice([1, 1, 2, 30])
        puts = {b"%d" % random.randrange(300): random.randrange(9) for _ in range(size)}
        drops = [b"%d" % random.randrange(300) for _ in range(random.randrange(4))]
        drops = [path for path in drops if path not in puts]
        history.append(commit(number, puts, drops))
        for path in {**dict.fromkeys(drops), **puts}:
            if path in standing:
                expected.append((path, *standing.pop(path), number))
        standing.update({path: (size, number) for path, size in puts.items()})
    expected += [(path, size, begin, None) for path, (size, begin) in standing.items()]
    seen = [(v.path, v.size, v.begin, v.end) for v in versions(history, lambda path, _: True)]
    assert sorted(seen, key=str) == sorted(expected, key=str)


def test_a_version_is_reported_when_it_ends_before_the_rest_of_the_history_is_read():
    def history() -> Iterator[tuple[Commit, Segment]]:
        yield from HISTORY[:2]
        raise AssertionError("read too far")

    assert next(versions(history(), lambda path, _: True)).path == b"a"
