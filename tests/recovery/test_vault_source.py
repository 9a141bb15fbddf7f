"""A component at a point, read from a real vault and written to a real directory."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from undivided.model.entries import Entry, Kind
from undivided.model.errors import DamageError, UndividedError, UsageError
from undivided.model.point import ComponentPoint, Consistency, Position
from undivided.recovery.vault_source import SourceAbandoned, VaultSource
from undivided.testing.history import History

BIG = os.urandom(3 << 20)


@pytest.fixture
def history() -> History:
    return History()


def source(history: History, part: ComponentPoint) -> VaultSource:
    return VaultSource(history.vault.reader(), part)


def tree(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def test_each_point_gives_back_exactly_its_own_state(history: History, tmp_path: Path) -> None:
    first = history.rows([(Entry(b"data", Kind.DIRECTORY, 0o755), b""), (Entry(b"data/big"), BIG)])
    second = history.rows([(Entry(b"data/small"), b"small")], tombstones=[b"data/big"])
    source(history, first).extract(tmp_path / "first")
    source(history, second).extract(tmp_path / "second")
    assert tree(tmp_path / "first") == {"data/big": BIG}
    assert tree(tmp_path / "second") == {"data/small": b"small"}


def test_a_prefix_is_stripped_and_a_selection_respected(history: History, tmp_path: Path) -> None:
    part = history.rows([(Entry(b"data/a"), b"a"), (Entry(b"data/b"), b"b"), (Entry(b"log/c"), b"c")])
    source(history, part).extract(tmp_path / "data", b"data", select=lambda path: path != b"data/b")
    assert tree(tmp_path / "data") == {"a": b"a"}


def test_one_file_is_read_by_itself(history: History) -> None:
    part = history.rows([(Entry(b"big"), BIG)])
    assert b"".join(source(history, part).read(b"big")) == BIG
    with pytest.raises(UsageError, match="no nothing at this point"):
        source(history, part).read(b"nothing")


def test_a_component_that_never_had_anything_is_empty(history: History, tmp_path: Path) -> None:
    part = ComponentPoint("site", "files", "never", 0, "", Consistency.CRASH, Position("0"))
    source(history, part).extract(tmp_path / "empty")
    assert tree(tmp_path / "empty") == {}


def test_a_history_other_than_the_points_is_refused(history: History, tmp_path: Path) -> None:
    history.rows([(Entry(b"a"), b"a")])
    second = history.rows([(Entry(b"b"), b"b")])
    forged = replace(second, digest="00" * 32)
    for part in (forged, replace(second, sequence=1), replace(second, timeline="another")):
        with pytest.raises(DamageError, match="another history in the vault than in the point"):
            source(history, part).extract(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("path", [b"../escaped", b"/escaped", b"a/../../escaped", b"a//b", b"./a", b"a\0b"])
def test_hostile_paths_write_nothing_anywhere(history: History, tmp_path: Path, path: bytes) -> None:
    part = history.rows([(Entry(b"harmless"), b"x"), (Entry(path), b"evil")])
    into = tmp_path / "deep" / "target"
    with pytest.raises(DamageError):
        source(history, part).extract(into)
    assert [f for f in tmp_path.rglob("*") if f.is_file()] == []


def test_a_link_in_the_image_is_not_followed(history: History, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    rows = [(Entry(b"a", Kind.SYMLINK, target=bytes(outside)), b""), (Entry(b"a/passwd"), b"evil")]
    part = history.rows(rows)
    with pytest.raises(UndividedError):
        source(history, part).extract(tmp_path / "target")
    assert list(outside.iterdir()) == []


def test_building_ends_when_another_component_failed(history: History, tmp_path: Path) -> None:
    part = history.rows([(Entry(b"big"), BIG)])
    abandoned = threading.Event()
    abandoned.set()
    building = VaultSource(history.vault.reader(), part, abandoned=abandoned)
    with pytest.raises(SourceAbandoned):
        building.extract(tmp_path / "target")


def test_every_byte_is_reported_as_progress(history: History, tmp_path: Path) -> None:
    part = history.rows([(Entry(b"big"), BIG), (Entry(b"twin"), BIG)])
    reported: list[int] = []
    VaultSource(history.vault.reader(), part, given=reported.append).extract(tmp_path / "target")
    assert sum(reported) == 2 * len(BIG)
    list(VaultSource(history.vault.reader(), part, given=reported.append).read(b"big"))
    assert sum(reported) == 3 * len(BIG)
