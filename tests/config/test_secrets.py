"""Passwords come from the place that the service file names, and no error contains them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
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


INTERRUPTED = """
import os, signal, sys, threading, time
from undivided.config.secrets import secret

def interrupt(*_):
    raise KeyboardInterrupt

def send(number, seconds):
    time.sleep(seconds)
    os.kill(os.getpid(), number)

for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, interrupt)
sys.setswitchinterval(1e-5)
interrupted = 0
for step in range(60):
    number = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)[step % 3]
    sender = threading.Thread(target=send, args=(number, step * 1e-4))
    try:
        sender.start()
        secret({"command": ["sh", "-c", f"sleep {sys.argv[1]} & sleep {sys.argv[1]}"]}, "connect")
    except KeyboardInterrupt:
        interrupted += 1
    sender.join()
print(interrupted)
"""


def all_ended(seconds: str) -> bool:
    """Whether no process sleeps for so long. A killed process needs a moment to end."""
    for _ in range(100):
        lines = (" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))
        if not any(f"sleep {seconds}" in line for line in lines):
            return True
        time.sleep(0.02)
    return False


def test_a_signal_at_any_moment_ends_the_command_and_all_its_processes() -> None:
    """From before its start until it runs. A process that stayed would hold standard error open: `run` would
    wait for it."""
    seconds = f"25.{time.time_ns()}"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, seconds], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stdout == "60\n", done.stderr
    assert all_ended(seconds)


def test_a_command_that_takes_too_long_ends_with_all_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("undivided.config.secrets.TIMEOUT", 0.2)
    seconds = f"300.{time.time_ns()}"
    with pytest.raises(UndividedError, match=r"did not finish within 0\.2 s"):
        secret({"command": ["sh", "-c", f"sleep {seconds} & sleep {seconds}"]}, "connect")
    assert all_ended(seconds)
