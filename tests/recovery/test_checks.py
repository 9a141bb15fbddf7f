"""Checks against real HTTP servers and real programs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from undivided.model.service import Check, Component
from undivided.recovery.checks import check_environment, run


class Site(BaseHTTPRequestHandler):
    """/ answers hello, /moved redirects, /late is ready at the third request."""

    asked = 0

    def do_GET(self) -> None:
        if self.path == "/late":
            Site.asked += 1
        status = {"/moved": 302}.get(self.path, 503 if self.path == "/late" and Site.asked < 3 else 200)
        self.send_response(status)
        self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()
        self.wfile.write(b"hello from the portal")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def one(check: Check) -> tuple[bool, str]:
    (verdict,) = run([check], {})
    return verdict.ok, verdict.reason


def test_an_address_that_answers_as_expected_passes(site: str) -> None:
    assert one(Check(http=site + "/", expect=200, contains="portal", timeout=5))[0]


def test_an_address_is_requested_until_the_application_is_ready(site: str) -> None:
    assert one(Check(http=site + "/late", expect=200, timeout=10))[0]
    assert Site.asked == 3


def test_a_wrong_status_and_a_missing_text_are_reported(site: str) -> None:
    ok, reason = one(Check(http=site + "/", expect=404, timeout=0.3))
    assert not ok
    assert "status 200, expected 404" in reason
    ok, reason = one(Check(http=site + "/", expect=200, contains="goodbye", timeout=0.3))
    assert not ok
    assert "'goodbye'" in reason


def test_redirects_are_not_followed(site: str) -> None:
    assert one(Check(http=site + "/moved", expect=302, timeout=5))[0]


def test_proxies_of_the_environment_are_not_used(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    assert one(Check(http=site + "/", expect=200, timeout=5))[0]


def test_no_answer_is_a_failed_check_and_not_an_error(site: str) -> None:
    ok, reason = one(Check(http="http://127.0.0.1:1/", expect=200, timeout=0.3))
    assert not ok
    assert "no answer" in reason


def test_a_program_passes_by_its_exit_code_and_its_output() -> None:
    program = (sys.executable, "-c", "print('all in order'); raise SystemExit(3)")
    assert one(Check(command=program, expect=3, contains="in order"))[0]
    ok, reason = one(Check(command=program, expect=0))
    assert not ok
    assert reason == "exit code 3, expected 0: all in order"


def test_a_program_that_hangs_is_ended_with_all_its_children() -> None:
    forks = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    ok, reason = one(Check(command=(sys.executable, "-c", forks), timeout=0.5))
    assert not ok
    assert "still running" in reason


def test_a_program_that_is_not_there_is_a_failed_check() -> None:
    ok, reason = one(Check(command=("/nowhere/check",)))
    assert not ok
    assert "could not be started" in reason


@pytest.mark.parametrize(
    "check",
    [
        Check(http="http://127.0.0.1:99999/", expect=200, timeout=0.3),
        Check(http="http://" + "a" * 70 + ".example/", expect=200, timeout=0.3),
        Check(http="http://127.0.0.1:1/\u00fc", expect=200, timeout=0.3),
        Check(http="http://127.0.0.1:1/", expect=200, timeout=1e30),
        Check(command=("true", "\0")),
        Check(command=("true", "\ud800")),
    ],
)
def test_a_check_that_cannot_be_run_is_a_failed_check(check: Check) -> None:
    good = Check(command=("true",))
    first, second = run([check, good], {})
    assert not first.ok
    assert first.reason
    assert second.ok


def test_a_program_gets_the_places_of_components_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDIVIDED_PASSPHRASE", "s3cret")
    db = Component("main-db", "postgresql", {"path": "/new/db", "port": 6432})
    assert check_environment({"main-db": db}) == {
        "UNDIVIDED_MAIN_DB_PATH": "/new/db",
        "UNDIVIDED_MAIN_DB_PORT": "6432",
    }
    asks = (
        "import os; assert os.environ['UNDIVIDED_MAIN_DB_PORT'] == '6432';"
        "assert 'UNDIVIDED_PASSPHRASE' not in os.environ"
    )
    (verdict,) = run([Check(command=(sys.executable, "-c", asks))], {"main-db": db})
    assert verdict.ok, verdict.reason


def test_after_a_failed_check_the_others_run_too() -> None:
    bad, good = Check(command=("false",)), Check(command=("true",))
    assert [verdict.ok for verdict in run([bad, good], {})] == [False, True]
