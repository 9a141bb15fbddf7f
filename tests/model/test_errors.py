"""The context of a failure: what was being done, to what, why it failed, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from undivided.model.errors import DamageError, SourceError, UndividedError, error_context


def test_what_the_operating_system_refuses_names_the_operation_the_file_and_the_reason(
    tmp_path: Path,
) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(UndividedError) as caught, error_context("read the settings", "Create it."):
        missing.read_bytes()
    assert str(caught.value) == f"read the settings: {missing}: no such file or directory\nHINT: Create it."
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_file_that_the_operation_names_is_not_named_twice(tmp_path: Path) -> None:
    with pytest.raises(UndividedError) as caught, error_context(f"read {tmp_path / 'a'}"):
        (tmp_path / "a").read_bytes()
    assert caught.value.cause == "no such file or directory"
    with pytest.raises(UndividedError) as caught, error_context(f"read {tmp_path / 'ab'} again"):
        (tmp_path / "a").read_bytes()
    assert caught.value.cause == f"{tmp_path / 'a'}: no such file or directory"


def test_hints_may_differ_by_errno_and_the_class_is_the_callers(tmp_path: Path) -> None:
    hints = {errno.ENOENT: "Create it.", errno.EISDIR: "Name a file."}
    for path, hint in ((tmp_path / "missing", "Create it."), (tmp_path, "Name a file.")):
        with pytest.raises(SourceError) as caught, error_context("read it", hints, raises=SourceError):
            path.read_bytes()
        assert caught.value.hint == hint


def test_an_error_of_ours_keeps_its_class_cause_and_hint_and_the_operation_it_names() -> None:
    with pytest.raises(DamageError) as caught, error_context("build db", "Not for this."):
        raise DamageError("a byte differs")
    assert str(caught.value) == "build db: a byte differs"
    with pytest.raises(DamageError) as caught, error_context("build db"):
        raise DamageError("a byte differs", doing="read the log", hint="Repair it.")
    assert str(caught.value) == "read the log: a byte differs\nHINT: Repair it."


def test_a_refusal_about_a_descriptor_or_without_a_file_has_its_reason_alone() -> None:
    for error in (OSError(errno.EIO, "Input/output error"), OSError(errno.EIO, "Input/output error", 7)):
        with pytest.raises(UndividedError) as caught, error_context("flush the disk"):
            raise error
        assert caught.value.cause == "input/output error"
