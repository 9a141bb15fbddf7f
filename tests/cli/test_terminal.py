"""What only happens on a terminal: the passphrase is asked for, progress is shown."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Sequence

import pytest

from undivided.testing.program import Program, describe


def talk(program: Program, words: Sequence[str], answers: Sequence[tuple[str, str]] = ()) -> tuple[int, str]:
    """Runs it on a terminal and answers (question, answer). Returns the exit code and all it said."""
    environment = {k: v for k, v in program.environment.items() if k != "UNDIVIDED_PASSPHRASE"}
    environment["TERM"] = "xterm"
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(program.home)
        os.execve(sys.executable, [sys.executable, "-m", "undivided", *words], environment)
    said, waiting = b"", list(answers)
    try:
        while select.select([terminal], [], [], 60)[0]:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break  # reading a terminal whose other end is gone is an error
            if not piece:
                break
            said += piece
            if waiting and waiting[0][0].encode() in said:
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode(errors="replace")


@pytest.fixture
def shop(program: Program) -> Program:
    describe(program.home)
    answers = [("New passphrase", "one two"), ("The same again", "one two")]
    assert talk(program, ["init"], answers)[0] == 0
    assert talk(program, ["service", "apply", "shop.yaml"])[0] == 0
    return program


def test_the_passphrase_is_asked_for_when_content_is_read(shop):
    assert talk(shop, ["protect", "shop"])[0] == 0
    code, said = talk(shop, ["recover", "shop", "--to", "back"], [("Passphrase", "one two")])
    assert code == 0
    assert "one two" not in said
    assert (shop.home / "back" / "site" / "about.html").exists()
    assert talk(shop, ["find", "*"], [("Passphrase", "two one")])[0] == 12


def test_progress_is_shown_on_a_terminal_and_not_in_a_pipe(shop):
    code, said = talk(shop, ["protect", "shop"])
    assert code == 0
    assert "\x1b[" in said
    done = shop.run("protect", "shop")
    assert "\x1b" not in done.stdout + done.stderr
    assert not done.stderr


def test_two_passphrases_that_differ_make_no_vault(program):
    answers = [("New passphrase", "one"), ("The same again", "two")]
    assert talk(program, ["init"], answers)[0] == 2
    assert not (program.config / "vault").exists()


def test_a_passphrase_is_generated_when_none_is_typed(program):
    code, said = talk(program, ["init"], [("New passphrase", "")])
    assert code == 0
    made = said.partition("Your passphrase: ")[2].splitlines()[0].strip()
    assert program("vault", "key", "list")["keys"]
    program("find", "*", UNDIVIDED_PASSPHRASE=made)


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_a_point_is_made_whichever_standard_streams_are_closed(shop, closed):
    def close() -> None:
        for number in closed:
            os.close(number)

    command = [sys.executable, "-m", "undivided", "protect", "shop"]
    done = subprocess.run(command, env=shop.environment, cwd=shop.home, preexec_fn=close)
    assert done.returncode == 0
    assert len(shop("points", "shop")["points"]) == 1


def test_a_closed_standard_stream_gives_its_number_to_no_other_file():
    look = (
        "import os, sys\nfrom undivided.__main__ import main\nsys.argv[1:] = ['--version']\nmain()\n"
        "links = [os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)]\n"
        "os.write(9, ' '.join(links).encode())"
    )
    reading, writing = os.pipe()

    def close() -> None:
        os.dup2(writing, 9)
        for number in (0, 1, 2):
            os.close(number)

    done = subprocess.run([sys.executable, "-c", look], preexec_fn=close, pass_fds=[9])
    os.close(writing)
    assert done.returncode == 0
    assert os.read(reading, 999).decode() == " ".join([os.devnull] * 3)
    os.close(reading)
