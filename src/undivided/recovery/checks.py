"""Checks: the operator's own tests of the running service. All must pass before a recovery is complete.

A check is an address that must answer, or a program that must exit as expected. An address is requested again
until it answers as expected or its timeout is over, because an application takes a moment to be ready. A
program is run once: its author knows how long it must wait.

No redirects are followed, and proxies in the environment are not used. So `expect: 302` can be written, and a
check of this host never leaves it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..model.service import Check, Component

_ANSWER_LIMIT = 8 << 20
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check. check: the address or the command line, as written. reason: why it failed, or
    "as expected". seconds: how long it took."""

    check: str
    ok: bool
    reason: str
    seconds: float


def check_name(check: Check) -> str:
    """The name of a check in messages."""
    return check.http if check.http is not None else " ".join(check.command or ())


def check_environment(components: Mapping[str, Component]) -> dict[str, str]:
    """The environment for the programs of checks: UNDIVIDED_<COMPONENT>_<OPTION> for the current path, port,
    socket and address of each component."""
    found = {}
    for component in components.values():
        stem = "UNDIVIDED_" + "".join(c if c.isalnum() else "_" for c in component.name).upper()
        for key in ("path", "port", "socket", "address"):
            value = component.get(key)
            if value is not None:
                found[f"{stem}_{key.upper()}"] = str(value)
    return found


def run(checks: Sequence[Check], components: Mapping[str, Component]) -> list[CheckResult]:
    """Every check, in the order of the file; a failed one does not keep the others from being asked. A check
    that cannot be run at all, because its address or its program is impossible, is a failed one."""
    secrets = tuple(name for name in os.environ if name.startswith("UNDIVIDED_PASSPHRASE"))
    inherited = {name: value for name, value in os.environ.items() if name not in secrets}
    environment = {**inherited, **check_environment(components)}
    verdicts = []
    for check in checks:
        begun = time.monotonic()
        try:
            wrong = _answer(check) if check.http is not None else _program(check, environment)
        except Exception as error:  # noqa: BLE001  whatever is wrong with a check, the recovery itself has ended
            wrong = f"could not be run: {str(error) or type(error).__name__}"
        verdicts.append(
            CheckResult(check_name(check), not wrong, wrong or "as expected", time.monotonic() - begun)
        )
    return verdicts


def _answer(check: Check) -> str:
    """The failure of the last request; "" when the address answers as expected before the timeout."""
    # Imported here: it brings TLS and e-mail along, for which most recoveries have no use.
    from http.client import HTTPException

    deadline = time.monotonic() + check.timeout
    while True:
        left = deadline - time.monotonic()
        try:
            wrong = _request(check, max(left, 0.5))
        except (OSError, HTTPException) as error:
            wrong = f"no answer: {error or type(error).__name__}"
        if not wrong or time.monotonic() + _PAUSE >= deadline:
            return wrong and f"{wrong}, for {check.timeout:g} s"
        time.sleep(_PAUSE)


def _request(check: Check, timeout: float) -> str:
    from http.client import HTTPConnection, HTTPSConnection

    address = urlsplit(check.http or "")
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=timeout)
    try:
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        connection.request("GET", target, headers={"Connection": "close", "User-Agent": "undivided"})
        response = connection.getresponse()
        body = response.read(_ANSWER_LIMIT)
    finally:
        connection.close()
    if response.status != check.expect:
        return f"status {response.status}, expected {check.expect}"
    if check.contains is not None and check.contains.encode() not in body:
        return f"the answer does not contain {check.contains!r}"
    return ""


def _program(check: Check, environment: Mapping[str, str]) -> str:
    """The failure; "" when the program exits as expected within its timeout. Of its output only the last line
    goes into the record: it usually has the reason."""
    try:
        with subprocess.Popen(
            list(check.command or ()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        ) as program:
            try:
                output, _ = program.communicate(timeout=check.timeout)
            except subprocess.TimeoutExpired:
                # Its children too: one of them could hold the pipe open forever.
                os.killpg(program.pid, signal.SIGKILL)
                return f"still running after {check.timeout:g} s"
    except OSError as error:
        return f"could not be started: {error.strerror or error}"
    lines = output.decode(errors="replace").strip().splitlines()
    last = f": {lines[-1][:200]}" if lines else ""
    if program.returncode != check.expect:
        return f"exit code {program.returncode}, expected {check.expect}{last}"
    if check.contains is not None and check.contains.encode() not in output:
        return f"the output does not contain {check.contains!r}{last}"
    return ""
