"""The exchange converges wherever it was interrupted."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.drivers.support.swap import exchange
from undivided.model.errors import UndividedError

ASIDE = ".before-1"


def tree(path: Path, word: str) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "file").write_text(word)
    (path / word).write_text(word)
    return path


@pytest.fixture(params=["directory", "mount point"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A place that holds 'old', plain or as a mount point of its own filesystem."""
    place = tmp_path / "place"
    place.mkdir()
    if request.param == "mount point":
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    tree(place, "old")
    yield place
    if request.param == "mount point":
        subprocess.run(["umount", str(place)], check=True)


class Crash(Exception):
    pass


def crash_at_call(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The number-th rename from now on does not happen: the process is gone before it."""
    calls = 0
    rename = os.rename

    def counted(*args: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Crash
        rename(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", counted)


def test_the_old_data_stays_whole_next_to_the_place_or_inside_it(place: Path, tmp_path: Path) -> None:
    old = exchange(tree(tmp_path / "built", "new"), place, ASIDE)
    assert old is not None
    assert old.name.endswith(ASIDE)
    assert (old / "sub" / "file").read_text() == "old"
    assert (place / "sub" / "file").read_text() == "new"
    assert (place / "new").exists() and not (place / "old").exists()
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("number", range(1, 9))
def test_repeating_after_a_crash_at_any_rename_converges(
    place: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tree(tmp_path / "built", "new")
    with monkeypatch.context() as patch:
        crash_at_call(patch, number)
        with contextlib.suppress(Crash):
            exchange(built, place, ASIDE)
    old = exchange(built, place, ASIDE)
    assert old == exchange(built, place, ASIDE)
    assert old is not None
    assert (old / "sub" / "file").read_text() == "old"
    assert (place / "sub" / "file").read_text() == "new"
    left = {p.name for p in place.iterdir()} | {p.name for p in tmp_path.iterdir()}
    assert left <= {"sub", "new", "place", old.name}


def test_an_empty_place_is_simply_filled(tmp_path: Path) -> None:
    assert exchange(tree(tmp_path / "built", "new"), tmp_path / "place", ASIDE) is None
    assert (tmp_path / "place" / "new").exists()


def test_a_place_that_was_filled_again_is_not_overwritten(tmp_path: Path) -> None:
    tree(tmp_path / "place", "theirs")
    tree(tmp_path / f"place{ASIDE}", "old")
    with pytest.raises(UndividedError, match="filled again"):
        exchange(tree(tmp_path / "built", "new"), tmp_path / "place", ASIDE)
    assert (tmp_path / "place" / "theirs").exists()


def test_a_bind_mount_keeps_being_one(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    tree(tmp_path / "real", "old")
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path / "real"), str(place)], check=True)
    try:
        old = exchange(tree(tmp_path / "built", "new"), place, ASIDE)
        assert (tmp_path / "real" / "new").exists()
        assert old is not None and (old / "old").exists()
        assert exchange(tmp_path / "built", place, ASIDE) == old
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_nothing_built_and_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UndividedError, match="nothing at"):
        exchange(tmp_path / "built", tmp_path / "place", ASIDE)
