"""Fault: the vault's disk is full, fails to write or fails to sync while a service is protected. That is the
vault's failure and never taken for an unreadable source; the points there were stay, and the next protection
after it works."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from undivided.testing.filesystems import loop_filesystem
from undivided.testing.kiosk import Kiosk
from undivided.testing.program import message

FAILED = 1


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    with Kiosk(tmp_path_factory.mktemp("kiosk")) as made:
        yield made.protected()


def fill(ballast: Path) -> None:
    """Takes all the space that is left there."""
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(64 << 10))
    os.sync()


@pytest.mark.real
def test_a_full_vault_is_named_as_such_and_works_when_there_is_space_again(tmp_path: Path) -> None:
    with loop_filesystem("ext4", tmp_path, megabytes=24) as disk, Kiosk(tmp_path) as kiosk:
        kiosk("init", "--vault", disk / "vault")
        kiosk("service", "apply", kiosk.file)
        kiosk.order()
        first, then = kiosk.protect(), kiosk.orders()
        kiosk.order()
        (kiosk.site / "photo").write_bytes(os.urandom(3 << 20))
        fill(disk / "ballast")
        said = kiosk.fails("protect", kiosk.service, code=FAILED)
        assert "no space left" in said
        assert str(disk / "vault") in said
        assert "component" not in said
        assert said.splitlines()[1].startswith("HINT: ")
        assert kiosk.points() == [first]
        assert kiosk.recovered(first) == then
        (disk / "ballast").unlink()
        assert kiosk.recovered(kiosk.protect()) == kiosk.orders()
        assert kiosk("verify", "--read-data")["damaged"] == []


@pytest.mark.real
def test_a_full_disk_under_the_state_makes_a_whole_point_or_none_and_reports_which(tmp_path: Path) -> None:
    with loop_filesystem("ext4", tmp_path, megabytes=16) as disk, Kiosk(tmp_path) as kiosk:
        kiosk("init")
        file = kiosk.config / "config.yaml"
        file.write_text(file.read_text() + f"state: {disk}/state\n")
        kiosk("service", "apply", kiosk.file)
        kiosk.order()
        before = [kiosk.protect()]
        for number in range(2000):
            (kiosk.site / f"{number} with a name that needs some room to be remembered").touch()
        fill(disk / "ballast")
        said = kiosk.fails("protect", kiosk.service, code=FAILED)
        assert str(disk / "state") in said
        assert said.splitlines()[1].startswith("HINT: ")
        (disk / "ballast").unlink()
        assert len(kiosk.points()) == len(before) + ("was made" in said)
        assert kiosk.recovered(kiosk.protect()) == kiosk.orders()
        assert kiosk.damaged() == []


def injected(kiosk: Kiosk, fault: str) -> subprocess.CompletedProcess[str]:
    """A protection during which that system call fails."""
    if not shutil.which("strace"):
        pytest.skip("needs strace to make system calls fail")
    trace = ["strace", "-f", "-qq", "-o", str(kiosk.home / "trace"), "-e", f"inject={fault}"]
    command = [sys.executable, "-m", "undivided", "protect", kiosk.service]
    done = subprocess.run(
        [*trace, *command], env=kiosk.environment, capture_output=True, text=True, timeout=120
    )
    if "ptrace" in done.stderr:
        pytest.skip("this machine does not allow strace")
    assert "Traceback" not in done.stderr and "a bug" not in done.stderr, done.stderr
    return done


def test_a_write_that_fails_is_the_vaults_failure_and_not_the_sources(kiosk: Kiosk) -> None:
    before = kiosk.cataloged()
    kiosk.order()
    done = injected(kiosk, "writev:error=EIO:when=1+")  # what only the vault's store uses
    assert done.returncode == FAILED, done.stderr
    assert "input/output error" in done.stderr
    assert f"in {kiosk.vault}" in done.stderr
    assert "component" not in done.stderr
    assert "HINT: " in done.stderr
    assert kiosk.points() == before
    assert kiosk.recovered(kiosk.protect()) == kiosk.orders()
    assert kiosk.damaged() == []


@pytest.mark.parametrize("when", ["1", "4", "1+", "8+"])
def test_a_sync_that_fails_makes_a_whole_point_or_none_and_the_next_works(when: str, kiosk: Kiosk) -> None:
    before = kiosk.cataloged()
    kiosk.order()
    done = injected(kiosk, f"fsync,fdatasync:error=EIO:when={when}")
    if done.returncode:
        assert done.returncode == FAILED, done.stderr
        assert "HINT: " in message(done.stderr)
    after = kiosk.points()
    assert after[: len(before)] == before
    new = after[len(before) :]
    assert len(new) == 1 if done.returncode == 0 else len(new) <= 1
    for point in new:
        assert kiosk.recovered(point) == kiosk.orders()
    kiosk.order()
    assert kiosk.recovered(kiosk.protect()) == kiosk.orders()
    assert kiosk.damaged() == []
