from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from undivided.cli import run as running


def imported(program, *words) -> set[str]:
    """The modules that a call imports, without what measures the tests' coverage."""
    environment = {k: v for k, v in program.environment.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "undivided", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_the_version_is_printed_without_loading_anything_big(program):
    assert program.run("--version").stdout.startswith("undivided ")
    assert not imported(program, "--version") & {
        "cyclopts",
        "rich",
        "yaml",
        "numpy",
        "sqlite3",
        "dataclasses",
    }


def test_protecting_loads_no_command_line_library(scene):
    loaded = imported(scene, "protect", "shop", "--json")
    assert "undivided.capture.protect" in loaded
    assert not loaded & {"cyclopts", "rich", "yaml"}
    rooms = {f"undivided.vault.{room}" for room in ("verify", "prune", "repair", "reading", "debug")}
    assert not loaded & {*rooms, "undivided.vault.read.reader"}


def test_both_ways_to_protect_do_the_same(scene):
    assert scene("protect", "shop").keys() == scene("--config", scene.config, "protect", "shop").keys()


def test_without_a_configuration_the_error_names_the_directory(program):
    said = program.fails("points", code=10)
    assert str(program.config) in said
    assert "undivided init" in said


def test_a_typo_is_answered_with_the_likely_word(program):
    assert 'Did you mean "points"?' in program.fails("pionts", code=2)
    assert "--json" in program.fails("points", "--jsn", code=2)


def test_a_failure_in_json_is_an_object_on_standard_output(program):
    error = program("points", code=10)["error"]
    assert error["exit_code"] == 10
    assert error["cause"] and error["hint"]


def test_global_options_may_stand_before_the_command(program):
    program("init")
    answer = program.run("--json", "--config", program.config, "points").stdout
    assert answer == '{"version": 1, "points": []}\n'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_has_an_exit_code_of_its_own(program, number):
    program.environment["UNDIVIDED_PASSPHRASE"] = ""
    process = subprocess.Popen(
        [sys.executable, "-m", "undivided", "init"],
        env={**program.environment, "UNDIVIDED_PASSPHRASE_COMMAND": "sleep 60"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watched = psutil.Process(process.pid)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 30
    while not children:
        assert time.monotonic() < deadline, "it never asked the command"
        time.sleep(0.02)
        children = [child for child in watched.children() if child.name() == "sleep"]
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "interrupted"
    assert not [child for child in children if child.is_running() and child.status() != "zombie"]


def broken(_arguments: object) -> int:
    raise ZeroDivisionError("by nothing")


@pytest.fixture
def bug(monkeypatch):
    """A bug in the program, met in this process; the signal handlers it sets are put back."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(running, "_dispatch", broken)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_bug_is_one_line_and_a_traceback_only_when_wanted(bug, capsys, monkeypatch):
    monkeypatch.delenv("UNDIVIDED_DEBUG", raising=False)
    assert running.run(["points"]) == 1
    said = capsys.readouterr().err
    assert "this is a bug: ZeroDivisionError: by nothing" in said
    assert "Traceback" not in said
    monkeypatch.setenv("UNDIVIDED_DEBUG", "1")
    assert running.run(["points"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        *(("points", "--last", text) for text in ("0", "-1", "1.5", "99999999999999999999")),
        *(("debug", "entry", text) for text in ("0", "1.5", "99999999999999999999", "9" * 5000)),
        *(("recover", "shop", "--to", "x", "--dry-run", "--at", at) for at in ("9999-12-31", "\udcff")),
        ("points", "\udcff"),
        ("pin", "shop", "\udcff"),
        ("verify", "--points", "\udcff"),
    ],
)
def test_a_value_that_no_point_can_have_is_a_usage_error(scene, words):
    assert "HINT: " in scene.fails(*words, code=2)


def test_in_a_directory_that_was_removed_relative_paths_are_refused_and_absolute_ones_work(scene):
    def run(config: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "sh",
                "-c",
                'mkdir gone; cd gone; rmdir ../gone; exec "$@"',
                "sh",
                sys.executable,
                "-m",
                "undivided",
                "points",
            ],
            env={**scene.environment, "UNDIVIDED_CONFIG": str(config)},
            cwd=scene.home,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert run(scene.config).returncode == 0
    done = run(Path("config"))
    assert done.returncode == 2
    assert done.stderr == (
        "undivided: the working directory does not exist any more, and a relative path needs it\n"
        "HINT: Change to a directory that exists, or give absolute paths.\n"
    )


def test_any_encoding_of_the_terminal_will_do(program):
    program("init")
    (program.home / "a.yaml").write_text(
        "service: a\ncomponents: {x: {kind: redis}, y: {kind: redis}}\nneeds: {x: y}\n"
    )
    program("service", "apply", "a.yaml")
    assert "y \\u2192 x" in program.run("service", "show", "a", PYTHONIOENCODING="ascii").stdout


def test_a_reader_that_goes_away_is_no_traceback(program):
    shell = 'exec 3>&1; "$@" 2>&3 | true'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-m", "undivided", "service", "schema"],
        env=program.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_does_not_wait_for_a_password_command(program, number):
    """The commands run in threads of their own, one for each component, where no signal interrupts them."""
    (program.home / "two.yaml").write_text(
        "service: two\n"
        "components:\n"
        '  a: {kind: postgresql, database: a, port: 1, password: {command: [sh, -c, "echo > a; sleep 28"]}}\n'
        '  b: {kind: postgresql, database: b, port: 1, password: {command: [sh, -c, "echo > b; sleep 28"]}}\n'
    )
    program.initialize()
    program("service", "apply", "two.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "undivided", "protect", "two"],
        env=program.environment,
        cwd=program.home,
        stderr=subprocess.PIPE,
    )
    while not (program.home / "a").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=15)
    assert process.returncode == running.INTERRUPTED, errors
