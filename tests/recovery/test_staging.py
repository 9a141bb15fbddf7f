"""The record of a staging directory, and the records that it refuses."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from undivided.model.errors import UndividedError
from undivided.recovery.staging import BuildState, PointBefore, Staging, StagingRecord, erase, leftovers

RECORD = StagingRecord("portal", "p1", "site", "/srv/portal", ".before-p1")


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging.within(tmp_path, "p1", "site")


def test_staging_lies_next_to_the_place_under_a_name_that_explains_it(
    staging: Staging, tmp_path: Path
) -> None:
    assert staging.directory == tmp_path / ".undivided-p1-site"
    assert staging.state() is BuildState.NEW
    assert staging.record() is None


def test_a_build_counts_only_when_it_was_declared_complete(staging: Staging) -> None:
    staging.write(RECORD)
    (staging.empty() / "half").write_text("…")
    assert staging.state() is BuildState.NEW
    staging.write(replace(RECORD, built=True, first=PointBefore("p0", 3, True)))
    assert staging.state() is BuildState.BUILT
    assert staging.record() == replace(RECORD, built=True, first=PointBefore("p0", 3, True))


def test_a_complete_build_that_is_gone_was_installed(staging: Staging, tmp_path: Path) -> None:
    staging.write(RECORD)
    staging.empty()
    staging.write(replace(RECORD, built=True))
    staging.data.rename(tmp_path / "place")
    assert staging.state() is BuildState.INSTALLING


def test_the_remains_of_a_crashed_build_are_removed_whatever_their_modes(
    staging: Staging, tmp_path: Path
) -> None:
    staging.write(RECORD)
    locked = staging.empty() / "locked"
    locked.mkdir()
    (locked / "file").write_text("old")
    locked.chmod(0o500)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (staging.data / "link").symlink_to(outside)
    assert list(staging.empty().iterdir()) == []
    assert (outside / "kept").read_text() == "kept"


def test_a_build_that_a_dying_server_still_writes_to_goes_as_well(staging: Staging) -> None:
    staging.write(RECORD)
    busy = staging.empty()
    ended = threading.Event()

    def die_slowly() -> None:
        for number in range(3000):
            with contextlib.suppress(FileNotFoundError):
                (busy / f"{number}.signal").touch()
                (busy / f"{number - 7}.signal").unlink(missing_ok=True)
        ended.set()

    for number in range(500):
        (busy / f"{number}.page").touch()
    server = threading.Thread(target=die_slowly)
    server.start()
    erase(busy)
    server.join()
    assert ended.is_set()
    erase(busy)
    assert not busy.exists()


def test_leftovers_are_those_of_this_component_of_this_service(staging: Staging, tmp_path: Path) -> None:
    staging.write(RECORD)
    Staging.within(tmp_path, "p0", "site").write(replace(RECORD, point="p0"))
    Staging.within(tmp_path, "p1", "other-site").write(replace(RECORD, component="other-site"))
    Staging.within(tmp_path, "p2", "site").write(replace(RECORD, point="p2", service="wiki"))
    (tmp_path / ".undivided-strange-site").mkdir()
    found = [record.point for _, record in leftovers(tmp_path, "site", "portal")]
    assert found == ["p0", "p1"]
    assert list(leftovers(tmp_path / "nowhere", "site", "portal")) == []


def test_a_record_that_is_none_of_ours_is_refused(staging: Staging) -> None:
    staging.directory.mkdir()
    (staging.directory / "recovery.json").write_text('{"who": "knows"}')
    with pytest.raises(UndividedError, match="is not a valid record of a recovery"):
        staging.record()


def test_removing_leaves_nothing_and_may_be_repeated(staging: Staging) -> None:
    staging.write(RECORD)
    (staging.empty() / "file").write_text("x")
    staging.remove()
    assert not staging.directory.exists()
    staging.remove()
