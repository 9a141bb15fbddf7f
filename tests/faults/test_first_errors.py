"""The mistakes that newcomers make first. Each is one line with the cause, one with what to
do, and an exit code that scripts can rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from undivided.testing.kiosk import Kiosk
from undivided.testing.program import PASSPHRASE, Program

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    with Kiosk(tmp_path_factory.mktemp("kiosk")) as made:
        yield made.protected()


def cause_of(program: Program, *words: object, code: int, **environment: str) -> str:
    """The line with the cause."""
    said = program.fails(*words, code=code, **environment).splitlines()
    assert len(said) == 2, said
    assert said[1].startswith("HINT: ") and said[1].endswith((".", "?"))
    cause = said[0].removeprefix("undivided: ")
    assert cause[:1].islower() or not cause[:1].isalpha(), cause
    return cause


@contextmanager
def changed(path: Path, content: bytes | None) -> Iterator[None]:
    """While it lasts the file holds something else, or whatever is there is gone."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    try:
        if content is not None:
            path.write_bytes(content)
        yield
    finally:
        kept.replace(path)


@pytest.mark.parametrize("words", [["points"], ["protect", "kiosk"], ["verify"], ["service", "list"]])
def test_before_init_the_hint_is_to_run_it(words: list[str], tmp_path: Path) -> None:
    assert "there is no configuration in " in cause_of(Program(tmp_path), *words, code=10)


@pytest.mark.parametrize(
    "words", [["protect", "kiosk"], ["points"], ["verify"], ["catalog", "rebuild"], ["init"]]
)
def test_a_vault_that_is_not_there_may_be_an_unmounted_disk(words: list[str], kiosk: Kiosk) -> None:
    with changed(kiosk.vault, None):
        assert "there is no vault in " in cause_of(kiosk, *words, code=10)
        assert "mounted?" in kiosk.fails(*words, code=10)


@pytest.mark.parametrize("words", [["find", "*"], ["verify"], ["recover", "kiosk", "--to", "x"]])
def test_a_wrong_passphrase_is_reported(words: list[str], kiosk: Kiosk) -> None:
    said = cause_of(kiosk, *words, code=12, UNDIVIDED_PASSPHRASE="not it")
    assert "the passphrase or key does not open this vault" in said


def test_a_missing_passphrase_without_a_terminal_is_reported(kiosk: Kiosk) -> None:
    said = cause_of(kiosk, "find", "*", code=2, UNDIVIDED_PASSPHRASE="")
    assert "no passphrase is given" in said


def test_keys_that_are_lost_or_broken_are_named(kiosk: Kiosk) -> None:
    keys = kiosk.config / "keys" / "near.key"
    with changed(keys, None):
        assert str(keys) in cause_of(kiosk, "protect", "kiosk", code=10)
    with changed(keys, b"garbage"):
        assert str(keys) in cause_of(kiosk, "protect", "kiosk", code=12)


@pytest.mark.parametrize("words", [["protect"], ["points"], ["status"], ["recover", "--to", "x"]])
def test_a_misspelt_service_is_answered_with_what_may_be_meant(words: list[str], kiosk: Kiosk) -> None:
    words = [words[0], "kiosc", *words[1:]]
    assert "there is no service 'kiosc'" in cause_of(kiosk, *words, code=2)
    assert "Did you mean 'kiosk'?" in kiosk.fails(*words, code=2)


def test_a_service_file_that_cannot_be_read_is_named(kiosk: Kiosk) -> None:
    assert "no such file or directory" in cause_of(kiosk, "service", "apply", "nowhere.yaml", code=2)
    assert "is a directory" in cause_of(kiosk, "service", "apply", kiosk.home, code=2)
    with changed(kiosk.file, b"\xff\xfe\x00"):
        assert "the file is not text" in cause_of(kiosk, "service", "apply", kiosk.file, code=2)


def test_a_file_in_the_place_of_the_vault_is_reported(kiosk: Kiosk, tmp_path: Path) -> None:
    said = cause_of(Program(tmp_path), "init", "--vault", kiosk.file, code=1)
    assert "not a directory" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a user with fewer rights")
def test_a_configuration_that_may_not_be_read_is_reported(kiosk: Kiosk) -> None:
    command = [sys.executable, "-m", "undivided", "points"]
    unprivileged = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    os.chown(kiosk.config / "config.yaml", 12345, 12345)
    try:
        done = subprocess.run(unprivileged, env=kiosk.environment, capture_output=True, text=True, timeout=60)
    finally:
        os.chown(kiosk.config / "config.yaml", 0, 0)
    cause, hint = done.stderr.splitlines()
    assert done.returncode == 1
    assert cause == f"undivided: read {kiosk.config}/config.yaml: permission denied"
    assert hint.startswith("HINT: ")


def test_joining_a_vault_with_a_wrong_passphrase_leaves_it_to_be_joined_later(
    kiosk: Kiosk, tmp_path: Path
) -> None:
    other = Program(tmp_path)
    cause_of(other, "init", "--vault", kiosk.vault, code=12, UNDIVIDED_PASSPHRASE="not " + PASSPHRASE)
    other("init", "--vault", kiosk.vault)
    assert len(other("points")["points"]) == 1


@pytest.mark.parametrize("words", [["points"], ["points", "--json"], ["--help"]])
def test_output_to_a_full_disk(kiosk: Kiosk, words: list[str]) -> None:
    program = Program(kiosk.home)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "undivided", *words],
            env=program.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [
            "undivided: write the output: no space left on device",
            "HINT: Free some space there, or send the output elsewhere.",
        ],
    )
