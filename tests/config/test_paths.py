import os
from pathlib import Path

from undivided.config.paths import default_paths


def test_a_given_configuration_directory_contains_all_others(monkeypatch, tmp_path):
    monkeypatch.setenv("UNDIVIDED_CONFIG", "/elsewhere")
    assert default_paths(tmp_path) == (tmp_path, tmp_path / "state", tmp_path / "vault")
    assert default_paths(None).config == Path("/elsewhere")


def test_root_has_system_directories_and_other_users_their_own(monkeypatch):
    monkeypatch.delenv("UNDIVIDED_CONFIG", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_paths(None) == (
        Path("/etc/undivided"),
        Path("/var/lib/undivided"),
        Path("/var/backups/undivided"),
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/me/conf")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_paths(None).config == Path("/home/me/conf/undivided")
    assert default_paths(None).state == Path("/home/me/.local/state/undivided")
