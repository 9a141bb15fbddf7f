"""Commands of the service file: run to their end, and their failure reported."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from undivided.drivers.support.service_control import run_command, start_by_options, stop_by_options
from undivided.model.errors import UndividedError
from undivided.model.service import Component


def test_the_command_of_the_service_file_is_run(tmp_path: Path) -> None:
    component = Component("site", "files", {"start": ["touch", str(tmp_path / "started")]})
    assert start_by_options(component)
    assert (tmp_path / "started").exists()


def test_without_unit_or_command_there_is_nothing_to_do() -> None:
    component = Component("site", "files", {})
    assert not start_by_options(component)
    assert not stop_by_options(component)


def test_a_failing_command_is_reported_with_the_end_of_its_output() -> None:
    component = Component("site", "files", {"stop": ["sh", "-c", "echo no such thing >&2; exit 3"]})
    with pytest.raises(UndividedError, match="exited with 3: no such thing") as caught:
        stop_by_options(component)
    assert caught.value.doing == "stop site"


def test_a_daemon_that_keeps_its_output_open_does_not_keep_us(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run_command(["sh", "-c", f"sleep 60 & echo $! > {pid}"], doing="start", timeout=10)
    number = int(pid.read_text())
    assert Path(f"/proc/{number}").exists()
    os.kill(number, signal.SIGKILL)


def test_a_missing_program_and_a_slow_one_are_reported() -> None:
    with pytest.raises(UndividedError, match="no such file"):
        run_command(["/nonexistent/program"], doing="start")
    with pytest.raises(UndividedError, match="did not return"):
        run_command(["sleep", "20"], doing="start", timeout=0.2)


def test_a_command_is_logged_without_its_arguments(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    start_by_options(Component("site", "files", {"start": ["true", "--password=hunter2"]}))
    assert caplog.messages == ["start site: true"]
