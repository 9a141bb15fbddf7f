"""Fault: two at once. A service is protected by one process at a time; different services and different hosts
share a vault without losing data."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from undivided.testing.kiosk import Kiosk

pytestmark = pytest.mark.slow


def begun(kiosk: Kiosk) -> subprocess.Popen[str]:
    """A running protection."""
    return subprocess.Popen(
        [sys.executable, "-m", "undivided", "protect", kiosk.service],
        env=kiosk.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def taken(kiosk: Kiosk) -> bool:
    """Whether a protection of the service runs now."""
    (lock,) = (kiosk.config / "state").glob(f"*/{kiosk.service}/lock")
    with open(lock) as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def test_a_second_protection_of_one_service_fails_with_one_line_and_the_first_continues(
    tmp_path: Path,
) -> None:
    with Kiosk(tmp_path) as kiosk:
        kiosk.protected()
        kiosk.file.write_text(kiosk.file.read_text() + "policy: {pause: 30s}\n")
        kiosk("service", "apply", kiosk.file)
        with closing(sqlite3.connect(kiosk.database)) as lock:
            lock.execute("BEGIN IMMEDIATE")  # keeps the first one waiting for its hold
            first = begun(kiosk)
            deadline = time.monotonic() + 20
            while not taken(kiosk):
                assert time.monotonic() < deadline and first.poll() is None
                time.sleep(0.01)
            said = kiosk.fails("protect", kiosk.service, code=1)
            assert said.splitlines() == [
                "undivided: protect kiosk: another point of this service is being taken",
                "HINT: Wait until it has finished.",
            ]
            lock.rollback()
        _, errors = first.communicate(timeout=60)
        assert first.returncode == 0, errors
        assert len(kiosk.points()) == 2
        kiosk.order()


def test_different_services_protected_at_once_into_one_vault_all_have_their_points(tmp_path: Path) -> None:
    with Kiosk(tmp_path) as one, Kiosk(tmp_path, "booth") as two:
        one.protected()
        two("service", "apply", two.file)
        for _ in range(2):
            one.order()
            two.order()
            both = [begun(one), begun(two)]
            for process in both:
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 0, errors
        assert (len(one.points()), len(two.points())) == (3, 2)
        assert one.recovered(one.points()[-1]) == one.orders()
        assert two.recovered(two.points()[-1]) == two.orders()
        assert one.damaged() == []


def test_two_hosts_share_a_vault_and_each_sees_all_points(tmp_path: Path) -> None:
    with Kiosk(tmp_path / "a") as one, Kiosk(tmp_path / "b", "booth") as two:
        one.protected()
        made = (one.vault / "vault.json").read_bytes()
        joined = two("init", "--vault", one.vault)
        assert "joined_vault" in joined["steps"]
        assert (one.vault / "vault.json").read_bytes() == made
        assert len([file for file in (one.vault / "keys").iterdir() if "." not in file.name]) == 1
        two("service", "apply", two.file)
        two.order()
        for _ in range(2):
            both = [begun(one), begun(two)]
            for process in both:
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 0, errors
        listed = [host("points")["points"] for host in (one, two)]
        assert listed[0] == listed[1]
        assert [point["service"] for point in listed[0]].count("booth") == 2
        assert len(listed[0]) == 5
        # Each host can recover the points of the other: that is the purpose of a shared vault.
        into = two.home / "there"
        two("recover", "kiosk", "--to", into)
        assert two.orders(into) == one.orders()
