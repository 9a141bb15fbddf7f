"""Errors of the files of an operator name the file and the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from undivided.config.files import file_errors, read_bytes, read_text
from undivided.host.atomic_files import make_directories, replace_file
from undivided.model.errors import UndividedError, UsageError


def test_an_error_of_the_system_names_the_operation_and_the_hint_that_fits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UndividedError) as caught, file_errors(f"make directory {tmp_path}/file"):
        make_directories(tmp_path / "file")
    assert caught.value.summary == f"make directory {tmp_path}/file: file exists"
    assert caught.value.hint == "A file has the name of the directory. Move the file away."
    with pytest.raises(UndividedError, match=r"write it: .*: no such file"), file_errors("write it"):
        replace_file(tmp_path / "none" / "file", b"")


def test_a_file_that_does_not_exist_is_none_and_one_that_cannot_be_read_an_error(tmp_path: Path) -> None:
    assert read_text(tmp_path / "none") is None
    assert read_bytes(tmp_path / "none") is None
    with pytest.raises(UndividedError, match=f"read {tmp_path}: is a directory"):
        read_bytes(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(UndividedError, match="the file is not text\nHINT: It is damaged"):
        read_text(tmp_path / "binary")


def test_a_caller_may_choose_the_class_and_the_hint(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    for path in (tmp_path / "none", tmp_path / "binary"):
        with pytest.raises(UsageError) as caught, file_errors("read it", "Give a path.", raises=UsageError):
            path.read_text()
        assert caught.value.hint == "Give a path."
