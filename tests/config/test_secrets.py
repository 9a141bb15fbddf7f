"""Passwords come from the place that the service file names, and no error contains them."""

from __future__ import annotations

from pathlib import Path

import pytest

from undivided.config.secrets import secret
from undivided.model.errors import UndividedError


def test_without_a_place_there_is_no_password() -> None:
    assert secret(None, "connect") is None


def test_a_file_gives_its_content_without_the_final_newline(tmp_path: Path) -> None:
    place = tmp_path / "password"
    place.write_text(" with spaces \n")
    assert secret({"file": str(place)}, "connect") == " with spaces "


def test_the_environment_gives_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "open sesame")
    assert secret({"env": "DB_PASSWORD"}, "connect") == "open sesame"


def test_a_command_gives_what_it_prints() -> None:
    assert secret({"command": ["printf", "%s\\n", "open sesame"]}, "connect") == "open sesame"


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"file": "/nowhere/password"}, "cannot read the password file /nowhere/password"),
        ({"file": "/dev/null"}, "is empty"),
        ({"env": "UNDIVIDED_NO_SUCH_NAME"}, "UNDIVIDED_NO_SUCH_NAME is not set"),
        ({"command": ["/nowhere/program"]}, "cannot run the password command /nowhere/program"),
        ({"command": ["false"]}, "the password command false failed with exit code 1"),
    ],
)
def test_a_password_that_cannot_be_read_is_an_error_with_its_cause(
    spec: dict[str, object], cause: str
) -> None:
    with pytest.raises(UndividedError, match=cause) as caught:
        secret(spec, "connect to db")
    assert caught.value.doing == "connect to db"


def test_the_error_of_a_failed_command_never_contains_its_output() -> None:
    with pytest.raises(UndividedError) as caught:
        secret({"command": ["sh", "-c", "echo hunter2; exit 3"]}, "connect")
    assert "hunter2" not in str(caught.value)
