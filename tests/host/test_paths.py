import os
import stat
from pathlib import Path

import pytest

from undivided.host import paths as module
from undivided.host.paths import make_directory, places, save, save_new
from undivided.model.errors import UndividedError


def test_a_named_configuration_keeps_everything_beneath_it(monkeypatch, tmp_path):
    monkeypatch.setenv("UNDIVIDED_CONFIG", "/elsewhere")
    assert places(tmp_path) == (tmp_path, tmp_path / "state", tmp_path / "vault")
    assert places(None).config == Path("/elsewhere")


def test_root_has_the_usual_places_and_others_have_their_own(monkeypatch):
    monkeypatch.delenv("UNDIVIDED_CONFIG", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places(None) == (
        Path("/etc/undivided"),
        Path("/var/lib/undivided"),
        Path("/var/backups/undivided"),
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/me/conf")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/me")
    assert places(None).config == Path("/home/me/conf/undivided")
    assert places(None).state == Path("/home/me/.local/state/undivided")


def test_saving_replaces_the_whole_file_for_nobody_else(tmp_path):
    path = tmp_path / "file"
    save(path, b"old")
    save(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_crash_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    save(path, b"old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("_write_aside", "_sync_directory"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(module, step, crash)
            save(path, b"new")
        assert path.read_bytes() in (b"old", b"new")
    assert path.read_bytes() == b"new"


def test_what_is_there_is_never_overwritten_by_a_first_save(tmp_path):
    path = tmp_path / "file"
    assert save_new(path, b"first")
    assert not save_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_what_the_system_refuses_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UndividedError, match="make directory"):
        make_directory(tmp_path / "file")
    with pytest.raises(UndividedError, match="write"):
        save(tmp_path / "none" / "file", b"")
